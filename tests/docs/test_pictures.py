"""The pictures: the life of a job is what the transition table draws, and every picture stands alone."""

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from docs.pictures import board, life_of_a_job, screenshots
from tests.docs.pages import DOCS, links, read

from contract.states import TRANSITIONS, Action, Status, Transition

PICTURES = sorted((DOCS / "pictures").glob("*.svg"))

LARGEST = 200_000  # bytes of a picture of the dashboard

Segment = tuple[tuple[int, int], tuple[int, int]]


def test_the_life_of_a_job_is_as_the_table_draws_it() -> None:
    drawn = life_of_a_job.draw()
    assert read(life_of_a_job.PICTURE) == drawn, "the table has changed: run `make pictures` and look at the picture"


def test_the_board_is_as_a_terminal_shows_it() -> None:
    assert read(board.PICTURE) == board.draw(), "the board has changed: run `make pictures` and look at the picture"


def test_the_arrows_are_all_moves_of_the_table_and_no_others() -> None:
    frames = {name: {status.value for status in states} for name, states in life_of_a_job.BOXES.items()}
    drawn = [
        (row.action.value, source, tip)
        for (tail, tip), rows in life_of_a_job.arrows().items()
        for row in rows
        for source in frames.get(tail, {tail})
    ]
    table = [
        (row.action.value, source, row.target.value)
        for row in TRANSITIONS.values()
        for source in [status.value for status in row.sources] or ["new"]
    ]
    assert sorted(drawn) == sorted(table)


def test_every_action_stands_in_the_picture() -> None:
    words = re.findall(r'<tspan class="action">([^<]*)</tspan>', life_of_a_job.draw())
    assert {action for line in words for action in line.split(" · ")} == {action.value for action in Action}


@pytest.mark.parametrize(
    ("action", "row", "fault"),
    [
        (Action.READY, Transition(Action.READY, frozenset(), Status.DEAD, "", "", ""), "new -> dead has no way"),
        (Action.REJECT, None, "nothing goes from waiting to cancelled any more"),
    ],
)
def test_a_table_that_the_layout_does_not_fit_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, action: Action, row: Transition | None, fault: str
) -> None:
    others = {name: moves for name, moves in TRANSITIONS.items() if name != action}
    monkeypatch.setattr(life_of_a_job, "TRANSITIONS", others | ({action: row} if row else {}))
    with pytest.raises(SystemExit, match=fault):
        life_of_a_job.draw()


def test_no_arrow_crosses_another_or_a_state_and_each_is_level_or_upright() -> None:
    ways = {arrow: list(pairwise(route.corners)) for arrow, route in life_of_a_job.ROUTES.items()}
    for arrow, segments in ways.items():
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in segments), arrow
        for status, box in life_of_a_job.STATES.items():
            inside: Segment = ((box.x + 1, box.y + 1), (box.x + box.width - 1, box.y + box.height - 1))
            assert not any(_meet(segment, inside) for segment in segments), (arrow, status)
    for (one, first), (other, second) in combinations(ways.items(), 2):
        assert not any(_meet(a, b) for a in first for b in second), (one, other)


def _meet(one: Segment, other: Segment) -> bool:
    """Tell whether two rectangles touch; a level or upright line is a flat one."""
    return all(
        max(min(a[n] for a in one), min(b[n] for b in other)) <= min(max(a[n] for a in one), max(b[n] for b in other))
        for n in (0, 1)
    )


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_stands_alone_and_reads_in_light_and_dark(picture: Path) -> None:
    text = read(picture)
    root = ElementTree.fromstring(text)  # noqa: S314 - a file of this repository
    assert root.get("role") == "img"
    assert [element.tag.rpartition("}")[2] for element in root][:2] == ["title", "desc"]
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"(?<!xmlns=\")https?:|@import|@font-face|<script|<image|\bon\w+=", text) == []
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#tip", "#main-tip"}


def test_the_pictures_of_the_dashboard_are_small_and_each_is_shown() -> None:
    files = {path.name: path.read_bytes() for path in (DOCS / "pictures").glob("dashboard-*")}
    assert sorted(files) == sorted(screenshots.PICTURES), "run `make screenshots` and look at the pictures"
    assert len(files) == 12
    assert all(content[8:12] == b"WEBP" and len(content) < LARGEST for content in files.values())
    shown = {Path(link).name for link in links(read(DOCS / "howto" / "dashboard.md"))}
    assert set(files) <= shown
