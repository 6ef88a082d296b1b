"""Each page with something on it: its policy, weight, pictures, and the rules of accessibility in light and dark."""

import pytest
from playwright.sync_api import BrowserContext, Page
from tests.support.looking import assert_accessible, await_live, looks, sign_in, take_pictures
from tests.support.server import Server
from tests.support.spine_process import TOKENS

PAGES = {
    "board": "/ui",
    "jobs": "/ui/jobs",
    "machines": "/ui/machines",
    "schedules": "/ui/schedules",
    "notices": "/ui/notices",
    "dead-letters": "/ui/dead",
}
FIRST_VIEW_MOST = 150_000  # bytes as they are sent


@pytest.fixture(scope="module")
def jobs(server: Server) -> dict[str, str]:
    """A fleet at work: a job in each place that a page has for one."""
    head, claw, other = server.head, server.claw("c0"), server.claw("c1")
    made = {}

    def submit(name: str, target: str = "c0", **fields: object) -> str:
        made[name] = head.submit(**{"target": target, "spec": {"run": f"make {name}"}, "label": name} | fields)["id"]
        return made[name]

    def finish(name: str, verb: str, **fields: object) -> None:
        fence = claw.claim(made[name])["fence"]
        claw.call("POST", f"/jobs/{made[name]}/log?offset=0", LOG, {"X-Spine-Fence": str(fence)})
        claw.post(f"/jobs/{made[name]}/{verb}", {"fence": fence, **fields})

    result = {
        "branch": "spine/job-1", "pr": "https://example.org/pull/1", "notes": "Two tests were added.",
        "howToTest": ["Open the page.", "Press the button."], "artifacts": [{"name": "report.html"}], "lines": 12,
    }  # fmt: skip
    submit("reviewed", needsReview=True)
    finish("reviewed", "complete", result=result)
    submit("fine")
    finish("fine", "complete", result={"notes": "All is well."})
    submit("broken", maxAttempts=1)
    finish("broken", "fail", error="exit 2: no rule to make target")
    submit("asked", needsApproval=True)
    submit("queued")
    submit("picky", target="any", requires=["windows"])
    submit("dropped")
    head.post(f"/jobs/{made['dropped']}/cancel", {"reason": "not needed"})
    submit("running", target="c1")
    fence = other.claim(made["running"])["fence"]
    other.call("POST", f"/jobs/{made['running']}/log?offset=0", LOG, {"X-Spine-Fence": str(fence)})
    other.post(f"/jobs/{made['running']}/heartbeat", {"fence": fence, "progress": {"phase": "test", "percent": 60}})
    head.post(f"/jobs/{made['running']}/comment", {"text": "How far is it?"})
    head.post("/targets/c5/pause")
    head.post("/machines/c1/drain")
    for name, cron in (("nightly", "0 3 * * *"), ("hourly", "0 * * * *")):
        job = {"target": "c2", "spec": "look after the house"}
        assert head.post("/schedules", {"name": name, "cron": cron, "timezone": "UTC", "job": job}).status == 201
    return made


LOG = (
    b"$ make\n\x1b[32mok\x1b[0m   first\n\x1b[31mFAIL\x1b[0m second\n\x1b[1;33mwarning\x1b[0m third\n" + b"line\n" * 30
)


@pytest.fixture
def visited(page: Page, server: Server) -> Page:
    """A tab of a head's that is signed in."""
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"])
    return page


@pytest.mark.parametrize("name", [*PAGES, "job-running", "job-reviewed", "job-asked", "sign-in"])
def test_a_page_keeps_the_policy_and_the_rules_and_is_pictured(
    visited: Page, context: BrowserContext, server: Server, jobs: dict[str, str], name: str
) -> None:
    path = PAGES.get(name) or f"/ui/jobs/{jobs[name[4:]]}" if name != "sign-in" else "/ui/sign-in"
    if name == "sign-in":
        context.clear_cookies()
    answer = visited.goto(f"{server.process.url}{path}")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    if name != "sign-in":
        await_live(visited)
    with looks(visited):
        for scheme in ("light", "dark"):
            visited.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert_accessible(visited)
        take_pictures(visited, name)
        wide = visited.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        visited.set_viewport_size({"width": 390, "height": 844})
        narrow = visited.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    assert narrow[0] <= narrow[1], "nobody has to scroll sideways on a phone"


def test_the_first_view_is_light(page: Page, server: Server, jobs: dict[str, str]) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"])
    session.detach()
    assert 10_000 < sum(sizes) < FIRST_VIEW_MOST


def test_nothing_is_loaded_from_elsewhere(page: Page, server: Server, jobs: dict[str, str]) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"], f"/ui/jobs/{jobs['running']}")
    assert {url for url in asked if not url.startswith(f"{server.process.url}/")} == set()


def test_the_button_for_the_look_is_remembered(visited: Page, server: Server) -> None:
    look = "getComputedStyle(document.documentElement).colorScheme"
    assert visited.evaluate(look) == "light"
    visited.get_by_role("button", name="Light or dark").click()
    assert visited.evaluate(look) == "dark"
    visited.goto(f"{server.process.url}/ui/jobs")
    assert visited.evaluate(look) == "dark"
