"""Idempotency keys: the first answer is kept with what it changed, and given again to a repeat."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import IdempotencyMismatch, StaleFence
from contract.states import Status
from spine.store import idempotency, jobs
from spine.store.engine import Refusal, Tx
from spine.store.idempotency import Scope


@dataclass(frozen=True)
class Answer:
    """What a verb answers: a status, an encoded body, and for a claim the `job:fence` pairs it gave out."""

    status: int
    body: bytes
    holds: tuple[str, ...] = ()
    replayed: bool = False


@dataclass(frozen=True)
class Key:
    """A request's idempotency key with its scope and the digest of its body."""

    scope: Scope
    digest: bytes


def key_of(owner: str, method: str, path: str, key: str, body: bytes) -> Key:
    """Return the key of a request."""
    return Key(Scope(owner, method, path, key), hashlib.sha256(body).digest())


def once(tx: Tx, key: Key | None, verb: Callable[[Tx], Answer | Refusal]) -> Answer | Refusal:
    """Carry out a verb, or replay the answer that its key was given before. Only answers with a body are kept.

    Raises:
        IdempotencyMismatch: the key came with another body. StaleFence: a claim whose fences have been passed.
    """
    if key is None:
        return verb(tx)
    kept = idempotency.find(tx, key.scope)
    if kept is not None:
        if bytes(kept.digest) != key.digest:
            raise IdempotencyMismatch("this Idempotency-Key was used with another body; use a fresh one")
        _require_live(tx, kept.holds)
        return Answer(kept.status, bytes(kept.body), replayed=True)
    answer = verb(tx)
    if isinstance(answer, Answer) and 200 <= answer.status < 300 and answer.body:
        idempotency.keep(tx, key.scope, key.digest, answer.status, answer.body, " ".join(answer.holds))
    return answer


def _require_live(tx: Tx, holds: str) -> None:
    for pair in holds.split():
        job_id, _, fence = pair.partition(":")
        job = jobs.find(tx, job_id)
        if job is None or job.fence != int(fence) or job.status != Status.RUNNING:
            tx.alone()  # the claim may be one of this very transaction, whose jobs are moved at its end
            raise StaleFence("the claim that this key made is over", jobId=job_id, fence=job.fence if job else None)
