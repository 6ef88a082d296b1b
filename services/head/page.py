"""One job as a page for people: facts, spec, attempts, comments, result."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract.wire import Attempt, Job
from head import clean, words

_TOLD = ("branch", "commit", "pr", "url", "notes", "howToTest", "artifacts", "phases")
_LINKS = ("branch", "commit", "pr", "url")


def page(job: Job, attempts: list[Attempt]) -> Group:
    """Return everything about a job."""
    parts: list[RenderableType] = [_title(job), _facts(job)]
    parts += _section("Spec", _spec(job.spec))
    if job.meta not in (None, {}):
        parts += _section("Meta", [_json(job.meta)])
    if attempts:
        parts += _section("Attempts", [_attempts(attempts)])
    if job.comments:
        parts += _section("Comments", [_comments(job)])
    parts += outcome(job)
    return Group(*parts)


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


def _facts(job: Job) -> RenderableType:
    now = time.time_ns() // 1_000_000
    pairs = [
        ("target", job.target),
        ("created", f"{job.created_at} by {job.created_by} ({words.ago(job.created_at, now)})"),
        ("attempts", f"{job.attempts} of {job.max_attempts}" + (f", round {job.round}" if job.round > 1 else "")),
        ("holder", words.holder(job)),
        ("lease", f"until {job.lease_until}" if job.lease_until else ""),
        ("progress", words.phase(job.progress) if not words.ended(job) else ""),
        ("finished", f"{job.finished_at} ({words.ago(job.finished_at, now)})" if job.finished_at else ""),
        ("priority", str(job.priority) if job.priority else ""),
        ("timeout", words.span(job.timeout_seconds)),
        ("requires", ", ".join(job.requires)),
        ("parent", job.parent_id or ""),
        ("not before", job.not_before or ""),
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
        told = phase if isinstance(phase, dict) else {"run": phase}
        pairs.append((_line(told.get("name") or f"phase {number}"), Text(_command(told.get("run", "")))))
    rest = {name: value for name, value in spec.items() if name not in ("repo", "branch", "run", "phases")}
    return [*([_pairs(pairs)] if pairs else []), *([_json(rest)] if rest else [])]


def _attempts(attempts: list[Attempt]) -> Table:
    table = _grid(5)
    for attempt in attempts:
        names = dict.fromkeys(name for name in (attempt.claimed_by, attempt.machine) if name)
        told = clean.line(attempt.error or "")
        if attempt.late_at is not msgspec.UNSET:
            told = f"{told} came late at {attempt.late_at} and is kept: spine-head adopt".strip()
        table.add_row(
            Text(f"fence {attempt.fence}", "dim"),
            Text(attempt.outcome, words.style(attempt.outcome)),
            Text(clean.line(" on ".join(names))),
            Text(attempt.started_at, "dim"),
            Text(words.span(words.seconds_between(attempt.started_at, attempt.ended_at))),
            Text(told),
        )
    return table


def _comments(job: Job) -> RenderableType:
    table = _grid(2)
    for comment in job.comments:
        table.add_row(Text(comment.t, "dim"), Text(clean.line(comment.by), "blue"), Text(clean.text(comment.text)))
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


def _section(heading: str, parts: list[RenderableType]) -> Iterator[RenderableType]:
    yield Text(f"\n{heading}", "bold underline")
    yield from (Padding(part, (0, 0, 0, 2), expand=False) for part in parts)


def _sub(heading: str, part: RenderableType) -> Group:
    return Group(Text(heading, "bold"), Padding(part, (0, 0, 0, 2), expand=False))


def _pairs(pairs: list[tuple[str, Text]]) -> Table:
    table = _grid(1)
    for name, value in pairs:
        table.add_row(Text(f"{name}", "dim"), value)
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
