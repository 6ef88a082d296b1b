"""One job as a page for people: facts, spec, attempts, comments, result."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract import told
from contract.states import Status
from contract.wire import Attempt, CommentRecord, Event, Job
from head import clean, words
from head.boardview import bar, lease
from head.columns import Column, Fitted
from head.steps import steps
from head.tables import event_told
from head.words import Times

_TOLD = ("branch", "commit", "pr", "url", "notes", "howToTest", "artifacts", "phases")
_LINKS = ("branch", "commit", "pr", "url")
_COMMENTS_MOST = 20
_BAR = 20


class History(NamedTuple):
    """The newest events of a job, and how many there are in all."""

    found: list[Event]
    total: int


class Log(NamedTuple):
    """The end of an attempt's log; `size` in bytes."""

    fence: int
    size: int
    lines: list[Text]


def page(job: Job, attempts: list[Attempt], events: History, log: Log | None, times: Times) -> Group:
    """Return everything about a job."""
    parts: list[RenderableType] = [_title(job)]
    if job.status == Status.RUNNING:
        parts.append(_at_work(job, times))
    parts.append(_facts(job, times))
    parts += _section("Spec", _spec(job.spec))
    if job.meta not in (None, {}):
        parts += _section("Meta", [_json(job.meta)])
    if attempts:
        parts += _section("Attempts", [_attempts(attempts, times)])
    if events.found:
        earlier = f" (the last {len(events.found)} of {events.total})" if events.total > len(events.found) else ""
        parts += _section(f"Timeline{earlier}", [_timeline(events.found, times)])
    if job.comments:
        shown = job.comments[-_COMMENTS_MOST:]
        earlier = f" (the last {len(shown)} of {len(job.comments)})" if len(shown) < len(job.comments) else ""
        parts += _section(f"Comments{earlier}", [_comments(shown, times)])
    if log is not None and log.lines:
        parts += _section(f"Log of fence {log.fence} (the end of {log.size} bytes)", log.lines)
    parts += outcome(job)
    parts += to_do(job, attempts)
    return Group(*parts)


def to_do(job: Job, attempts: list[Attempt]) -> list[RenderableType]:
    """Return what a person may type next."""
    found = steps(job, attempts)
    commands = Column("", [Text(f"spine-head {step.command}", "bold") for step in found])
    meanings = Column("", [Text(step.meaning, "dim") for step in found], 1, 16)
    return list(_section("What next", [Fitted([commands, meanings], headed=False)])) if found else []


def outcome(job: Job) -> list[RenderableType]:
    """Return how the job ended: its result, its error, or nothing when it has not ended."""
    parts: list[RenderableType] = []
    if job.result is not None:
        parts += _section("Result", result(job.result))
    if job.error:
        heading = "Error" if words.ended(job) else "Last error"
        parts += _section(heading, [Text(clean.text(job.error), "red")])
    return parts


def result(value: Any) -> list[RenderableType]:
    """Return a result: the members that the contract names in a readable form, the others as JSON."""
    if not isinstance(value, dict):
        return [Text(clean.text(value)) if isinstance(value, str) else _json(value)]
    parts: list[RenderableType] = []
    links = [(name, value[name]) for name in _LINKS if value.get(name)]
    if links:
        parts.append(_pairs([(name, Text(_line(link), "bold")) for name, link in links]))
    if value.get("phases"):
        parts.append(_phases(value["phases"]))
    if value.get("notes"):
        parts.append(_sub("Notes", Text(_text(value["notes"]))))
    if value.get("howToTest"):
        parts.append(_sub("How to test", _checklist(value["howToTest"])))
    if value.get("artifacts"):
        parts.append(_sub("Artifacts", _artifacts(value["artifacts"])))
    rest = {name: member for name, member in value.items() if name not in _TOLD}
    if rest:
        parts.append(_sub("More", _json(rest)))
    return parts or [Text("(empty)", "dim")]


# --- parts ---------------------------------------------------------------------------------------------------------


def _title(job: Job) -> Text:
    return Text.assemble((job.id, "bold"), "  ", (job.status, words.style(job.status)), "  ", words.what(job)[:80])


def _at_work(job: Job, times: Times) -> RenderableType:
    """Return one line: how far it is, and how long its lease holds."""
    parts = [bar(told.percent(job.progress), _BAR), Text(words.phase(job.progress), "yellow")]
    holds = Text("lease ", "dim") + lease(job, times.now_ms)
    line = Text("  ").join([part for part in (*parts, holds) if part])
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _facts(job: Job, times: Times) -> RenderableType:
    pairs = [
        ("target", job.target),
        ("created", f"{times.say(job.created_at)} by {job.created_by}"),
        ("attempts", f"{job.attempts} of {job.max_attempts}" + (f", round {job.round}" if job.round > 1 else "")),
        ("holder", words.holder(job)),
        ("lease ends", times.say(job.lease_until) if job.lease_until else ""),
        ("finished", times.say(job.finished_at) if job.finished_at else ""),
        ("priority", str(job.priority) if job.priority else ""),
        ("timeout", words.span(job.timeout_seconds)),
        ("requires", ", ".join(job.requires)),
        ("parent", job.parent_id or ""),
        ("not before", times.say(job.not_before) if job.not_before else ""),
        ("after", ", ".join(job.after)),
        ("concurrency", f"{job.concurrency_key} (limit {job.concurrency_limit})" if job.concurrency_key else ""),
        ("backoff", words.backoff(job.retry)),
        ("dedupe", job.dedupe_key or ""),
        ("approval", words.approval(job)),
        ("review", words.review(job)),
        ("notify", ", ".join(job.notify)),
        ("released", job.release_reason if isinstance(job.release_reason, str) else ""),
    ]
    return _pairs([(name, Text(clean.line(value))) for name, value in pairs if value])


def _spec(spec: Any) -> list[RenderableType]:
    if isinstance(spec, str):
        return [Text(clean.text(spec) or "(empty)")]
    if not isinstance(spec, dict):
        return [_json(spec)]
    pairs = [(name, Text(_line(spec[name]))) for name in ("repo", "branch") if spec.get(name)]
    if spec.get("run"):
        pairs.append(("run", Text(_command(spec["run"]))))
    for number, phase in enumerate(spec["phases"] if isinstance(spec.get("phases"), list) else [], 1):
        one = phase if isinstance(phase, dict) else {"run": phase}
        pairs.append((_line(one.get("name") or f"phase {number}"), Text(_command(one.get("run", "")))))
    rest = {name: value for name, value in spec.items() if name not in ("repo", "branch", "run", "phases")}
    return [*([_pairs(pairs)] if pairs else []), *([_json(rest)] if rest else [])]


def _attempts(attempts: list[Attempt], times: Times) -> RenderableType:
    took = [words.span(words.seconds_between(attempt.started_at, attempt.ended_at)) for attempt in attempts]
    return Fitted(
        [
            Column("", [Text(f"fence {attempt.fence}", "dim") for attempt in attempts]),
            Column("", [Text(attempt.outcome, words.style(attempt.outcome)) for attempt in attempts]),
            Column("", [Text(words.who(attempt.claimed_by, attempt.machine)) for attempt in attempts], 2, 9),
            Column("", [Text(times.say(attempt.started_at), "dim") for attempt in attempts], 3),
            Column("", [Text(said) for said in took], 4),
            Column("", [Text(_attempt_told(attempt, times)) for attempt in attempts], 1, 20),
        ],
        headed=False,
    )


def _attempt_told(attempt: Attempt, times: Times) -> str:
    said = clean.line(attempt.error or "")
    if attempt.late_at is msgspec.UNSET:
        return said
    return f"{said} came late, {times.say(attempt.late_at)}, and is kept: spine-head adopt".strip()


def _timeline(events: list[Event], times: Times) -> RenderableType:
    return Fitted(
        [
            Column("", [Text(times.say(event.at), "dim") for event in events]),
            Column("", [Text(clean.line(event.type.removeprefix("job."))) for event in events], 0, 9),
            Column("", [Text(clean.line(event.by), "blue") for event in events], 2, 9),
            Column("", [Text(clean.line(event_told(event))) for event in events], 1, 12),
        ],
        headed=False,
    )


def _comments(comments: list[CommentRecord], times: Times) -> RenderableType:
    table = _grid(2)
    for comment in comments:
        table.add_row(
            Text(times.say(comment.t), "dim"), Text(clean.line(comment.by), "blue"), Text(clean.text(comment.text))
        )
    return table


def _phases(phases: Any) -> RenderableType:
    table = _grid(3)
    for phase in phases if isinstance(phases, list) else [phases]:
        if not isinstance(phase, dict):
            table.add_row("", Text(_line(phase)))
            continue
        code, seconds = phase.get("exitCode"), phase.get("seconds")
        mark = Text("✓", "green") if code == 0 else Text("✗", "red")
        took = words.span(float(seconds)) if isinstance(seconds, int | float) else ""
        table.add_row(
            mark, Text(_line(phase.get("name", ""))), Text(took, "dim"), Text("" if code == 0 else f"exit {code}")
        )
    return table


def _checklist(steps: Any) -> RenderableType:
    return Group(*(Text(f"☐ {_text(step)}") for step in (steps if isinstance(steps, list) else [steps])))


def _artifacts(found: Any) -> RenderableType:
    table = _grid(1)
    for artifact in found if isinstance(found, list) else [found]:
        if isinstance(artifact, dict):
            table.add_row(Text(_line(artifact.get("name", ""))), Text(_line(artifact.get("url", ""))))
        else:
            table.add_row("", Text(_line(artifact)))
    return table


def _section(heading: str, parts: Sequence[RenderableType]) -> Iterator[RenderableType]:
    yield Text(f"\n{heading}", "bold underline")
    yield from (Padding(part, (0, 0, 0, 2), expand=False) for part in parts)


def _sub(heading: str, part: RenderableType) -> Group:
    return Group(Text(heading, "bold"), Padding(part, (0, 0, 0, 2), expand=False))


def _pairs(pairs: list[tuple[str, Text]]) -> Table:
    table = _grid(1)
    for name, value in pairs:
        table.add_row(Text(name, "dim"), value)
    return table


def _grid(short: int) -> Table:
    """Return a grid whose first `short` columns are never folded, and one more that may be."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(short):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _json(value: Any) -> Text:
    return Text(clean.text(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def _command(run: Any) -> str:
    return clean.text(" ".join(map(str, run)) if isinstance(run, list) else str(run))


def _line(value: Any) -> str:
    return clean.line(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _text(value: Any) -> str:
    return clean.text(value if isinstance(value, str) else msgspec.json.encode(value).decode())
