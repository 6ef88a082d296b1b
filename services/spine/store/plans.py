"""Plans of the broker's dialect that somebody may approve, once."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Plan
from spine.store.statement import Statement, bind


class PlanRow(NamedTuple):
    """A row of `plans`; times in ms. `approval` is the job that carries the approval out."""

    id: str
    job_id: str
    digest: str
    created_at: int
    approved_at: int | None = None
    approved_by: str | None = None
    approval: str | None = None


_COLUMNS = [getattr(Plan, name) for name in PlanRow._fields]
_FIND = Statement(Plan.select(*_COLUMNS).where(Plan.id == bind("id")))
_ADD = Statement(
    Plan.insert({getattr(Plan, n): bind(n) for n in ("id", "job_id", "digest", "created_at")}).on_conflict_ignore()
)
_APPROVE = Statement(
    Plan.update({Plan.approved_at: bind("now"), Plan.approved_by: bind("by"), Plan.approval: bind("approval")}).where(
        Plan.id == bind("id")
    )
)


def find(tx: Tx, plan_id: str) -> PlanRow | None:
    """Return a plan, or None."""
    row = tx.one(_FIND, id=plan_id)
    return None if row is None else PlanRow._make(row)


def add(tx: Tx, plan_id: str, job_id: str, digest: str) -> None:
    """Keep a plan; one that is known already stays as it is."""
    tx.run(_ADD, id=plan_id, job_id=job_id, digest=digest, created_at=tx.now)


def approve(tx: Tx, plan_id: str, by: str, approval: str) -> None:
    """Record who approved a plan, now, and by which job."""
    tx.run(_APPROVE, id=plan_id, by=by, approval=approval, now=tx.now)
