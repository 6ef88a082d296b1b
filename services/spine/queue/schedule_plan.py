"""From what a head sends to a plan: which members go together, and when it is due. Checked before anything is kept."""

import hashlib
from typing import Any

import msgspec

from contract import wire
from contract.errors import InvalidField
from spine.queue import conditions, submit
from spine.queue.moments import moment_of
from spine.queue.rules import Rules
from spine.queue.schedule_times import LAST_MS, LAST_YEAR, Plan, five_fields, next_due, zone_of

LATE_MS = 60_000  # what is later than this has been missed
HOUR_MS = 3_600_000
_WHENS = (("cron", "cron"), ("every_seconds", "everySeconds"), ("at", "at"), ("parent_id", "parentId"))
_KINDS = {"cron": "cron", "everySeconds": "every", "at": "at", "parentId": "chain"}
_NOT_BY_TIME = (("start_at", "startAt"), ("end_at", "endAt"), ("jitter_seconds", "jitterSeconds"))


def kind_of(request: wire.NewSchedule | wire.PreviewSchedule) -> str:
    """Return cron, every, at or chain.

    Raises:
        InvalidField: none or several of the members that say when.
    """
    given = [shown for name, shown in _WHENS if getattr(request, name, None) is not None]
    known = ", ".join(shown for name, shown in _WHENS if hasattr(request, name))
    if len(given) != 1:
        field = given[1] if given else "cron"
        raise InvalidField(f"{field}: give exactly one of {known}; given: {', '.join(given) or 'none'}", field)
    return _KINDS[given[0]]


def check(rules: Rules, request: wire.NewSchedule, job: wire.Submit, now: int, times: bool = True) -> None:
    """Refuse what no look at other schedules is needed to refuse. `job`: the template, decoded.

    `times` False: they are those of a schedule that there is already, and may have passed.

    Raises:
        InvalidField: naming the member; those of the template as `job.…`
    """
    kind = kind_of(request)
    if request.kind not in (None, kind):
        raise InvalidField(f"kind: {request.kind}, but the other members say {kind}", "kind")
    if not request.name.isprintable():
        raise InvalidField("name: has characters that cannot be printed", "name")
    if kind == "chain":
        for name, shown in _NOT_BY_TIME:
            if getattr(request, name):
                raise InvalidField(f"{shown}: not with parentId, which is due when a job ends", shown)
        if request.condition is not None:
            conditions.check(request.condition)
    else:
        _only_for_chains(request)
    if times:
        check_times(request, kind, now)
        if request.every_seconds is not None and request.jitter_seconds > request.every_seconds:
            told = f"jitterSeconds: {request.jitter_seconds}, but it is due each {request.every_seconds} s; give less"
            raise InvalidField(told, "jitterSeconds")
    check_job(rules, job, kind)


def _only_for_chains(request: wire.NewSchedule) -> None:
    others = {"on": request.on != "success", "delaySeconds": request.delay_seconds, "condition": request.condition}
    for shown, given in others.items():
        if given:
            raise InvalidField(f"{shown}: only with parentId", shown)


def check_job(rules: Rules, job: wire.Submit, kind: str) -> None:
    """Refuse a template that could not be submitted now, or that says what the schedule says.

    Raises:
        InvalidField: `job.…`
    """
    if job.not_before is not None:
        raise InvalidField(
            "job.notBefore: the schedule says when; use at or startAt, or job.delaySeconds", "job.notBefore"
        )
    try:
        submit.check(rules, job)
    except InvalidField as e:
        raise InvalidField(f"job.{e.detail}", f"job.{e.members['field']}") from e
    meta = {} if job.meta is msgspec.UNSET else msgspec.json.decode(bytes(job.meta)) or {}
    if kind == "chain" and "parent" in meta:
        raise InvalidField("job.meta.parent: is where the parent's result is handed on", "job.meta.parent")
    if "context" in meta:
        raise InvalidField(
            "job.meta.context: is where the schedule's context is put; give context beside job", "job.meta.context"
        )


def check_times(request: wire.NewSchedule | wire.PreviewSchedule, kind: str, now: int) -> None:
    """Refuse times that cannot be read, contradict each other, or never come.

    Raises:
        InvalidField
    """
    zone_of(request.timezone)
    if request.cron is not None:
        five_fields(request.cron)
    start, end = _moment(request.start_at, "startAt"), _moment(request.end_at, "endAt")
    at = _moment(request.at, "at")
    for shown, given in (("startAt", start), ("at", at)):
        if given is not None and given > LAST_MS:
            raise InvalidField(f"{shown}: later than the year {LAST_YEAR}, the last one that is planned", shown)
    if at is not None:
        for shown, given in (("startAt", start), ("endAt", end)):
            if given is not None:
                raise InvalidField(f"{shown}: not with at, which is due once", shown)
        if at < now - LATE_MS:
            raise InvalidField("at: is in the past; give a later time", "at")
    if start is not None and end is not None and end < start:
        raise InvalidField("endAt: is before startAt", "endAt")
    if kind not in ("at", "chain") and next_due(plan_of(request, now), now) is None:
        field = "cron" if end is None else "endAt"
        raise InvalidField(f"{field}: nothing is due from now on until then; check the times", field)


def plan_of(request: wire.NewSchedule | wire.PreviewSchedule, made_at: int, expires_at: int | None = None) -> Plan:
    """Return the plan of a definition that has been checked. `made_at` (ms): `every` counts from it without startAt."""
    start, end = _moment(request.start_at, "startAt"), _moment(request.end_at, "endAt")
    if expires_at is not None:
        end = expires_at if end is None else min(end, expires_at)
    every_ms = None if request.every_seconds is None else request.every_seconds * 1000
    anchor = made_at + (every_ms or 0) if start is None else start
    return Plan(
        cron=None if request.cron is None else five_fields(request.cron),
        zone=request.timezone,
        every_ms=every_ms,
        anchor=anchor,
        at=_moment(request.at, "at"),
        start=start,
        end=end,
    )


def fire_at(plan: Plan, schedule_id: str, due_at: int, jitter_seconds: int) -> int:
    """Return when a due time is fired (ms): the same for the same due time, also after a restart.

    Before the next one is due, however long the jitter: else one that is late would be fired beside later ones.
    """
    if not jitter_seconds:
        return due_at
    most = jitter_seconds * 1000
    following = next_due(plan, due_at)
    if following is not None:
        most = min(most, following - due_at - 1)
    digest = hashlib.sha256(f"{schedule_id}:{due_at}".encode()).digest()
    return due_at + int.from_bytes(digest[:8], "big") % (most + 1)


def expiry_of(request: wire.NewSchedule, made_at: int) -> int | None:
    """Return when a schedule expires (ms), or None."""
    return None if request.ttl_hours is None else made_at + int(request.ttl_hours * HOUR_MS)


def definition(members: dict[str, msgspec.Raw]) -> str:
    """Return the text of a definition that is kept: without what has a column of its own, or is asked once."""
    left = {name: value for name, value in members.items() if name not in ("paused", "runNow", "version")}
    return msgspec.json.encode({name: value for name, value in left.items() if bytes(value) != b"null"}).decode()


def read(text: str) -> wire.NewSchedule:
    """Return a kept definition."""
    return msgspec.json.decode(text, type=wire.NewSchedule)


def times(request: wire.NewSchedule) -> tuple[Any, ...]:
    """Return the members that decide when it is due: one that changes makes a new plan."""
    r = request
    return (r.cron, r.every_seconds, r.at, r.parent_id, r.timezone, r.start_at, r.end_at, r.jitter_seconds, r.ttl_hours)


def _moment(text: str | None, field: str) -> int | None:
    return None if text is None else moment_of(text, field)
