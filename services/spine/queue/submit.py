"""Submitting jobs: one, or a list that is taken whole or not at all."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from contract import wire
from contract.errors import InvalidField
from contract.ids import new_job_id
from contract.states import Action, Status
from spine.queue import notices
from spine.queue.access import Caller
from spine.queue.mentions import note_mentions
from spine.queue.moments import moment_of
from spine.queue.moving import is_lost, is_satisfied
from spine.queue.rules import Rules
from spine.store import dependencies, jobs
from spine.store.engine import Step, Tx
from spine.store.jobs import JobRow
from spine.store.lanes import canonical


def check(rules: Rules, request: wire.Submit) -> None:
    """Refuse what no transaction is needed to refuse.

    Raises:
        InvalidField
    """
    target = request.target or wire.DEFAULT_TARGET
    if not is_target(rules, target):
        known = ", ".join(sorted({*rules.targets, wire.ANY_TARGET}))
        raise InvalidField(f"target: no machine and no token is named {target!r}; known: {known}", "target")
    if not (_given(request.meta) or "{").lstrip().startswith("{"):
        raise InvalidField("meta: expected an object", "meta")
    if request.not_before is not None and request.delay_seconds is not None:
        raise InvalidField("delaySeconds: give notBefore or delaySeconds, not both", "delaySeconds")
    if request.concurrency_limit is not UNSET and request.concurrency_key is None:
        raise InvalidField("concurrencyLimit: needs a concurrencyKey", "concurrencyLimit")
    _not_before(request)
    notices.check(rules, request)


def is_target(rules: Rules, name: str) -> bool:
    """Tell whether a job may be for this name."""
    return name == wire.ANY_TARGET or name in rules.targets


def _given(value: msgspec.Raw | msgspec.UnsetType) -> str | None:
    """Return a JSON member as text; None when it was not sent, or is null."""
    text = "null" if value is UNSET else bytes(value).decode()
    return None if text.strip() == "null" else text


def _not_before(request: wire.Submit) -> int | None:
    return None if request.not_before is None else moment_of(request.not_before, "notBefore")


def submit(
    tx: Tx,
    rules: Rules,
    caller: Caller,
    request: wire.Submit,
    job_id: str | None = None,
    schedule_id: str | None = None,
) -> tuple[JobRow, bool]:
    """Add a job; return it, and whether it is new (an unfinished one with its dedupe key is returned instead).

    `job_id`: its id, where the dialect of who submits it has ids of another form. `schedule_id`:
    whose occurrence it is. A job that names no trace is in that of its parent.

    Raises:
        InvalidField: it waits for a job that does not exist, or that can never be done.
    """
    if request.after:
        tx.alone()  # what it waits for must not end meanwhile
    if request.dedupe_key is not None:
        same = jobs.holder_of_dedupe_key(tx, request.dedupe_key)
        if same is not None:
            return same, False
    if request.traceparent is None and request.parent_id is not None:
        cause = jobs.find(tx, request.parent_id)
        if cause is not None:
            request = msgspec.structs.replace(request, traceparent=cause.traceparent)
    needed = _needed(tx, request.after)
    row = _row(tx, rules, caller, request, job_id or new_job_id(tx.now))
    unmet = [job for job in needed if not is_satisfied(job)]
    waits = bool(unmet) or row.approval is not None or row.wake_at is not None
    data: dict[str, Any] = {"target": row.target}
    if schedule_id is not None:
        row = row._replace(schedule_id=schedule_id)
        data["scheduleId"] = schedule_id
    job = jobs.insert(tx, Action.HOLD if waits else Action.SUBMIT, row, data)
    tx.signals.steps.append(Step("send", "submit", job.id, job.target, job.traceparent, 0, tx.now, tx.now))
    for need in needed:
        dependencies.add(tx, job.id, need.id, is_satisfied(need))
    note_mentions(tx, job.id, job.spec, job.meta)
    return job, True


def submit_all(tx: Tx, rules: Rules, caller: Caller, requests: Sequence[wire.Submit]) -> list[tuple[JobRow, bool]]:
    """Add a list of jobs, all or none.

    Raises:
        InvalidField: naming the position, such as `[3].after`.
    """
    found = []
    for n, request in enumerate(requests):
        try:
            found.append(submit(tx, rules, caller, request))
        except InvalidField as e:
            raise InvalidField(f"[{n}].{e.detail}", f"[{n}].{e.members['field']}") from e
    return found


def require_known(tx: Tx, request: wire.Submit) -> None:
    """Refuse a job that is to wait for one that is not there or will not be done.

    Raises:
        InvalidField: `after`.
    """
    _needed(tx, request.after)


def _needed(tx: Tx, ids: list[str]) -> list[JobRow]:
    found = []
    for job_id in dict.fromkeys(ids):
        job = jobs.find(tx, job_id)
        if job is None:
            raise InvalidField(f"after: there is no job {job_id}", "after")
        if is_lost(job):
            raise InvalidField(f"after: job {job_id} is {job.status} and will not be done", "after")
        found.append(job)
    return found


def _row(tx: Tx, rules: Rules, caller: Caller, request: wire.Submit, job_id: str) -> JobRow:
    spec = '""' if request.spec is UNSET else bytes(request.spec).decode()
    target = request.target or wire.DEFAULT_TARGET
    requires = canonical(request.requires)
    not_before = _not_before(request)
    if request.delay_seconds:
        not_before = tx.now + request.delay_seconds * 1000
    limit = None if request.concurrency_key is None else 1
    if request.concurrency_limit is not UNSET:
        limit = request.concurrency_limit
    return JobRow(
        seq=0,
        id=job_id,
        lane=rules.lanes.take(tx, target, requires),
        target=target,
        status=Status.QUEUED,
        created_at=tx.now,
        updated_at=tx.now,
        created_by=caller.name,
        max_attempts=request.max_attempts or rules.default_max_attempts,
        spec=spec,
        meta=_given(request.meta) or "{}",
        priority=request.priority,
        timeout_seconds=request.timeout_seconds,
        requires=requires,
        label=request.label,
        parent_id=request.parent_id,
        traceparent=request.traceparent,
        not_before=not_before,
        wake_at=not_before if not_before is not None and not_before > tx.now else None,
        concurrency_key=request.concurrency_key,
        concurrency_limit=limit,
        after=msgspec.json.encode(list(dict.fromkeys(request.after))).decode(),
        retry=None if request.retry is None else msgspec.json.encode(request.retry).decode(),
        dedupe_key=request.dedupe_key,
        approval="pending" if request.needs_approval else None,
        spec_digest=hashlib.sha256(spec.encode()).hexdigest() if request.needs_approval else None,
        needs_review=int(request.needs_review),
        notify=notices.names(request.notify),
        delivery=notices.delivery_of(rules, request.delivery),
    )
