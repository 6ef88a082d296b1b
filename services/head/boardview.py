"""The live table as it looks on a terminal; rendered again and again, so that lease clocks run between two looks."""

import time

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.clock import parse_iso
from contract.wire import Job, Machine
from head import clean, words
from head.board import Need, Picture, Waiting
from head.tables import MACHINE_STYLES

_SOON_SECONDS = 15
_DO = {"approval": "approve | reject", "review": "review: accept | rework", "late": "adopt"}


class BoardView:
    """Holds the newest picture, and how far this machine's clock is from the spine's."""

    def __init__(self) -> None:
        self._picture: Picture | None = None
        self._ahead_ms = 0
        self.lost = ""

    def show(self, picture: Picture) -> None:
        """Take a new picture."""
        self._picture, self.lost = picture, ""
        self._ahead_ms = parse_iso(picture.at) - time.time_ns() // 1_000_000

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        picture, now = self._picture, time.time_ns() // 1_000_000 + self._ahead_ms
        if self.lost:
            yield Text(f"the spine does not answer, trying until it does ({clean.line(self.lost)})", "red")
        if picture is None:
            yield Text("looking…" if not self.lost else "", "dim")
            return
        # Four headings with a blank line each, the line of machines, and one to spare.
        rows = max(3, ((options.height or console.height) - 12) // 4)
        yield _fleet(picture, now)
        yield from _section(
            f"Running {_count(len(picture.running), picture.more_running)}", _running(picture, now, rows)
        )
        yield from _section(
            f"Waiting {_count(len(picture.waiting), picture.more_waiting)}", _waiting(picture.waiting, rows)
        )
        yield from _section(f"Needs a person {len(picture.needs_person)}", _needs(picture.needs_person, rows))
        yield from _section("Ended lately", _ended(picture.ended, now, rows))


def lease(job: Job, now_ms: int) -> Text:
    """Return how long a lease still holds."""
    if job.lease_until is None:
        return Text("-", "dim")
    left = (parse_iso(job.lease_until) - now_ms) // 1000
    if left < 0:
        return Text(f"over {words.span(-left)}", "bold red")
    return Text(words.span(left), "yellow" if left < _SOON_SECONDS else "")


def _section(title: str, table: Table) -> list[RenderableType]:
    body: RenderableType = table if table.row_count else Text("  none", "dim")
    return [Text(f"\n{title}", "bold underline"), body]


def _count(number: int, more: bool) -> str:
    return f"{number}{' and more' if more else ''}"


def _fleet(picture: Picture, now_ms: int) -> RenderableType:
    line = Text("Machines  ", "bold")
    for machine in picture.machines:
        line.append(f"{clean.line(machine.name)} ", MACHINE_STYLES.get(machine.state, ""))
        line.append(f"{_state(machine, now_ms)}  ", "dim")
    if not picture.machines:
        line.append("none has been heard of", "dim")
    if picture.paused_targets:
        paused = Text(f"Paused targets  {clean.line(', '.join(picture.paused_targets))}", "magenta")
        return Group(line, paused)
    return line


def _state(machine: Machine, now_ms: int) -> str:
    seen = words.ago(machine.seen_at, now_ms)
    return seen if machine.state == "active" else f"{machine.state}, {seen}"


def _running(picture: Picture, now_ms: int, rows: int) -> Table:
    table = _grid(1, 4)
    for job in picture.running[:rows]:
        done = words.percent(job.progress)
        bar: RenderableType = "" if done is None else ProgressBar(total=100, completed=done, width=12)
        table.add_row(
            Text(job.id, "bold"),
            Text(words.what(job)),
            Text(words.holder(job)),
            Text(words.phase(job.progress)[:40]),
            bar,
            lease(job, now_ms),
        )
    return _rest(table, len(picture.running) - rows)


def _waiting(found: list[Waiting], rows: int) -> Table:
    table = _grid(2, 1)
    for one in found[:rows]:
        told = "" if one.why is None else f"{clean.line(one.why.code)}: {clean.line(one.why.message)}"
        table.add_row(
            Text(one.job.id, "bold"), Text(words.what(one.job)), Text(told, "dim"), Text(clean.line(one.job.target))
        )
    return _rest(table, len(found) - rows)


def _needs(found: list[Need], rows: int) -> Table:
    table = _grid(1, 2)
    for need in found[:rows]:
        table.add_row(
            Text(need.job.id, "bold"),
            Text(words.what(need.job)),
            Text(need.kind if need.kind != "late" else "late result", "magenta"),
            Text(_DO[need.kind] + ("" if need.fence is None else f" {need.fence}"), "dim"),
        )
    return _rest(table, len(found) - rows)


def _ended(found: list[Job], now_ms: int, rows: int) -> Table:
    table = _grid(2, 2)
    for job in found[:rows]:
        table.add_row(
            Text(job.id, "bold"),
            Text(words.what(job)),
            Text(clean.line(job.error or ""), "red"),
            Text(job.status, words.style(job.status)),
            Text(words.ago(job.finished_at or job.updated_at, now_ms), "dim"),
        )
    return table


def _grid(wide: int, short: int) -> Table:
    """Return a grid: the id, `wide` columns that share what room there is, and `short` ones that are never cut.

    Of two wide columns the second, which explains, has the larger share.
    """
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    for n in range(wide):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=n + 1)
    for _ in range(short):
        table.add_column(no_wrap=True)
    return table


def _rest(table: Table, left: int) -> Table:
    if left > 0:
        table.add_row(Text(f"and {left} more", "dim"))
    return table
