"""Submitting a job."""

import msgspec

from contract import wire
from contract.errors import InvalidField
from contract.ids import new_job_id
from contract.states import Action
from spine.queue.access import Caller
from spine.queue.mentions import note_mentions
from spine.queue.rules import Rules
from spine.store import jobs
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.lanes import canonical


def check(rules: Rules, request: wire.Submit) -> None:
    """Refuse what no transaction is needed to refuse.

    Raises:
        InvalidField
    """
    if request.target != wire.ANY_TARGET and request.target not in rules.targets:
        known = ", ".join(sorted(rules.targets | {wire.ANY_TARGET}))
        raise InvalidField(f"target: no machine and no token is named {request.target!r}; known: {known}", "target")
    if not isinstance(request.meta, msgspec.UnsetType) and not bytes(request.meta).lstrip().startswith(b"{"):
        raise InvalidField("meta: expected an object", "meta")


def submit(tx: Tx, rules: Rules, caller: Caller, request: wire.Submit) -> JobRow:
    """Add a job, ready to be claimed."""
    spec = '""' if isinstance(request.spec, msgspec.UnsetType) else bytes(request.spec).decode()
    meta = "{}" if isinstance(request.meta, msgspec.UnsetType) else bytes(request.meta).decode()
    most = request.max_attempts
    requires = canonical(request.requires)
    row = JobRow(
        seq=0,
        id=new_job_id(),
        lane=rules.lanes.take(tx, request.target, requires),
        target=request.target,
        status="",
        created_at=tx.now,
        updated_at=tx.now,
        created_by=caller.name,
        claimed_by=None,
        worker_id=None,
        machine=None,
        lease_until=None,
        accepted=1,
        unaccepted=0,
        attempts=0,
        max_attempts=rules.default_max_attempts if isinstance(most, msgspec.UnsetType) else most,
        spec=spec,
        meta=meta,
        result=None,
        error=None,
        progress=None,
        release_reason=None,
        priority=request.priority,
        timeout_seconds=request.timeout_seconds,
        requires=requires,
        label=request.label,
        parent_id=request.parent_id,
        traceparent=request.traceparent,
        fence=0,
        round=1,
        comments=0,
        comments_seen=0,
        started_at=None,
        finished_at=None,
        version=1,
    )
    job = jobs.insert(tx, Action.SUBMIT, row, {"target": row.target})
    note_mentions(tx, job.id, spec, meta)
    return job
