"""Texts that would like to be programs, logs that are too long, clocks that are off, lines that are cut: pages hold."""

import contextlib
import re
import sqlite3

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.support.looking import Faults, await_live, sign_in
from tests.support.proxy import Proxy
from tests.support.server import Server, StartSpine
from tests.support.spine_process import TOKENS

HEAD = TOKENS["HEAD_TOKEN"]
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>{{7*7}}\u202egnp.exe"
LINK = "javascript:alert(3)"


def test_markup_and_programs_in_every_text_stay_text(page: Page, start_spine: StartSpine) -> None:
    server = start_spine()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    claw = server.claw("c0")
    fields = {"target": "c0", "label": EVIL, "spec": {"run": EVIL, "repo": LINK, "branch": EVIL}, "meta": {EVIL: EVIL}}
    done = server.head.submit(**fields, needsReview=True)["id"]
    fence = claw.claim(done)["fence"]
    written = claw.call("POST", f"/jobs/{done}/log?offset=0", EVIL.encode() + b"\n", {"X-Spine-Fence": str(fence)})
    assert written.status == 200, written
    server.head.post(f"/jobs/{done}/comment", {"text": EVIL})
    result = {
        "branch": EVIL, "pr": LINK, "url": LINK, "notes": EVIL, "howToTest": [EVIL, LINK], EVIL: EVIL,
        "artifacts": [{"name": EVIL, "url": LINK}, {"name": EVIL, "url": "data:text/html,<script>alert(4)</script>"}],
    }  # fmt: skip
    assert claw.post(f"/jobs/{done}/complete", {"fence": fence, "result": result}).status == 200
    failed = server.head.submit(**fields, maxAttempts=1)["id"]
    fence = claw.claim(failed)["fence"]
    claw.post(f"/jobs/{failed}/fail", {"fence": fence, "error": EVIL})
    running = server.head.submit(**fields)["id"]
    fence = claw.claim(running, capabilities=["ok"])["fence"]
    progress = {"phase": EVIL, "percent": 1e9}
    claw.post(f"/jobs/{running}/heartbeat", {"fence": fence, "progress": progress, "facts": {EVIL: EVIL}})
    server.head.submit(**fields, needsApproval=True)
    sign_in(page, server.process.url, HEAD)
    for path in ("", "/jobs", f"/jobs/{done}", f"/jobs/{failed}", f"/jobs/{running}", "/machines", "/dead"):
        page.goto(f"{server.process.url}/ui{path}")
        await_live(page)
        if path != "/machines":
            expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_attached()
        assert page.locator("main img, main script, main iframe").count() == 0, path
        assert page.locator("a[href^='javascript:' i], a[href^='data:' i], form[action^='java' i]").count() == 0, path
        assert "\u202e" not in page.locator("main").inner_text(), path
    page.goto(f"{server.process.url}/ui/jobs?q={'%3Cscript%3Ealert(5)%3C/script%3E'}&label=%22%3E%3Cimg%20src=x%3E")
    expect(page.get_by_label("Search")).to_have_value("<script>alert(5)</script>")
    page.goto(f"{server.process.url}/ui/jobs/{done}")
    await_live(page)
    expect(page.get_by_role("log")).to_contain_text("<script>alert(2)</script>")
    page.get_by_role("log").scroll_into_view_if_needed()
    assert dialogs == []


def test_a_log_of_64_mib_is_shown_from_its_end_and_the_page_stays_small(page: Page, start_spine: StartSpine) -> None:
    server = start_spine()
    claw = server.claw("c0")
    job_id = server.head.submit(target="c0", spec={"run": "yes"})["id"]
    fence = str(claw.claim(job_id)["fence"])
    piece = (b"x" * 126 + b"\r\n") * 8192  # 1 MiB
    for n in range(64):
        data = piece if n < 63 else piece[:-20] + b"the very last line\r\n"
        answer = claw.call("POST", f"/jobs/{job_id}/log?offset={n << 20}", data, {"X-Spine-Fence": fence}, 60)
        assert answer.status == 200, answer
    sign_in(page, server.process.url, HEAD, f"/ui/jobs/{job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("the very last line")
    expect(page.locator("#log-state")).to_contain_text("67 MB")
    first = log.locator(".line").count()
    assert 1000 < first <= 5000
    log.get_by_role("button", name="Show what was before").click()
    expect(log.locator(".line").nth(first)).to_be_attached()
    assert log.locator(".line").count() <= 2 * first + 1


def test_lines_of_a_megabyte_and_bytes_that_are_no_text_are_shown_in_part(page: Page, server: Server) -> None:
    claw = server.claw("c1")
    job_id = server.head.submit(target="c1", spec={"run": "cat /bin/ls"})["id"]
    fence = str(claw.claim(job_id)["fence"])
    offset = 0
    for data in (
        b"y" * 1_000_000 + b"\n",
        bytes(range(256)) * 256,
        b"\x1b]0;a title\x07\x1b[2J\xff\xfe\n",
        b"the end\n",
    ):
        answer = claw.call("POST", f"/jobs/{job_id}/log?offset={offset}", data, {"X-Spine-Fence": fence})
        assert answer.status == 200, answer
        offset += len(data)
    sign_in(page, server.process.url, HEAD, f"/ui/jobs/{job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("the end")
    assert len(log.inner_text()) < 1_000_000
    assert "a title" not in log.inner_text()
    assert not re.search("[\x00-\x08\x1b]", log.inner_text())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_ten_thousand_comments_do_not_make_a_page_of_ten_thousand(page: Page, start_spine: StartSpine) -> None:
    server = start_spine()
    job_id = server.head.submit(target="c0", spec={"run": "true"})["id"]
    server.head.post(f"/jobs/{job_id}/comment", {"text": "comment 0"})
    server.process.stop()
    with contextlib.closing(sqlite3.connect(server.process.data_dir / "spine.db")) as store, store:
        rows = [(job_id, n, "head", f"comment {n}") for n in range(1, 10_000)]
        store.executemany("INSERT INTO comments (job_id, at, author, text) VALUES (?, ?, ?, ?)", rows)
    server.process.start()
    sign_in(page, server.process.url, HEAD, f"/ui/jobs/{job_id}")
    expect(page.locator("#comments")).to_contain_text("older ones are not shown here")
    expect(page.locator("#comments li").last).to_contain_text("comment 9999")
    assert page.locator("#comments li").count() == 200
    page.get_by_label("Say something").fill("one more")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#comments li").last).to_contain_text("one more")


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_off_by_an_hour_changes_no_word(
    page: Page, context: BrowserContext, server: Server, hours: int
) -> None:
    claw = server.claw("c2")
    job_id = server.head.submit(target="c2", spec={"run": "true"})["id"]
    fence = claw.claim(job_id)["fence"]
    claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence})
    # The browser's own idea of the time, before any program of the page.
    context.add_init_script(f"{{ const now = Date.now; Date.now = () => now() + {hours * 3_600_000}; }}")
    sign_in(page, server.process.url, HEAD, f"/ui/jobs/{job_id}")
    expect(page.locator("#head time[data-kind=lease]")).to_have_text(re.compile(r"in [0-5] min \d\d s"))
    expect(page.locator("#timeline time").first).to_have_text(re.compile(r"just now|\d+ s ago|1 min ago"))
    claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {}})
    expect(page.locator("h1 .badge")).to_have_text("done")
    expect(page.locator("#head .now time")).to_have_text(re.compile(r"just now|\d+ s ago|1 min ago"))


def test_a_page_whose_line_is_cut_again_and_again_misses_nothing(page: Page, faults: Faults, server: Server) -> None:
    faults.expect("net::ERR", "ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY")
    claw = server.claw("c3")
    job_id = server.head.submit(target="c3", spec={"run": "make"})["id"]
    with Proxy(server.port) as proxy:
        sign_in(page, proxy.url, HEAD, f"/ui/jobs/{job_id}")
        badge, log = page.locator("h1 .badge"), page.get_by_role("log")
        proxy.cut()
        fence = claw.claim(job_id)["fence"]
        proxy.mend()
        expect(badge).to_have_text("running")
        written = b""
        for n in range(3):
            line = b"line %d\n" % n
            headers = {"X-Spine-Fence": str(fence)}
            answer = claw.call("POST", f"/jobs/{job_id}/log?offset={len(written)}", line, headers)
            assert answer.status == 200, answer
            written += line
            expect(log).to_contain_text(line.decode().strip())
            proxy.cut()
            proxy.mend()
        with proxy.away():
            claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": "all there"}})
        expect(badge).to_have_text("done")
        expect(page.get_by_role("region", name="Result")).to_contain_text("all there")
        expect(page.locator("#log-state")).to_contain_text("The log is over")
        expect(log.locator(".line")).to_have_text(["line 0", "line 1", "line 2"])
        expect(page.locator("#live")).to_have_attribute("data-state", "on")


def test_a_server_that_is_away_is_told_and_one_that_is_back_is_read_again(
    page: Page, faults: Faults, start_spine: StartSpine
) -> None:
    server = start_spine()
    faults.expect("net::ERR")
    sign_in(page, server.process.url, HEAD)
    server.process.kill9()
    expect(page.locator("#live")).to_have_attribute("data-state", "off")
    server.process.start()
    server.head.submit(target="c0", spec="after the break")
    expect(page.locator("#waiting")).to_contain_text("after the break")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
