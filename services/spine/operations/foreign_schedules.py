"""Reading schedules that another program keeps: openclaw-scheduler's database, and OpenClaw's own cron/jobs.json."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from contract.clock import iso
from contract.seed_schedule import CannotCarry, Note, Translated, translate
from spine.operations import foreign_aliases
from spine.operations.foreign_aliases import ForeignAlias
from spine.operations.refusal import Refused
from spine.store import foreign

SEED, OPENCLAW = "openclaw-scheduler", "openclaw"
_SQLITE = b"SQLite format 3\0"
_FILE_MOST = 32 << 20
_NAME_MOST = 80
_KNOWN = frozenset(
    [
        "id",
        "jobId",
        "name",
        "description",
        "enabled",
        "agentId",
        "sessionTarget",
        "sessionKey",
        "deleteAfterRun",
        "schedule",
        "payload",
        "delivery",
        "state",
        "createdAtMs",
        "updatedAtMs",
        "wakeMode",
    ]
)


class Source(NamedTuple):
    """A job of another program: its id there, and what it is here, or why it cannot be."""

    origin: str
    id: str
    name: str
    found: Translated | None
    refused: list[Note]


class Found(NamedTuple):
    """All that a file has for us."""

    sources: list[Source]
    aliases: list[ForeignAlias]


def read(path: Path) -> Found:
    """Read every job of a file, and its aliases. It is only read, from a copy.

    Raises:
        Refused: it is none of the two. OSError
    """
    with path.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    if not is_sqlite:
        return Found(list(_of_openclaw(path)), [])
    try:
        with foreign.opened(path) as db:
            aliases = foreign_aliases.read(db)
            return Found(list(_of_seed(db, aliases)), aliases)
    except foreign.Unreadable as e:
        raise Refused(str(e)) from e


def _of_seed(db: foreign.Foreign, aliases: list[ForeignAlias]) -> Iterator[Source]:
    """Yield the rows of `jobs`, whichever columns this version of its schema has."""
    columns = sorted(db.columns("jobs"))
    if not {"id", "name", "schedule_cron"} <= set(columns):
        raise Refused(f"{db.path} is no database of openclaw-scheduler: it has no table jobs with its columns")
    for place, row in db.rows("jobs", columns):
        bad = [name for name, value in row.items() if isinstance(value, bytes)]
        if bad:
            yield Source(SEED, _id(row["id"], place), _shown(row["name"]), None, [Note(bad[0], "is no text")])
            continue
        record, notes = foreign_aliases.named(row, aliases)
        yield _source(SEED, _id(row["id"], place), record, notes, {})


def _of_openclaw(path: Path) -> Iterator[Source]:
    if path.stat().st_size > _FILE_MOST:
        raise Refused(f"{path} has more than {_FILE_MOST} bytes, which no jobs.json has")
    data = path.read_bytes()
    try:
        store = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise Refused(f"{path} is neither an SQLite database nor JSON: {str(e)[:200]}") from e
    jobs = store.get("jobs") if isinstance(store, dict) else store
    if not isinstance(jobs, list):
        raise Refused(f"{path} is no cron/jobs.json of OpenClaw: it has no list of jobs")
    for place, job in enumerate(jobs):
        if not isinstance(job, dict):
            yield Source(OPENCLAW, f"#{place}", _shown(job), None, [Note("job", "is no object")])
            continue
        job_id = _id(job.get("id") or job.get("jobId"), place)
        try:
            record, notes, more = _as_record(job)
        except CannotCarry as e:
            yield Source(OPENCLAW, job_id, _shown(job.get("name")), None, e.notes)
            continue
        yield _source(OPENCLAW, job_id, record, notes, more)


def _source(origin: str, job_id: str, record: dict[str, Any], notes: list[Note], more: dict[str, Any]) -> Source:
    name = _shown(record.get("name"))
    try:
        found = translate(record)
    except CannotCarry as e:
        return Source(origin, job_id, name, None, e.notes)
    body = {**found.body, **more}
    body.pop("runNow", None)  # that was for when it was made, there
    return Source(origin, job_id, name, found._replace(body=body, notes=[*notes, *found.notes]), [])


def _as_record(job: dict[str, Any]) -> tuple[dict[str, Any], list[Note], dict[str, Any]]:
    """Write a job of OpenClaw's as one of openclaw-scheduler's; with it what is told, and further members of ours.

    Raises:
        CannotCarry
    """
    notes: list[Note] = []
    session, key = _session(job, notes)
    when, more = _when(_object(job, "schedule"), notes)
    record: dict[str, Any] = {
        "name": job.get("name") or job.get("description") or f"job {job.get('id')}",
        "enabled": job.get("enabled", True),
        "agent_id": job.get("agentId"),
        "session_target": session,
        "preferred_session_key": key,
        "delete_after_run": job.get("deleteAfterRun", False),
        **when,
        **_payload(_object(job, "payload"), notes),
        **_delivery(job, notes),
    }
    if job.get("wakeMode") == "next-heartbeat":
        notes.append(Note("wakeMode", "dropped: a claw takes the job at once, and waits for no heartbeat"))
    notes += [Note(name, "dropped: unknown here") for name, value in job.items() if name not in _KNOWN and value]
    return record, notes, more


def _session(job: dict[str, Any], notes: list[Note]) -> tuple[str, str | None]:
    target, key = job.get("sessionTarget") or "isolated", job.get("sessionKey")
    if isinstance(target, str) and target.startswith("session:"):
        return "isolated", target.removeprefix("session:")
    if target == "current":
        notes.append(Note("sessionTarget", "current is of the moment at which it was made: now isolated"))
        return "isolated", key
    return str(target), key


def _when(schedule: dict[str, Any], notes: list[Note]) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = schedule.get("kind")
    more: dict[str, Any] = {}
    if kind == "at":
        return {"schedule_kind": "at", "schedule_at": schedule.get("at") or schedule.get("atMs")}, {}
    if kind == "every":
        anchor = schedule.get("anchorMs")
        if isinstance(anchor, int) and 0 < anchor < 4_102_444_800_000:
            more["startAt"] = iso(anchor)  # an interval goes on in the rhythm that it had
        return {"schedule_kind": "every", "schedule_every_ms": schedule.get("everyMs")}, more
    if kind != "cron":
        raise CannotCarry([Note("schedule.kind", f"{_shown(kind)} is none of at, every, cron")])
    if not schedule.get("tz"):
        notes.append(Note("schedule.tz", "missing: it was the gateway machine's own zone, and is UTC now"))
    stagger = schedule.get("staggerMs")
    if isinstance(stagger, int) and stagger > 0:
        more["jitterSeconds"] = min(86_400, math.ceil(stagger / 1000))
    return {"schedule_kind": "cron", "schedule_cron": schedule.get("expr"), "schedule_tz": schedule.get("tz")}, more


def _payload(payload: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    kind = payload.get("kind")
    if kind == "systemEvent":
        return {"payload_kind": "systemEvent", "payload_message": payload.get("text")}
    if kind != "agentTurn":
        raise CannotCarry([Note("payload.kind", f"{_shown(kind)} is none of systemEvent, agentTurn")])
    timeout = payload.get("timeoutSeconds")
    told = {"kind", "message", "model", "thinking", "timeoutSeconds", "deliver", "channel", "to", "bestEffortDeliver"}
    notes += [Note(f"payload.{name}", "dropped: unknown here") for name, value in payload.items()
              if name not in told and value]  # fmt: skip
    return {
        "payload_kind": "agentTurn",
        "payload_message": payload.get("message"),
        "payload_model": payload.get("model"),
        "payload_thinking": payload.get("thinking"),
        "run_timeout_ms": timeout * 1000 if isinstance(timeout, int | float) and timeout > 0 else None,
    }


def _delivery(job: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    """Return how an end is told: OpenClaw announces each. Older releases say so in the payload."""
    given = job.get("delivery")
    payload = _object(job, "payload")
    if not isinstance(given, dict):
        given = {"mode": "announce" if payload.get("deliver") else "none"}
        given |= {name: payload[name] for name in ("channel", "to") if payload.get(name)}
    mode, channel, to = given.get("mode", "none"), given.get("channel"), given.get("to")
    if mode == "none":
        return {"delivery_mode": "none"}
    if mode != "announce":
        notes.append(Note("delivery.mode", f"dropped: {_shown(mode)}; name an alias of a webhook in the job's notify"))
        return {"delivery_mode": "none"}
    if channel in (None, "last") or not to:
        notes.append(Note("delivery.to", "dropped: to where it was spoken of last; say channel and to"))
        return {"delivery_mode": "none"}
    return {"delivery_mode": "announce-always", "delivery_channel": channel, "delivery_to": to}


def _object(job: dict[str, Any], name: str) -> dict[str, Any]:
    found = job.get(name)
    if not isinstance(found, dict):
        raise CannotCarry([Note(name, "is no object")])
    return found


def _id(value: Any, place: int) -> str:
    known = str(value)[:200].encode(errors="replace").decode()  # a lone surrogate can be neither kept nor printed
    return known if isinstance(value, str | int) and known else f"#{place}"


def _shown(value: Any) -> str:
    return "".join(c if c.isprintable() else "�" for c in str(value))[:_NAME_MOST]
