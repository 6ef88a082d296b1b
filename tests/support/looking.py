"""How the tests look at pages: nothing wrong in a page's console, the rules of axe-core, pictures to be looked at."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, ViewportSize, expect

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
# A page that is left ends its streams, and what it was still asking for.
_ENDED = "net::ERR_ABORTED"


class Faults:
    """What went wrong in the pages of a context: console errors, breaches of the policy, exceptions, lost requests."""

    def __init__(self, context: BrowserContext) -> None:
        self._found: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        context.on("console", self._said)
        context.on("weberror", lambda error: self._found.append(f"exception: {error.error}"))
        context.on("requestfailed", self._failed)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._found.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _failed(self, request: Request) -> None:
        if request.failure != _ENDED:
            self._found.append(f"request: {request.method} {request.url} {request.failure}")

    def expect(self, *patterns: str) -> None:
        """Let pass what a test brings about by itself; a pattern each."""
        self._expected += map(re.compile, patterns)

    def seen(self) -> list[str]:
        """Return what nobody expected."""
        return [fault for fault in self._found if not any(pattern.search(fault) for pattern in self._expected)]


def sign_in(page: Page, base: str, token: str, path: str = "/ui") -> None:
    """Sign in as a person does, with a token that is right; be at the page afterwards."""
    page.goto(f"{base}{path}")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{base}{path}")
    await_live(page)


def await_live(page: Page) -> None:
    """Wait until a page's programs run and its stream is open: what is pressed before that is lost."""
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def assert_accessible(page: Page) -> None:
    """Check a page as it is by the rules of axe-core; a finding that is serious or critical fails the test."""
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    # In a world of its own beside the page's: its policy, which forbids this script, does not hold there.
    session = page.context.new_cdp_session(page)
    try:
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
        _evaluate(session, world, f"{script}; true")
        found = _evaluate(session, world, "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
    finally:
        session.detach()
    told = [
        f"{finding['id']} ({finding['impact']}): {finding['help']}: {node['html'][:160]} {node['failureSummary']}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
    assert not told, "\n".join(told)


def _evaluate(session: Any, world: int, expression: str) -> Any:
    given = {"expression": expression, "contextId": world, "awaitPromise": True, "returnByValue": True}
    answer = session.send("Runtime.evaluate", given)
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")


@contextmanager
def looks(page: Page) -> Iterator[None]:
    """Put a page back to the light look on a desk afterwards."""
    try:
        yield
    finally:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESKTOP)


def take_pictures(page: Page, name: str, folder: Path = PICTURES) -> list[Path]:
    """Write a page's pictures, light and dark, on a desk and on a phone; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with looks(page):
        for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                made.append(folder / f"{name}-{device}-{scheme}.png")
                page.screenshot(path=made[-1], full_page=True, animations="disabled", caret="hide")
    return made
