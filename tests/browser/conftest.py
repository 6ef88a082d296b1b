"""A browser for these tests, and a fresh profile of it for each, which may keep no fault to itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.support.chromium import Chromium
from tests.support.looking import DESKTOP, Faults
from tests.support.server import Server, StartSpine, claw_tokens
from tests.support.spine_process import SpineProcess

WAIT_MS = 60_000  # for whatever a page is to show: what is slow is not wrong
VIEWER = "viewer-token-0001"
ENVIRONMENT: dict[str, str | None] = {"CLAW_TOKENS": claw_tokens(40), "VIEWER_TOKEN": VIEWER}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The browser of this process."""
    browser = Chromium()
    yield browser
    browser.stop()


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    """The same, at hand. Only for a module: while Playwright is here no other test of this process can run a loop."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        connected = playwright.chromium.connect_over_cdp(chromium.address, timeout=WAIT_MS)
        yield connected
        connected.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's profile: cookies and storage of its own, the light look on a desk."""
    made = browser.new_context(viewport=DESKTOP, color_scheme="light", locale="en-GB", timezone_id="UTC")
    made.set_default_timeout(WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def faults(context: BrowserContext) -> Iterator[Faults]:
    """What goes wrong in the pages of this profile; the test fails by what it did not expect."""
    found = Faults(context)
    yield found
    assert found.seen() == []


@pytest.fixture
def page(context: BrowserContext, faults: Faults) -> Page:
    """A tab."""
    return context.new_page()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the whole module, with a viewer and 40 claws besides left and right."""
    process = SpineProcess(tmp_path_factory.mktemp("spine"), ENVIRONMENT).start()
    yield Server(process)
    code = process.stop()
    assert code == 0, process.log_tail()
    assert process.faults() == [], process.log_tail()


@pytest.fixture
def start_spine(tmp_path: Path) -> Iterator[StartSpine]:
    """Start a server of a test's own."""
    running: list[SpineProcess] = []

    def start() -> Server:
        running.append(SpineProcess(tmp_path / f"spine{len(running)}", ENVIRONMENT))
        return Server(running[-1].start())

    yield start
    for process in running:
        process.kill9()
        assert process.faults() == [], process.log_tail()
