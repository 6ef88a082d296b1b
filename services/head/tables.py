"""Lists for people: jobs and events."""

import time
from collections.abc import Iterable

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from contract.wire import Attempt, Event, Job, Machine, Message
from head import clean, words
from head.words import Line

_WHAT_ON_PIPE = 60
MACHINE_STYLES = {"active": "green", "draining": "yellow", "paused": "magenta", "revoked": "dim"}


def jobs(found: Iterable[Job], live: bool) -> Table:
    """Return a table of jobs, one line each; on a pipe without rules, so that tools can read it."""
    now = time.time_ns() // 1_000_000
    table = _table(live)
    for name in ("ID", "STATUS", "TARGET"):
        table.add_column(name, no_wrap=True)
    table.add_column("WHAT", no_wrap=True, overflow="ellipsis", max_width=None if live else _WHAT_ON_PIPE, ratio=1)
    for name in ("TRIES", "HOLDER", "UPDATED"):
        table.add_column(name, no_wrap=True)
    for job in found:
        table.add_row(
            Text(job.id, "bold"),
            Text(job.status, words.style(job.status)),
            Text(clean.line(job.target)),
            Text(words.what(job)),
            Text(f"{job.attempts}/{job.max_attempts}"),
            Text(words.holder(job)),
            Text(words.ago(job.updated_at, now), "dim"),
        )
    return table


def machines(found: Iterable[Machine], now_ms: int, live: bool) -> Table:
    """Return a table of machines, one line each."""
    table = _table(live)
    for name in ("NAME", "STATE", "LAST CONTACT", "RUNNING"):
        table.add_column(name, no_wrap=True)
    table.add_column("CAPABILITIES", overflow="fold" if live else "ellipsis")
    for machine in found:
        running = [clean.line(job_id) for job_id in machine.running]
        table.add_row(
            Text(clean.line(machine.name), "bold"),
            Text(machine.state, MACHINE_STYLES.get(machine.state, "")),
            Text(words.ago(machine.seen_at, now_ms)),
            Text(running[0] + (f" +{len(running) - 1}" if len(running) > 1 else "") if running else "-"),
            Text(clean.line(" ".join(machine.capabilities)) or "-", "dim"),
        )
    return table


def late(found: Iterable[Attempt], live: bool) -> Table:
    """Return a table of attempts that left a late result."""
    table = _table(live)
    for name in ("FENCE", "FROM", "CAME", "RESULT"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for attempt in found:
        names = dict.fromkeys(name for name in (attempt.claimed_by, attempt.machine) if name)
        shown = msgspec.json.encode(attempt.late_result).decode("utf-8", "replace")
        table.add_row(
            Text(str(attempt.fence), "bold"),
            Text(clean.line(" on ".join(names))),
            Text(attempt.late_at if isinstance(attempt.late_at, str) else ""),
            Text(clean.line(_short(shown))),
        )
    return table


def messages(found: Iterable[Message], live: bool) -> Table:
    """Return a table of messages, one line each."""
    now = time.time_ns() // 1_000_000
    table = _table(live)
    for name in ("ID", "KIND", "FROM", "TO", "STATE"):
        table.add_column(name, no_wrap=True)
    table.add_column("TEXT", no_wrap=True, overflow="ellipsis", max_width=None if live else _WHAT_ON_PIPE, ratio=1)
    table.add_column("SENT", no_wrap=True)
    for message in found:
        table.add_row(
            Text(message.id, "bold"),
            Text(message.kind),
            Text(clean.line(message.by)),
            Text(clean.line(message.to)),
            Text(_read_by(message)),
            Text(clean.line(message.text)),
            Text(words.ago(message.at, now), "dim"),
        )
    return table


def _read_by(message: Message) -> str:
    if not isinstance(message.receipts, list):
        return message.state if isinstance(message.state, str) else "-"
    states = [receipt.state for receipt in message.receipts]
    return states[0] if len(states) == 1 else f"read {states.count('read')}/{len(states)}"


def event(found: Event) -> Line:
    """Return one event as a line."""
    data = found.data if isinstance(found.data, dict) else {}
    told = ", ".join(f"{name}={_short(value)}" for name, value in data.items() if value is not None)
    cells = [found.at, f"{clean.line(found.job_id or '-'):<20}", f"{clean.line(found.type):<14}"]
    return Line("  ".join([*cells, f"{clean.line(found.by):<10}", clean.line(told)]).rstrip())


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"


def plain(live: bool, *names: str, last: str) -> Table:
    """Return a table without rows; its last column takes what room is left."""
    table = _table(live)
    for name in names:
        table.add_column(name, no_wrap=True)
    table.add_column(last, no_wrap=not live, overflow="fold" if live else "ellipsis")
    return table


def _table(live: bool) -> Table:
    return Table(
        box=SIMPLE_HEAD if live else None,
        show_edge=False,
        pad_edge=False,
        expand=live,
        header_style="bold dim" if live else "",
        padding=(0, 2, 0, 0),
    )
