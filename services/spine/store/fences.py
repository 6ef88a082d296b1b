"""Fences of a whole store, raised so that nobody who held anything before holds it any more."""

import secrets

from spine.store import meta
from spine.store.engine import Tx
from spine.store.models import Job, NamedLease
from spine.store.statement import Statement, bind, number

_JOBS = Statement(Job.update({Job.fence: Job.fence + bind("step"), Job.version: Job.version + number(1)}))
_LEASES = Statement(
    NamedLease.update(
        {
            NamedLease.fence: NamedLease.fence + bind("step"),
            NamedLease.holder: bind("none"),
            NamedLease.owner: bind("none"),
            NamedLease.until: bind("none"),
        }
    )
)


def raise_all(tx: Tx, step: int) -> tuple[int, int]:
    """Add `step` to the fence of every job and of every named lease, which is then free; return how many of each."""
    return tx.run(_JOBS, step=step), tx.run(_LEASES, step=step, none=None)


def new_store_id(tx: Tx) -> str:
    """Give the store another id: cursors that were given out before are told of a gap."""
    fresh = secrets.token_hex(6)
    meta.put(tx, meta.STORE_ID, fresh)
    return fresh
