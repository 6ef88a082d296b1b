"""The fixtures of this folder: a browser opens pages, and what goes wrong in one is told."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.support.engine import made_net, opened
from tests.support.looking import Faults, assert_accessible, sign_in, take_pictures
from tests.support.server import Server
from tests.support.spine_process import TOKENS


def test_a_page_is_opened_and_pictured(page: Page, server: Server, tmp_path: Path) -> None:
    sign_in(page, server.process.url, TOKENS["HEAD_TOKEN"])
    expect(page.get_by_role("heading", name="Runs now")).to_be_visible()
    assert_accessible(page)
    pictures = take_pictures(page, "board", tmp_path)
    assert [picture.name for picture in pictures] == [
        "board-desktop-light.png",
        "board-desktop-dark.png",
        "board-phone-light.png",
        "board-phone-dark.png",
    ]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("<script>console.error('a fault')</script>", "console error: a fault"),
        ("<script>throw new Error('a fault')</script>", "exception: "),
        ("<img src='http://127.0.0.1:1/x'>", "request: GET http://127.0.0.1:1/x"),
        (
            "<meta http-equiv='Content-Security-Policy' content=\"style-src 'none'\"><style>p {}</style>",
            "Content Security Policy",
        ),
    ],
)
def test_what_goes_wrong_in_a_page_is_told(page: Page, faults: Faults, content: str, told: str) -> None:
    with page.expect_event("console"):
        page.set_content(f"<!doctype html><title>x</title>{content}<script>console.log('over')</script>")
    page.wait_for_load_state()
    assert any(told in fault for fault in faults.seen()), faults.seen()
    faults.expect("")


def test_a_rule_of_accessibility_that_is_broken_is_told(page: Page) -> None:
    page.set_content("<!doctype html><html lang=en><title>x</title><main><img src='data:image/png;base64,'></main>")
    with pytest.raises(AssertionError, match="image-alt"):
        assert_accessible(page)


ASKS_ALL_THE_TIME = """
window.enough = false;
window.asked = (async () => {
    let answered = 0;
    while (!window.enough) {
        const answers = await Promise.all(Array.from({length: 40}, () => fetch("/health", {cache: "no-store"})));
        answered += answers.filter((answer) => answer.ok).length;
    }
    return answered;
})();
"""


def test_no_request_is_lost_by_networks_that_others_make(page: Page, server: Server) -> None:
    page.goto(f"{server.process.url}/ui")
    with opened() as client:
        page.evaluate(f"() => {{ {ASKS_ALL_THE_TIME} }}")
        for _ in range(10):
            made_net(client, f"spine-test-noise-{os.getpid()}")[0].remove()
    assert page.evaluate("() => { window.enough = true; return window.asked; }") > 40
