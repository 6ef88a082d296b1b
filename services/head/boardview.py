"""The live table as it looks on a terminal; rendered again and again, so that lease clocks run between two looks."""

import time

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from contract import told
from contract.clock import parse_iso
from contract.states import Status
from contract.wire import Job, Machine
from head import clean, words
from head.board import Need, Picture, Waiting
from head.columns import Column, Fitted, share
from head.tables import MACHINE_STYLES

_SOON_SECONDS = 15
_BAR = 8
_DO = {"approval": "approve | reject", "review": "review: accept | rework", "late": "adopt"}
_ROOMY = 20  # lines from which on parts stand apart
_SEPARATOR = " · "


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
        width, height = options.max_width, options.height or console.height
        top: list[RenderableType] = []
        if self.lost:
            said = f"the spine does not answer, trying until it does ({clean.line(self.lost)})"
            top.append(_one_line(said, "red"))
        if picture is None:
            yield from top or [Text("looking…", "dim")]
            return
        top += [_counters(picture, now, width), _fleet(picture.machines, now, width)]
        if picture.paused_targets:
            top.append(_one_line(f"Paused targets  {clean.line(', '.join(picture.paused_targets))}", "magenta"))
        apart = height >= _ROOMY
        lines = [len(picture.running), len(picture.waiting), len(picture.needs_person), len(picture.ended)]
        # Each part has a heading; the last line stays empty, since a cursor stands there.
        rows = share(max(4, height - len(top) - len(lines) * (2 if apart else 1) - 1), lines)
        yield from top
        for part in (
            _running(picture, now, rows[0]),
            _waiting(picture, now, rows[1]),
            _needs(picture, rows[2]),
            _ended(picture.ended, now, rows[3]),
        ):
            if apart:
                yield Text("")
            yield part


def lease(job: Job, now_ms: int) -> Text:
    """Return how long a lease still holds."""
    if job.lease_until is None:
        return Text("-", "dim")
    left = (parse_iso(job.lease_until) - now_ms) // 1000
    if left < 0:
        return Text(f"over {words.clock(-left)}", "bold red")
    return Text(words.clock(left), "yellow" if left < _SOON_SECONDS else "")


def bar(done: float | None, width: int = _BAR) -> Text:
    """Return a progress bar with its number, `━━━━──── 50 %`; nothing where no progress is told."""
    if done is None:
        return Text("")
    full = int(done / 100 * width)
    return Text.assemble(("━" * full, "yellow"), ("─" * (width - full), "dim"), f" {int(done)} %")


# --- parts ---------------------------------------------------------------------------------------------------------


def _counters(picture: Picture, now_ms: int, width: int) -> Text:
    """Return how many of each there are; what is furthest from now is left out first where room is short."""
    counts = picture.counts
    needed = _of(picture.needs_person, picture.more_needs, {})
    found = [
        (f"{_of(picture.running, picture.more_running, counts, 'running')} running", "yellow"),
        (f"{_of(picture.waiting, picture.more_waiting, counts, 'queued', 'waiting')} waiting", "cyan"),
        (f"{needed} for a person", "magenta" if picture.needs_person else ""),
        *((f"{counts[s]} {s}", words.style(s)) for s in (Status.DONE, Status.FAILED, Status.DEAD) if counts.get(s)),
        (time.strftime("%H:%M:%S UTC", time.gmtime(now_ms / 1000)), "dim"),
    ]
    line = Text()
    for said, style in found:
        if line.cell_len + len(_SEPARATOR) + len(said) > width and line:
            break
        line.append(_SEPARATOR if line else "", "dim")
        line.append(said, style)
    line.truncate(width, overflow="ellipsis")
    return line


def _of(listed: list[Job] | list[Waiting] | list[Need], more: bool, counts: dict[str, int], *statuses: str) -> str:
    """Say how many there are: those that are listed, or, where these are not all, what the spine counts."""
    counted = sum(counts.get(status, 0) for status in statuses)
    if not more:
        return str(len(listed))
    return str(counted) if counted > len(listed) else f"{len(listed)}+"


def _fleet(machines: list[Machine], now_ms: int, width: int) -> Text:
    """Return the machines in one line: those that are not at work first, as many as there is room for."""
    line = Text.assemble(("Machines", "bold"))
    if not machines:
        line.append("  none has been heard of", "dim")
    for number, machine in enumerate(sorted(machines, key=lambda one: one.state == "active")):
        seen = words.ago(machine.seen_at, now_ms)
        said = Text.assemble(
            (f"  {clean.line(machine.name)} ", MACHINE_STYLES.get(machine.state, "")),
            (seen if machine.state == "active" else f"{machine.state}, {seen}", "dim"),
        )
        left = len(machines) - number
        room = width - len(f" +{left}" if left > 1 else "")
        if number and line.cell_len + said.cell_len > room:
            line.append(f" +{left}", "dim")
            break
        line.append_text(said)
    line.truncate(width, overflow="ellipsis")
    return line


def _running(picture: Picture, now_ms: int, rows: int) -> RenderableType:
    seen = {machine.name: machine.seen_at for machine in picture.machines}
    found = picture.running[:rows]
    title = f"Running {_of(picture.running, picture.more_running, picture.counts, 'running')}"
    contact = [seen.get(job.machine or "") or seen.get(job.claimed_by or "") for job in found]
    return _part(
        title,
        len(picture.running) - rows,
        [Text(job.id, "bold") for job in found],
        Column("WHAT", [Text(words.what(job)) for job in found], 0, 11),
        Column("PHASE", [Text(words.phase(job.progress)) for job in found], 3, 10),
        Column("PROGRESS", [bar(told.percent(job.progress)) for job in found], 2),
        Column("MACHINE", [Text(words.holder(job)) for job in found], 4, 9),
        Column("LEASE", [lease(job, now_ms) for job in found], 1),
        Column("CONTACT", [Text(words.ago(at, now_ms) if at else "-", "dim") for at in contact], 5),
        Column("BEGAN", [Text(_ago(job.started_at, now_ms), "dim") for job in found], 6),
    )


def _waiting(picture: Picture, now_ms: int, rows: int) -> RenderableType:
    found = picture.waiting[:rows]
    title = f"Waiting {_of(picture.waiting, picture.more_waiting, picture.counts, 'queued', 'waiting')}"
    why = ["" if one.why is None else clean.line(one.why.message or one.why.code) for one in found]
    return _part(
        title,
        len(picture.waiting) - rows,
        [Text(one.job.id, "bold") for one in found],
        Column("WHAT", [Text(words.what(one.job)) for one in found], 1, 12),
        Column("WHY", [Text(said, "cyan") for said in why], 0, 24),
        Column("TARGET", [Text(clean.line(one.job.target)) for one in found], 2, 9),
        Column("CAME", [Text(words.ago(one.job.created_at, now_ms), "dim") for one in found], 3),
    )


def _needs(picture: Picture, rows: int) -> RenderableType:
    found = picture.needs_person[:rows]
    kinds = [need.kind if need.kind != "late" else "late result" for need in found]
    commands = [_DO[need.kind] + ("" if need.fence is None else f" {need.fence}") for need in found]
    return _part(
        f"Needs a person {_of(picture.needs_person, picture.more_needs, {})}",
        len(picture.needs_person) - rows,
        [Text(need.job.id, "bold") for need in found],
        Column("FOR", [Text(kind, "magenta") for kind in kinds], 0),
        Column("WHAT", [Text(words.what(need.job)) for need in found], 1, 8),
        Column("spine-head …", [Text(command) for command in commands], 2),
    )


def _ended(jobs: list[Job], now_ms: int, rows: int) -> RenderableType:
    found = jobs[:rows]
    return _part(
        "Ended lately",
        0,  # there are always more
        [Text(job.id, "bold") for job in found],
        Column("STATUS", [Text(job.status, words.style(job.status)) for job in found], 0),
        Column("WHAT", [Text(words.what(job)) for job in found], 1, 10),
        Column("ERROR", [Text(clean.line(job.error or ""), "red") for job in found], 3, 20),
        Column("MACHINE", [Text(words.holder(job)) for job in found], 4, 9),
        Column("ENDED", [Text(words.ago(job.finished_at or job.updated_at, now_ms), "dim") for job in found], 2),
    )


def _part(title: str, left: int, ids: list[Text], *columns: Column) -> RenderableType:
    """Return a table whose title stands above its ids; where not all are shown, the title says so."""
    heading = Text(title, "bold underline")
    if not ids:
        return heading
    if left > 0:
        heading.append(f" (+{left})", "not bold not underline dim")
    return Fitted([Column(heading, ids), *columns])


def _ago(at: str | None, now_ms: int) -> str:
    return words.ago(at, now_ms) if at else ""


def _one_line(said: str, style: str) -> RenderableType:
    return Text(said, style, no_wrap=True, overflow="ellipsis")
