"""Lists for people: jobs and events."""

from collections.abc import Iterable

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from contract.wire import Attempt, Event, Job, Machine, Message
from head import clean, words
from head.columns import Column, Fitted
from head.words import Line

_CUT_ON_PIPE = 60
MACHINE_STYLES = {"active": "green", "draining": "yellow", "paused": "magenta", "revoked": "dim"}


def jobs(found: Iterable[Job], now_ms: int, live: bool) -> RenderableType:
    """Return a table of jobs, one line each; on a pipe nothing is left out, so that tools can read it."""
    rows = list(found)
    return _fit(
        live,
        Column("ID", [Text(job.id, "bold") for job in rows]),
        Column("STATUS", [Text(job.status, words.style(job.status)) for job in rows]),
        Column("TARGET", [Text(clean.line(job.target)) for job in rows], 3, 9),
        Column("WHAT", [Text(words.what(job)) for job in rows], 1, 10),
        Column("TRIES", [Text(f"{job.attempts}/{job.max_attempts}") for job in rows], 5),
        Column("HOLDER", [Text(words.holder(job)) for job in rows], 4, 9),
        Column("UPDATED", [Text(words.ago(job.updated_at, now_ms), "dim") for job in rows], 2),
    )


def machines(found: Iterable[Machine], now_ms: int, live: bool) -> RenderableType:
    """Return a table of machines, one line each."""
    rows = list(found)
    return _fit(
        live,
        Column("NAME", [Text(clean.line(one.name), "bold") for one in rows], 0, 9),
        Column("STATE", [Text(one.state, MACHINE_STYLES.get(one.state, "")) for one in rows]),
        Column("LAST CONTACT", [Text(words.ago(one.seen_at, now_ms)) for one in rows], 1),
        Column("RUNNING", [Text(_some(one.running)) for one in rows], 2),
        Column("CAPABILITIES", [Text(clean.line(" ".join(one.capabilities)) or "-", "dim") for one in rows], 3, 12),
    )


def _some(ids: list[str]) -> str:
    more = f" +{len(ids) - 1}" if len(ids) > 1 else ""
    return clean.line(ids[0]) + more if ids else "-"


def late(found: Iterable[Attempt], now_ms: int, live: bool) -> RenderableType:
    """Return a table of attempts that left a late result."""
    rows = list(found)
    came = [attempt.late_at if isinstance(attempt.late_at, str) else "" for attempt in rows]
    results = [msgspec.json.encode(attempt.late_result).decode("utf-8", "replace") for attempt in rows]
    return _fit(
        live,
        Column("FENCE", [Text(str(attempt.fence), "bold") for attempt in rows]),
        Column("FROM", [Text(words.who(attempt.claimed_by, attempt.machine)) for attempt in rows], 2, 9),
        Column("CAME", [Text(moment(at, now_ms, live) if at else "") for at in came], 1),
        Column("RESULT", [Text(clean.line(_short(told))) for told in results], 0, 10),
    )


def messages(found: Iterable[Message], now_ms: int, live: bool) -> RenderableType:
    """Return a table of messages, one line each."""
    rows = list(found)
    return _fit(
        live,
        Column("ID", [Text(message.id, "bold") for message in rows]),
        Column("KIND", [Text(message.kind) for message in rows], 4),
        Column("FROM", [Text(clean.line(message.by)) for message in rows], 2, 9),
        Column("TO", [Text(clean.line(message.to)) for message in rows], 5, 9),
        Column("STATE", [Text(_read_by(message)) for message in rows], 3),
        Column("TEXT", [Text(clean.line(message.text)) for message in rows], 0, 10),
        Column("SENT", [Text(words.ago(message.at, now_ms), "dim") for message in rows], 1),
    )


def _read_by(message: Message) -> str:
    if not isinstance(message.receipts, list):
        return message.state if isinstance(message.state, str) else "-"
    states = [receipt.state for receipt in message.receipts]
    return states[0] if len(states) == 1 else f"read {states.count('read')}/{len(states)}"


def event_told(found: Event) -> str:
    """Return what an event holds, in one line that is not clean yet."""
    data = found.data if isinstance(found.data, dict) else {}
    return ", ".join(f"{name}={_short(value)}" for name, value in data.items() if value is not None)


def event(found: Event) -> Line:
    """Return one event as a line."""
    cells = [found.at, f"{clean.line(found.job_id or '-'):<20}", f"{clean.line(found.type):<14}"]
    return Line("  ".join([*cells, f"{clean.line(found.by):<10}", clean.line(event_told(found))]).rstrip())


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


def moment(at: str, now_ms: int, live: bool) -> str:
    """Say when an ISO time was or will be; on a pipe it stays as it is, one word for tools."""
    return words.when(at, now_ms) if live else at


def _fit(live: bool, *columns: Column) -> RenderableType:
    """Return columns as the terminal has room for them; on a pipe all of them, long texts cut."""
    if live:
        return Fitted(columns)
    table = _table(live)
    for column in columns:
        most = None if column.least is None else _CUT_ON_PIPE
        table.add_column(column.heading, no_wrap=True, overflow="ellipsis", max_width=most)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
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
