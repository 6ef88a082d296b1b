"""Signing in and out in a browser, and what a page does when its session is over or another tab is open."""

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect
from tests.support.looking import Faults, await_live, sign_in
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine
from tests.support.spine_process import TOKENS

from .conftest import VIEWER

HEAD = TOKENS["HEAD_TOKEN"]


def try_token(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_label("Token").press("Enter")


def cookie_of(context: BrowserContext) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies())}


@pytest.mark.parametrize(
    ("token", "told"),
    [("no-such-token", "This token is not known"), (TOKENS["LEFT_CLAW_TOKEN"], "the token of the claw left-claw")],
)
def test_a_token_that_does_not_fit_is_told_and_another_one_leads_on(
    page: Page, faults: Faults, server: Server, token: str, told: str
) -> None:
    faults.expect(r"status of 40[13]")
    page.goto(f"{server.process.url}/ui/machines")
    expect(page.get_by_label("Token")).to_be_focused()
    try_token(page, token)
    expect(page.get_by_role("alert")).to_contain_text(told)
    try_token(page, HEAD)
    expect(page).to_have_url(f"{server.process.url}/ui/machines")


def test_guessing_ends_in_a_word_and_the_right_token_still_leads_in(
    page: Page, faults: Faults, start_spine: StartSpine
) -> None:
    server = start_spine()
    faults.expect("status of 429")
    for n in range(100):
        Api(server.port, f"guess-{n}").get("/jobs?limit=1")
    page.goto(f"{server.process.url}/ui")
    try_token(page, "one-guess-more")
    expect(page.get_by_role("main")).to_contain_text("too many")
    page.goto(f"{server.process.url}/ui")
    try_token(page, HEAD)
    expect(page.get_by_role("heading", name="Runs now")).to_be_visible()


def test_who_signs_out_is_out(page: Page, context: BrowserContext, server: Server) -> None:
    sign_in(page, server.process.url, HEAD)
    held = cookie_of(context)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert context.cookies() == []
    assert server.nobody.get("/jobs?limit=1", held).status == 401
    page.goto(f"{server.process.url}/ui/jobs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_is_over_leads_to_the_sign_in_and_back_to_the_job(
    page: Page, context: BrowserContext, faults: Faults, server: Server
) -> None:
    job = server.head.submit(target="c0", spec={"run": "true"})
    sign_in(page, server.process.url, HEAD, f"/ui/jobs/{job['id']}")
    faults.expect("status of 401")
    assert server.nobody.call("POST", "/ui/sign-out", b"", cookie_of(context)).status == 303
    page.get_by_label("Say something").fill("a word")
    page.get_by_role("button", name="Comment").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    try_token(page, HEAD)
    expect(page).to_have_url(f"{server.process.url}/ui/jobs/{job['id']}")
    assert server.head.job(job["id"])["comments"] == []


def test_two_tabs_share_one_stream_and_the_second_goes_on_when_the_first_is_closed(
    page: Page, context: BrowserContext, server: Server
) -> None:
    streams: set[Request] = set()
    context.on("request", lambda request: streams.add(request) if request.url.endswith("/events") else None)
    context.on("requestfinished", lambda request: streams.discard(request))
    context.on("requestfailed", lambda request: streams.discard(request))
    sign_in(page, server.process.url, HEAD)
    second = context.new_page()
    second.goto(f"{server.process.url}/ui/jobs")
    await_live(second)
    server.head.submit(target="c1", spec="seen in both tabs")
    expect(page.get_by_text("seen in both tabs")).to_be_visible()
    expect(second.get_by_text("seen in both tabs")).to_be_visible()
    assert len(streams) == 1
    streams.clear()
    page.close()
    server.head.submit(target="c1", spec="seen in the second tab")
    expect(second.get_by_text("seen in the second tab")).to_be_visible()
    second.wait_for_timeout(0)  # hands on what the browser has told meanwhile
    assert len(streams) == 1


def test_a_viewer_has_no_button_that_changes_something_and_the_api_refuses(
    page: Page, context: BrowserContext, faults: Faults, server: Server
) -> None:
    job = server.head.submit(target="c2", spec={"run": "true"}, needsApproval=True)
    sign_in(page, server.process.url, VIEWER)
    expect(page.locator("header").get_by_text("viewer")).to_be_visible()
    for path in (
        "/ui",
        "/ui/jobs",
        f"/ui/jobs/{job['id']}",
        "/ui/machines",
        "/ui/schedules",
        "/ui/notices",
        "/ui/dead",
    ):
        page.goto(f"{server.process.url}{path}")
        assert page.locator("[data-call], [data-bulk], [data-resubmit], #join").count() == 0, path
    faults.expect("status of 40[13]")
    asked = "path => fetch(path, {method: 'POST', headers: {'X-Spine-Page': '1'}}).then(answer => answer.status)"
    assert page.evaluate(asked, f"/jobs/{job['id']}/cancel") in (401, 403)
    assert server.head.job(job["id"])["status"] == "waiting"
