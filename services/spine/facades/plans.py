"""Plans of the broker's workers, kept here: approved once, by whom and when, bound to the text that was shown."""

import hashlib
import re
from typing import Any

import msgspec

from contract.clock import iso
from contract.states import Status
from spine.facades import mapping
from spine.facades.mapping import BROKER
from spine.store import events, jobs, plans
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.plans import PlanRow

PLAN, APPROVE = "plan_echo", "approve_echo"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_ENDED_BADLY = frozenset({Status.FAILED, Status.DEAD, Status.CANCELLED})


def is_plan_id(text: str) -> bool:
    """Tell whether a text is a plan's id: a UUID as it is written by default, and so nothing that leads anywhere."""
    return _UUID.match(text) is not None


def note(tx: Tx, job: JobRow, result: str) -> None:
    """Keep the plan that a worker reports; any other result is passed over."""
    plan_id = _plan_id(job, result)
    if plan_id is not None:
        plans.add(tx, plan_id, job.id, _digest(result))


def approve(tx: Tx, plan_id: str, approval: str) -> tuple[dict[str, Any] | None, str | None]:
    """Record that a plan is approved by the job `approval`; return what that job is told of it, or why it must fail.

    Neither: the plan is not known here, so whoever takes the job has to know it. One whose approval failed may be
    approved again.
    """
    if not plan_id:
        return None, "plan_id required"
    if not is_plan_id(plan_id):
        return None, "unknown plan_id"
    plan = plans.find(tx, plan_id) or _made_by_a_claw(tx, plan_id)
    if plan is None:
        return None, None
    before = None if plan.approval is None else jobs.find(tx, plan.approval)
    if plan.approved_at is not None and (before is None or before.status not in _ENDED_BADLY):
        return None, f"plan {plan_id} was approved already, at {iso(plan.approved_at)} by {plan.approved_by}"
    plans.approve(tx, plan_id, BROKER, approval)
    data = {"planId": plan_id, "digest": plan.digest, "approval": approval}
    events.append(tx, "plan.approved", BROKER, plan.job_id, "any", data)
    return {"id": plan_id, "jobId": plan.job_id, "digest": plan.digest}, None


def _made_by_a_claw(tx: Tx, plan_id: str) -> PlanRow | None:
    """Return the plan that a job of this id has made: claws of ours, and imports, give a plan its job's id."""
    job = mapping.find(tx, BROKER, plan_id)
    if job is None or job.status != Status.DONE or job.result is None:
        return None
    result = msgspec.json.decode(job.result)
    if not isinstance(result, str) or _plan_id(job, result) != plan_id:
        return None
    plans.add(tx, plan_id, job.id, _digest(result))
    return plans.find(tx, plan_id)


def _plan_id(job: JobRow, result: str) -> str | None:
    if f'"{PLAN}"' not in job.spec:
        return None
    try:
        plan = msgspec.json.decode(result)
    except (msgspec.DecodeError, RecursionError):
        return None
    plan_id = plan.get("plan_id") if isinstance(plan, dict) and plan.get("type") == "plan" else None
    return plan_id if isinstance(plan_id, str) and is_plan_id(plan_id) else None


def _digest(result: str) -> str:
    return hashlib.sha256(result.encode()).hexdigest()
