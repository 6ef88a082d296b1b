"""Which jobs wait for which."""

from spine.store.engine import Tx
from spine.store.models import Dependency
from spine.store.statement import Statement, bind, number

_ADD = Statement(
    Dependency.insert({getattr(Dependency, n): bind(n) for n in ("job_id", "needs_id", "met")}).on_conflict_ignore()
)
_UNMET = Statement(
    Dependency.select(Dependency.needs_id)
    .where((Dependency.job_id == bind("job_id")) & (Dependency.met == number(0)))
    .order_by(Dependency.needs_id)
)
_WAITING_FOR = Statement(
    Dependency.select(Dependency.job_id)
    .where((Dependency.needs_id == bind("needs_id")) & (Dependency.met == number(0)))
    .order_by(Dependency.job_id)
)
# Those that are met already are left out, so that the index on unmet ones serves: without it every end of a job would
# read the whole table.
_MEET = Statement(
    Dependency.update({Dependency.met: number(1)}).where(
        (Dependency.needs_id == bind("needs_id")) & (Dependency.met == number(0))
    )
)
_WAIVE = Statement(Dependency.update({Dependency.met: number(1)}).where(Dependency.job_id == bind("job_id")))


def add(tx: Tx, job_id: str, needs_id: str, met: bool) -> None:
    """Record that a job needs another."""
    tx.run(_ADD, job_id=job_id, needs_id=needs_id, met=int(met))


def unmet(tx: Tx, job_id: str) -> list[str]:
    """Return the jobs that this one still waits for."""
    return [row[0] for row in tx.rows(_UNMET, job_id=job_id)]


def waive(tx: Tx, job_id: str) -> None:
    """Stop asking for what a job waited for: a person wants it run all the same."""
    tx.run(_WAIVE, job_id=job_id)


def waiting_for(tx: Tx, needs_id: str) -> list[str]:
    """Return the jobs that still wait for this one."""
    return [row[0] for row in tx.rows(_WAITING_FOR, needs_id=needs_id)]


def meet(tx: Tx, needs_id: str) -> None:
    """Note that a job is done, for all that wait for it."""
    tx.run(_MEET, needs_id=needs_id)
