"""One job: what it is, where it stands, what happened, and what a person may do about it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contract import told
from contract.states import TERMINAL, TRANSITIONS, Action, Status
from spine.queue import why
from spine.queue.access import Principal, visible
from spine.store import attempts, comments, events, machines
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.web import shown, words

COMMENTS_MOST = 200
EVENTS_MOST = 500
_BLOB = re.compile(r"/blobs/blob_[0-9a-z]{24}\Z")
_LINKS = ("pr", "url", "commit", "branch")
_TOLD = (*_LINKS, "notes", "howToTest", "artifacts", "phases", "plan")


class Result(NamedTuple):
    """A result for people; `links`: name, text, address or None. `rest`: the other members as JSON."""

    links: list[tuple[str, str, str | None]]
    notes: str
    steps: list[str]
    artifacts: list[tuple[str, str | None]]
    phases: list[dict[str, Any]]
    rest: str


def look(tx: Tx, principal: Principal, job_id: str) -> dict[str, Any]:
    """Return what the template shows.

    Raises:
        NotFound, Gone, Forbidden
    """
    job = visible(tx, principal, job_id)
    fleet = shown.fleet(tx)
    tries = attempts.of_job(tx, job.id)
    past = events.newest_of_job(tx, job.id, EVENTS_MOST + 1)
    said = comments.last(tx, job.id, COMMENTS_MOST) if job.comments else []
    spec = shown.decoded(job.spec)
    late = [row.fence for row in tries if row.late_result is not None and job.status != Status.DONE]
    return {
        "job": job,
        "line": shown.job_line(job, fleet),
        "reasons": why.why(tx, job).reasons if job.status not in TERMINAL else [],
        "spec": spec if isinstance(spec, str) else None,
        "spec_json": "" if isinstance(spec, str) else words.cut(words.pretty(spec)),
        "command": _command(spec),
        "meta": words.pretty(shown.decoded(job.meta)) if job.meta not in ("{}", "null") else "",
        "facts": _facts(job),
        "attempts": [_attempt(row) for row in reversed(tries)],
        "events": [_event(row) for row in past[-EVENTS_MOST:]],
        "more_events": len(past) > EVENTS_MOST,
        "comments": said,
        "older_comments": job.comments - len(said),
        "result": None if job.result is None else result(shown.decoded(job.result)),
        "error": words.cut(words.text(job.error or "")),
        "log_fences": [row.fence for row in reversed(tries)],
        "late": late,
        # Who is asked to approve rejects; the job is cancelled by that.
        "may_cancel": job.status not in TERMINAL and not (job.approval == "pending" and job.status == Status.WAITING),
        "may_retry": job.status in _sources(Action.RETRY),
        "may_approve": job.approval == "pending" and job.status == Status.WAITING,
        "may_review": job.status == Status.DONE and (job.review == "pending" or bool(job.needs_review)),
        "silent_ms": machines.SILENT_MS,
        "machine": fleet.get(job.machine or job.claimed_by or ""),
    }


def _sources(action: Action) -> frozenset[Status]:
    return TRANSITIONS[action].sources


def _command(spec: Any) -> list[tuple[str, str]]:
    """Return what is run: a name and a command line each."""
    if not isinstance(spec, dict):
        return []
    phases = spec.get("phases") if isinstance(spec.get("phases"), list) else []
    lines = [("run", spec["run"])] if spec.get("run") else []
    for n, phase in enumerate(phases or [], 1):
        given = phase if isinstance(phase, dict) else {"run": phase}
        lines.append((words.line(given.get("name") or f"phase {n}", 60), given.get("run") or ""))
    return [
        (name, words.cut(words.text(" ".join(map(str, run)) if isinstance(run, list) else str(run))))
        for name, run in lines
    ]


def _facts(job: JobRow) -> list[tuple[str, str]]:
    retry = shown.decoded(job.retry)
    found = [
        ("target", job.target),
        ("label", job.label or ""),
        ("attempts", f"{job.attempts} of {job.max_attempts}" + (f", round {job.round}" if job.round > 1 else "")),
        ("created by", job.created_by),
        ("priority", str(job.priority) if job.priority else ""),
        ("time-out", told.span(job.timeout_seconds) if job.timeout_seconds else ""),
        ("requires", ", ".join(shown.decoded(job.requires))),
        ("concurrency", f"{job.concurrency_key}, {job.concurrency_limit} at a time" if job.concurrency_key else ""),
        ("backoff", words.line(retry) if retry else ""),
        ("dedupe key", job.dedupe_key or ""),
        ("approval", _by(job.approval, job.approval_by)),
        ("review", _by(job.review, job.review_by) or ("asked for" if job.needs_review else "")),
        ("notify", ", ".join(shown.decoded(job.notify))),
        ("given back", job.release_reason or ""),
        ("trace", job.traceparent or ""),
    ]
    return [(name, words.line(value)) for name, value in found if value]


def _by(state: str | None, who: str | None) -> str:
    return "" if state is None else state + (f" by {who}" if who else "")


def _attempt(row: attempts.AttemptRow) -> dict[str, Any]:
    holder = dict.fromkeys(name for name in (row.claimed_by, row.machine) if name)
    return {
        "fence": row.fence,
        "round": row.round,
        "number": row.attempt,
        "outcome": row.outcome,
        "holder": words.line(" on ".join(holder)),
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "error": words.line(row.error or "", 400),
        "late_at": row.late_at,
        "has_late_result": row.late_result is not None,
    }


def _event(row: events.EventRow) -> dict[str, Any]:
    data = msgspec.json.decode(row.data)
    return {
        "type": row.type.removeprefix("job."),
        "seq": row.seq,
        "at": row.at,
        "by": words.line(row.author, 60),
        "data": words.line(", ".join(f"{k}: {_short(v)}" for k, v in data.items()), 300)
        if isinstance(data, Mapping)
        else "",
    }


def _short(value: Any) -> str:
    return words.line(value, 120)


def result(value: Any) -> Result:
    """Return a result for people, whatever its form."""
    if not isinstance(value, dict):
        return Result([], words.cut(words.text(value)), [], [], [], "")
    links = [(name, words.line(value[name]), words.link(value[name])) for name in _LINKS if value.get(name)]
    steps = value.get("howToTest")
    found = value.get("artifacts")
    known = set(_TOLD) if isinstance(value.get("phases"), list) else set(_TOLD) - {"phases"}
    rest = {name: member for name, member in value.items() if name not in known}
    return Result(
        links=links,
        notes=words.cut(words.text(value.get("notes") or value.get("plan") or "")),
        steps=[words.text(step)[:2000] for step in (steps if isinstance(steps, list) else [steps] if steps else [])][
            :100
        ],
        artifacts=[_artifact(one) for one in (found if isinstance(found, list) else [found] if found else [])][:200],
        phases=[_phase(one) for one in value["phases"]][:100] if isinstance(value.get("phases"), list) else [],
        rest=words.cut(words.pretty(rest)) if rest else "",
    )


def _artifact(one: Any) -> tuple[str, str | None]:
    """Return an artifact's name and where it can be fetched: at an address, or as one of our blobs."""
    given = one if isinstance(one, dict) else {"url": one}
    url = words.link(given.get("url"))
    name = words.line(given.get("name") or given.get("url") or "file")
    # A claw names our blobs by the address under which it knows us; a browser may know us by another.
    ours = None if url is None else _BLOB.search(url)
    return name, url if ours is None else ours.group()


def _phase(one: Any) -> dict[str, Any]:
    given = one if isinstance(one, dict) else {"name": one}
    seconds = given.get("seconds")
    return {
        "name": words.line(given.get("name") or "", 80),
        "ok": given.get("exitCode") == 0,
        "code": words.line(given["exitCode"], 20) if given.get("exitCode") is not None else "",
        "took": told.span(float(seconds)) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else "",
    }
