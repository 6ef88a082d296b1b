"""A job's page while the job goes on: nobody has to load it again."""

from playwright.sync_api import Locator, Page, expect
from tests.support.looking import await_live, sign_in
from tests.support.raw_http import Api
from tests.support.server import Server
from tests.support.spine_process import TOKENS


def look_at(page: Page, server: Server, job_id: str) -> Locator:
    """Open a job's page; return the badge with its status, and leave a mark that a reload would wipe off."""
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"], f"/ui/jobs/{job_id}")
    page.evaluate("window.mark = true")
    return page.locator("h1 .badge")


def not_reloaded(page: Page) -> bool:
    return page.evaluate("window.mark === true") is True


def claim(claw: Api, job_id: str) -> int:
    return int(claw.claim(job_id)["fence"])


def write(claw: Api, job_id: str, fence: int, offset: int, data: bytes) -> None:
    answer = claw.call("POST", f"/jobs/{job_id}/log?offset={offset}", data, {"X-Spine-Fence": str(fence)})
    assert answer.status == 200, answer


def test_a_job_goes_from_queued_to_done_before_ones_eyes(page: Page, server: Server) -> None:
    claw = server.claw("c0")
    job_id = server.head.submit(target="c0", spec={"run": "make"}, label="live")["id"]
    badge = look_at(page, server, job_id)
    expect(badge).to_have_text("queued")
    fence = claim(claw, job_id)
    expect(badge).to_have_text("running")
    claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence, "progress": {"phase": "compiling", "percent": 40}})
    expect(page.locator("#head")).to_contain_text("compiling")
    expect(page.locator("#head progress")).to_have_attribute("value", "40")
    write(claw, job_id, fence, 0, b"first line\n")
    expect(page.get_by_role("log")).to_contain_text("first line")
    write(claw, job_id, fence, 11, b"\x1b[31msecond\x1b[0m line\n")
    expect(page.get_by_role("log").locator(".a-red")).to_have_text("second")
    result = {"branch": "spine/job-1", "url": "https://example.org/x", "howToTest": ["open it", "press it"]}
    claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": result})
    expect(badge).to_have_text("done")
    shown = page.get_by_role("region", name="Result")
    expect(shown.get_by_role("link", name="https://example.org/x")).to_have_attribute("href", "https://example.org/x")
    shown.get_by_label("press it").check()
    expect(page.locator("#log-state")).to_contain_text("The log is over")
    assert not_reloaded(page)
    page.reload()
    expect(page.get_by_label("press it")).to_be_checked()


def test_a_log_is_followed_to_its_end_searched_and_left_alone_by_who_reads(page: Page, server: Server) -> None:
    claw = server.claw("c1")
    job_id = server.head.submit(target="c1", spec={"run": "make"})["id"]
    fence = claim(claw, job_id)
    begin = b"".join(b"line %04d\n" % n for n in range(500))
    write(claw, job_id, fence, 0, begin)
    look_at(page, server, job_id)
    log = page.get_by_role("log")
    log.scroll_into_view_if_needed()
    expect(log.get_by_text("line 0499")).to_be_in_viewport()
    write(claw, job_id, fence, len(begin), b"line 0500\n")
    expect(log.get_by_text("line 0500")).to_be_in_viewport()
    page.get_by_label("Search the log").fill("line 0007")
    expect(page.locator("#log-hits")).to_have_text("1 line")
    page.get_by_label("Search the log").press("Enter")
    expect(log.get_by_text("line 0007")).to_be_in_viewport()
    expect(page.get_by_label("follow")).not_to_be_checked()
    write(claw, job_id, fence, len(begin) + 10, b"line 0501\n")
    expect(log.get_by_text("line 0501")).to_be_attached()
    expect(log.get_by_text("line 0007")).to_be_in_viewport()
    with page.expect_download() as got:
        page.get_by_role("link", name="Download").click()
    assert got.value.suggested_filename == f"{job_id}.log"


def test_a_job_is_sent_back_for_rework_and_accepted_the_second_time(page: Page, server: Server) -> None:
    claw = server.claw("c2")
    job_id = server.head.submit(target="c2", spec={"run": "make"}, needsReview=True)["id"]
    fence = claim(claw, job_id)
    claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": "first try"}})
    badge = look_at(page, server, job_id)
    page.get_by_role("button", name="Send back for rework").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send back for rework").click()
    expect(dialog).to_be_visible()  # without a word of what to do nothing is sent
    dialog.get_by_label("What to do differently").fill("With a test, please.")
    dialog.get_by_role("button", name="Send back for rework").click()
    expect(badge).to_have_text("queued")
    expect(page.locator("#comments")).to_contain_text("With a test, please.")
    fence = claim(claw, job_id)
    claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": "second try"}})
    expect(page.get_by_role("region", name="Result")).to_contain_text("second try")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#decide")).to_contain_text("It was reviewed.")
    assert server.head.job(job_id)["review"]["state"] == "accepted"
    assert not_reloaded(page)


def test_a_job_that_waits_for_approval_is_found_on_the_board_and_approved(page: Page, server: Server) -> None:
    job_id = server.head.submit(target="c3", spec="ask me first", needsApproval=True)["id"]
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"])
    row = page.locator("#needs li", has_text="ask me first")
    row.get_by_role("link", name="Look and decide").click()
    expect(page.locator("h1 .badge")).to_have_text("waiting")
    await_live(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("h1 .badge")).to_have_text("queued")
    assert server.head.job(job_id)["approval"]["state"] == "approved"
    page.get_by_role("link", name="Board").click()
    expect(page.locator("#waiting")).to_contain_text("ask me first")
    expect(page.locator("#needs li", has_text="ask me first")).to_have_count(0)


def test_a_running_job_is_cancelled_with_a_reason(page: Page, server: Server) -> None:
    claw = server.claw("c4")
    job_id = server.head.submit(target="c4", spec={"run": "sleep 1000"})["id"]
    fence = claim(claw, job_id)
    badge = look_at(page, server, job_id)
    expect(badge).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its claw is told to stop.")
    dialog.get_by_label("Why").fill("not needed any more")
    dialog.get_by_role("button", name="Cancel").click()
    expect(badge).to_have_text("cancelled")
    expect(page.locator("#timeline")).to_contain_text("not needed any more")
    assert claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence}).status == 409
    assert not_reloaded(page)


def test_what_is_typed_stays_while_the_page_goes_on(page: Page, server: Server) -> None:
    claw = server.claw("c5")
    job_id = server.head.submit(target="c5", spec={"run": "make"})["id"]
    badge = look_at(page, server, job_id)
    said = page.get_by_label("Say something")
    said.press_sequentially("half a sen")
    claim(claw, job_id)
    expect(badge).to_have_text("running")
    said.press_sequentially("tence")
    expect(said).to_have_value("half a sentence")
    expect(said).to_be_focused()
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#comments")).to_contain_text("half a sentence")
    expect(said).to_have_value("")


def test_the_curl_line_does_what_the_button_does(page: Page, server: Server) -> None:
    job_id = server.head.submit(target="c6", spec="x")["id"]
    look_at(page, server, job_id)
    page.get_by_text("The same by curl").click()
    line = page.locator(".curl code", has_text="/cancel").text_content()
    assert line == (
        f"curl -X POST {server.process.url}/jobs/{job_id}/cancel "
        """-H "Authorization: Bearer $SPINE_TOKEN" -H "Content-Type: application/json" -d '{}'"""
    )
