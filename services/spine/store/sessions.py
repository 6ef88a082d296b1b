"""Sessions of the dashboard: the digest of what a browser holds, and of the token that it stands for."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import Session
from spine.store.statement import Statement, bind, number

KEPT_MOST = 1000
"""Of each token."""


class SessionRow(NamedTuple):
    """A row of `sessions`; times in ms."""

    digest: str
    token: str
    created_at: int
    expires_at: int


_ALL = Statement(Session.select(*[getattr(Session, n) for n in SessionRow._fields]))
_ADD = Statement(Session.insert({getattr(Session, n): bind(n) for n in SessionRow._fields}))
_DROP = Statement(Session.delete().where(Session.digest == bind("digest")))
_PRUNE = Statement(Session.delete().where(Session.expires_at <= bind("now")))
_OLD = (
    Session.select(Session.digest)
    .where(Session.token == bind("token"))
    .order_by(Session.created_at.desc())
    .offset(bind("kept"))
    .limit(number(KEPT_MOST))
)
_CROWD = Statement(Session.delete().where(Session.digest.in_(_OLD)))


def all_of(tx: Tx) -> list[SessionRow]:
    """Return every session, those that are over as well."""
    return [SessionRow._make(row) for row in tx.rows(_ALL)]


def add(tx: Tx, digest: str, token: str, expires_at: int) -> None:
    """Begin one; those that are over go, and the oldest of the same token where it has too many."""
    tx.signals.tokens = True
    tx.run(_PRUNE, now=tx.now)
    tx.run(_CROWD, token=token, kept=KEPT_MOST - 1)
    tx.run(_ADD, digest=digest, token=token, created_at=tx.now, expires_at=expires_at)


def drop(tx: Tx, digest: str) -> None:
    """End one."""
    tx.signals.tokens = True
    tx.run(_DROP, digest=digest)
