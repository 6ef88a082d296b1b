"""First answers kept under their Idempotency-Key, written in the transaction that they answer."""

from typing import NamedTuple

from contract.errors import Conflict
from spine.store.engine import Tx
from spine.store.models import Idempotency
from spine.store.statement import Statement, bind

KEEP_MS = 24 * 3600 * 1000


class Scope(NamedTuple):
    """Whose key it is, and for which request."""

    owner: str
    method: str
    path: str
    key: str


class Kept(NamedTuple):
    """A first answer; `holds` lists `job:fence` pairs of a claim."""

    digest: bytes
    status: int
    body: bytes
    holds: str
    created_at: int


_MATCH = (
    (Idempotency.owner == bind("owner"))
    & (Idempotency.method == bind("method"))
    & (Idempotency.path == bind("path"))
    & (Idempotency.key == bind("key"))
)
_FIND = Statement(Idempotency.select(*[getattr(Idempotency, n) for n in Kept._fields]).where(_MATCH))
_KEEP = Statement(
    Idempotency.insert({getattr(Idempotency, n): bind(n) for n in (*Scope._fields, *Kept._fields)}).on_conflict(
        conflict_target=[getattr(Idempotency, n) for n in Scope._fields],
        preserve=[getattr(Idempotency, n) for n in Kept._fields],
        where=Idempotency.created_at < bind("over"),
    ),
    beside=True,
)
_PRUNE = Statement(Idempotency.delete().where(Idempotency.created_at < bind("before")))


def find(tx: Tx, scope: Scope) -> Kept | None:
    """Return the answer kept under a key in the last 24 hours, or None."""
    row = tx.one(_FIND, **scope._asdict())
    kept = None if row is None else Kept._make(row)
    return None if kept is None or kept.created_at < tx.now - KEEP_MS else kept


def keep(tx: Tx, scope: Scope, digest: bytes, status: int, body: bytes, holds: str) -> None:
    """Keep an answer, in the place of one that is older than 24 hours.

    Raises:
        Conflict: another writer was given the same key at the same moment, and has kept its answer.
    """
    answer = {"digest": digest, "status": status, "body": body, "holds": holds, "created_at": tx.now}
    if tx.run(_KEEP, **scope._asdict(), **answer, over=tx.now - KEEP_MS) != 1:
        raise Conflict("a repeat of this request was carried out at the same moment; send it again")


def prune(tx: Tx) -> int:
    """Drop what is older than 24 hours; return how many."""
    return tx.run(_PRUNE, before=tx.now - KEEP_MS)
