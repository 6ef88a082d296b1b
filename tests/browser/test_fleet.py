"""What a person does to many jobs, to machines and to targets, in a browser."""

import re

from playwright.sync_api import Page, expect
from tests.support.looking import await_live, sign_in
from tests.support.server import Server, StartSpine
from tests.support.spine_process import TOKENS

HEAD = TOKENS["HEAD_TOKEN"]


def test_all_failed_jobs_of_a_filter_are_counted_and_tried_again(page: Page, start_spine: StartSpine) -> None:
    server = start_spine()
    claw = server.claw("c0")
    for n in range(60):  # more than stand on a page
        job_id = server.head.submit(target="c0", spec=n, label="nightly" if n < 55 else "other", maxAttempts=1)["id"]
        claw.post(f"/jobs/{job_id}/fail", {"fence": claw.claim(job_id)["fence"], "error": "broken"})
    sign_in(page, server.process.url, HEAD)
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.locator("#filter").get_by_label("Label").fill("nightly")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("label=nightly"))
    await_live(page)
    page.get_by_role("button", name="Retry").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Retry 55 jobs?")
    dialog.get_by_role("button", name="Retry 55").click()
    expect(page.locator("#toasts")).to_contain_text("55 changed.")
    expect(page.locator("#list .badge").first).to_have_text("queued")
    assert len(server.head.get("/jobs?status=queued&limit=200").json["jobs"]) == 55


def test_a_list_is_leafed_through_and_its_filter_stands_in_the_address(page: Page, start_spine: StartSpine) -> None:
    server = start_spine()
    for n in range(130):
        server.head.submit(target="c0" if n % 2 else "c1", spec=f"job number {n}")
    sign_in(page, server.process.url, HEAD, "/ui/jobs?target=c0")
    seen: list[str] = []
    while True:
        seen += page.locator("#list a.job").all_text_contents()
        older = page.get_by_role("link", name="Older")
        if older.count() == 0:
            break
        older.click()
        expect(page.get_by_role("link", name="Newest")).to_be_visible()
        expect(page.locator("#list a.job").first).not_to_have_text(seen[-1])
        assert "target=c0" in page.url
    assert seen == [f"job number {n}" for n in range(129, 0, -2)]


def test_a_machine_is_invited_and_its_line_joins_it(page: Page, server: Server) -> None:
    sign_in(page, server.process.url, HEAD, "/ui/machines")
    page.get_by_label("Name").fill("new-claw")
    page.get_by_role("button", name="Make a join code").click()
    line = page.locator("#joined-line")
    expect(line).to_contain_text("claw join")
    said = line.text_content() or ""
    assert server.process.url in said, said
    page.locator("#joined").get_by_role("button", name="copy").click()
    expect(page.locator("#toasts")).to_contain_text("Copied.")


def test_a_target_is_paused_its_jobs_say_so_and_resumed(page: Page, server: Server) -> None:
    job_id = server.head.submit(target="c7", spec="held back")["id"]
    sign_in(page, server.process.url, HEAD, "/ui/machines")
    row = page.locator("#targets li", has=page.get_by_role("link", name="c7", exact=True))
    row.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    page.get_by_role("link", name="Board").click()
    expect(page.locator("#paused")).to_contain_text("c7")
    expect(page.locator("#waiting li", has_text="held back")).to_contain_text("paused")
    assert server.claw("c7").claim_next() == []
    page.get_by_role("link", name="Resume").click()
    expect(page).to_have_url(re.compile("/ui/machines#targets"))
    await_live(page)
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    assert [job["id"] for job in server.claw("c7").claim_next()] == [job_id]


def test_a_machine_is_paused_resumed_and_revoked(page: Page, server: Server) -> None:
    claw = server.claw("c8")
    claw.claim_next()
    sign_in(page, server.process.url, HEAD, "/ui/machines")
    card = page.locator("article", has=page.get_by_role("heading", name="c8"))
    for verb, state in (("Pause", "paused"), ("Resume", "active"), ("Drain", "draining"), ("Revoke", "revoked")):
        card.get_by_role("button", name=verb).click()
        if verb != "Resume":
            page.get_by_role("dialog").get_by_role("button", name=verb).click()
        expect(card.locator("h2 .badge").first).to_have_text(state)
    assert claw.post("/jobs/claim", {}).status == 401


def test_the_keyboard_alone_finds_a_job_and_cancels_it(page: Page, server: Server) -> None:
    job_id = server.head.submit(target="c9", spec={"run": "true"}, label="by keyboard")["id"]
    page.goto(f"{server.process.url}/ui")
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()  # by itself, but not before the page is drawn
    page.keyboard.type(HEAD)
    page.keyboard.press("Enter")
    await_live(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    link = page.get_by_role("link", name="by keyboard")
    for _ in range(60):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    await_live(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        if cancel.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Why")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(cancel).to_be_focused()
    assert server.head.job(job_id)["status"] == "queued"
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Why")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1 .badge")).to_have_text("cancelled")


def test_a_dead_letter_is_edited_and_submitted_anew(page: Page, server: Server) -> None:
    claw = server.claw("c10")
    job_id = server.head.submit(target="c10", spec={"run": "fals"}, maxAttempts=1, label="misspelt")["id"]
    claw.post(f"/jobs/{job_id}/fail", {"fence": claw.claim(job_id)["fence"], "error": "no such command"})
    sign_in(page, server.process.url, HEAD, "/ui/dead")
    status = server.head.job(job_id)["status"]
    row = page.locator("#list [data-key]", has_text="misspelt")
    expect(row, f"a {status} job among the dead letters").to_contain_text("no such command")
    row.get_by_role("button", name=re.compile("Edit")).click()
    dialog = page.get_by_role("dialog")
    text = dialog.locator("textarea")
    right = text.input_value().replace("fals", "false")
    text.fill(right[:-3])
    dialog.get_by_role("button", name=re.compile("Submit")).click()
    expect(dialog).to_contain_text("This is no JSON")
    text.fill(right)
    dialog.get_by_role("button", name=re.compile("Submit")).click()
    expect(page.locator("h1 .badge")).to_have_text("queued")
    made = server.head.job(page.url.rsplit("/", 1)[1])
    assert (made["spec"], made["parentId"]) == ({"run": "false"}, job_id)


def test_a_schedule_is_run_now_paused_and_resumed(page: Page, server: Server) -> None:
    made = server.head.post(
        "/schedules", {"name": "nightly", "cron": "0 3 * * *", "timezone": "UTC", "job": {"target": "c11", "spec": "x"}}
    )
    assert made.status == 201, made
    sign_in(page, server.process.url, HEAD, "/ui/schedules")
    card = page.locator("article", has_text="nightly")
    expect(card).to_contain_text("0 3 * * *")
    card.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(card.locator(".runs .badge").first).to_have_text("queued")
    card.get_by_role("button", name="Pause").click()
    expect(card.locator("h2")).to_contain_text("paused")
    card.get_by_role("button", name="Resume").click()
    expect(card.get_by_role("button", name="Pause")).to_be_visible()
