"""Tokens and join codes of machines: only digests, never the secret."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import JoinCode, Token
from spine.store.statement import Statement, bind


class TokenRow(NamedTuple):
    """A row of `tokens`; times in ms."""

    digest: str
    name: str
    role: str
    created_at: int
    expires_at: int | None


class JoinCodeRow(NamedTuple):
    """A row of `join_codes`; times in ms."""

    digest: str
    name: str
    created_by: str
    created_at: int
    expires_at: int
    used_at: int | None


_ALL = Statement(Token.select(*[getattr(Token, n) for n in TokenRow._fields]).order_by(Token.name, Token.created_at))
_ADD = Statement(Token.insert({getattr(Token, n): bind(n) for n in TokenRow._fields}))
_DROP = Statement(Token.delete().where(Token.name == bind("name")))
_EXPIRE = Statement(
    Token.update({Token.expires_at: bind("at")}).where(
        (Token.name == bind("name"))
        & (Token.digest != bind("keep"))
        & (Token.expires_at.is_null() | (Token.expires_at > bind("at")))
    )
)
_PRUNE = Statement(Token.delete().where(Token.expires_at <= bind("now")))
_ADD_CODE = Statement(JoinCode.insert({getattr(JoinCode, n): bind(n) for n in JoinCodeRow._fields}))
_CODE = Statement(
    JoinCode.select(*[getattr(JoinCode, n) for n in JoinCodeRow._fields]).where(JoinCode.digest == bind("digest"))
)
_USE = Statement(
    JoinCode.update({JoinCode.used_at: bind("now")}).where(
        (JoinCode.digest == bind("digest")) & JoinCode.used_at.is_null()
    )
)
_PRUNE_CODES = Statement(JoinCode.delete().where(JoinCode.expires_at < bind("before")))


def all_of(tx: Tx) -> list[TokenRow]:
    """Return every token's row."""
    return [TokenRow._make(row) for row in tx.rows(_ALL)]


def add(tx: Tx, digest: str, name: str, role: str) -> None:
    """Add a token."""
    tx.signals.tokens = True
    tx.run(_ADD, digest=digest, name=name, role=role, created_at=tx.now, expires_at=None)


def drop(tx: Tx, name: str) -> int:
    """Delete every token of a name; return how many."""
    tx.signals.tokens = True
    return tx.run(_DROP, name=name)


def expire_others(tx: Tx, name: str, keep: str, at: int) -> int:
    """Let every other token of a name end at a moment (ms); return how many."""
    tx.signals.tokens = True
    return tx.run(_EXPIRE, name=name, keep=keep, at=at)


def prune(tx: Tx) -> int:
    """Delete tokens that have ended, and join codes a day after their end."""
    tx.run(_PRUNE_CODES, before=tx.now - 24 * 3600 * 1000)
    return tx.run(_PRUNE, now=tx.now)


def add_code(tx: Tx, digest: str, name: str, by: str, expires_at: int) -> None:
    """Add a join code."""
    tx.run(_ADD_CODE, digest=digest, name=name, created_by=by, created_at=tx.now, expires_at=expires_at, used_at=None)


def code(tx: Tx, digest: str) -> JoinCodeRow | None:
    """Return a join code, or None."""
    row = tx.one(_CODE, digest=digest)
    return None if row is None else JoinCodeRow._make(row)


def use_code(tx: Tx, digest: str) -> bool:
    """Mark a code as used; False when it was used before."""
    return tx.run(_USE, digest=digest, now=tx.now) == 1
