"""Columns on a terminal of any width: the least important are left out, the others cut; a row is always one line."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
LUXURY = 5
"""The rank from which on a column is shown only where the others have room to spare."""


class Column(NamedTuple):
    """One column.

    Args:
        heading: what stands above it.
        cells: one for each row.
        rank: 0 is never left out; where room is short the highest goes first.
        least: how many columns of the terminal it needs at least; None when its texts are never cut.
    """

    heading: str | Text
    cells: list[Text]
    rank: int = 0
    least: int | None = None

    @property
    def natural(self) -> int:
        """How wide it is when nothing is cut; 0 when no cell says anything."""
        widest = max((cell.cell_len for cell in self.cells), default=0)
        return max(widest, self.head.cell_len) if widest else 0

    @property
    def needed(self) -> int:
        """How wide it is at least."""
        return self.natural if self.least is None else min(self.natural, self.least)

    @property
    def comfortable(self) -> int:
        """How wide it is before a column that is mere luxury gets any room."""
        return self.natural if self.least is None else min(self.natural, 2 * self.least)

    @property
    def head(self) -> Text:
        """What stands above it, as it looks."""
        return self.heading if isinstance(self.heading, Text) else Text(self.heading, "dim")


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """Divide room among those that want some: nobody gets more than is wanted, what is left over goes to the others."""
    given = [0] * len(wanted)
    left = room
    while left > 0:
        hungry = [n for n, most in enumerate(wanted) if given[n] < most]
        if not hungry:
            break
        each = max(1, left // len(hungry))
        for n in hungry:
            more = min(each, wanted[n] - given[n], left)
            given[n] += more
            left -= more
    return given


def fitted(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into a width, each with its own width; one that says nothing is left out."""
    kept = [column for column in columns if column.natural]
    while kept and (worst := max(kept, key=lambda column: column.rank)).rank > 0:
        room = sum(c.comfortable for c in kept) if worst.rank >= LUXURY else sum(c.needed for c in kept)
        if room + _gaps(kept) <= width:
            break
        kept.remove(worst)
    widths = [column.needed for column in kept]
    over = _least(kept) - width
    for n in reversed(range(len(kept))):  # nothing more may be left out: cut what may be cut, the last first
        if over > 0 and kept[n].least is not None:
            cut = min(over, widths[n] - 1)
            widths[n], over = widths[n] - cut, over - cut
    more = share(width - _least(kept), [column.natural - column.needed for column in kept]) if kept else []
    return [(column, at + plus) for column, at, plus in zip(kept, widths, more, strict=True)]


class Fitted:
    """A table of what fits into the room that it gets."""

    def __init__(self, columns: Sequence[Column], headed: bool = True) -> None:
        self._columns, self._headed = columns, headed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        found = fitted(self._columns, options.max_width)
        grid = Table(box=None, show_header=self._headed, header_style="", pad_edge=False, padding=(0, GAP, 0, 0))
        for column, at in found:
            grid.add_column(column.head, no_wrap=True, overflow="ellipsis", width=at)
        for row in zip(*(column.cells for column, _ in found), strict=True):
            grid.add_row(*row)
        yield grid


def _least(columns: Sequence[Column]) -> int:
    return sum(column.needed for column in columns) + _gaps(columns)


def _gaps(columns: Sequence[Column]) -> int:
    return GAP * (len(columns) - 1)
