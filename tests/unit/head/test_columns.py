"""Columns that fit a terminal."""

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from head.columns import Column, Fitted, share


def drawn(columns: list[Column], width: int) -> list[str]:
    """Return the lines of a table as a terminal of that width has them."""
    out = StringIO()
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(Fitted(columns))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def column(heading: str, cell: str, rank: int = 0, least: int | None = None) -> Column:
    return Column(heading, [Text(cell)], rank, least)


COLUMNS = [
    column("ID", "job-000001"),
    column("WHAT", "Compile everything", 0, 8),
    column("LEASE", "4:59", 1),
    column("NOTE", "on the second machine", 2, 10),
]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            70,
            [
                "ID          WHAT                LEASE  NOTE",
                "job-000001  Compile everything  4:59   on the second machine",
            ],
        ),
        (45, ["ID          WHAT         LEASE  NOTE", "job-000001  Compile ev…  4:59   on the secon…"]),
        (34, ["ID          WHAT             LEASE", "job-000001  Compile everyt…  4:59"]),
        (26, ["ID          WHAT", "job-000001  Compile every…"]),
        (16, ["ID          WHAT", "job-000001  Com…"]),
    ],
)
def test_the_least_important_goes_first_and_the_rest_is_cut(width: int, lines: list[str]) -> None:
    assert drawn(COLUMNS, width) == lines


def test_a_column_that_says_nothing_takes_no_room() -> None:
    assert drawn([column("ID", "a"), column("ERROR", ""), column("WHAT", "b")], 40) == ["ID  WHAT", "a   b"]


def test_wide_letters_and_marks_are_counted_as_the_terminal_shows_them() -> None:
    texts = [Text("依存関係を更新"), Text("e\u0301te\u0301"), Text("plain")]
    found = drawn([Column("WHAT", texts, 0, 6), Column("B", [Text("x")] * 3)], 12)
    assert found == ["WHAT       B", "依存関係…  x", "e\u0301te\u0301        x", "plain      x"]


@pytest.mark.parametrize(
    ("room", "wanted", "given"),
    [
        (10, [3, 3], [3, 3]),
        (10, [2, 20], [2, 8]),
        (10, [20, 20], [5, 5]),
        (1, [5, 5], [1, 0]),
        (-3, [1], [0]),
        (5, [], []),
    ],
)
def test_room_is_shared(room: int, wanted: list[int], given: list[int]) -> None:
    assert share(room, wanted) == given
