"""Delivering what a job came to: sent until the spine has acknowledged it, and never thrown away."""

import secrets
from typing import Any, Literal

import structlog

from claw import outcome
from claw.outcome import Outcome
from claw.state import Held, Journal
from contract import trace
from contract.client import SpineClient
from contract.errors import BadJson, InvalidField, SpineError, StaleFence, TooLarge, Unauthorized
from contract.killpoints import reach

Delivery = Literal["delivered", "kept late", "undelivered", "waiting", "locked out"]

log = structlog.get_logger()


def write(journal: Journal, held: Held, ended: Outcome) -> None:
    """Put an outcome into the outbox; from here on it survives us."""
    held.outcome = ended
    journal.save(held)
    reach("claw.result-written")


def deliver(client: SpineClient, journal: Journal, held: Held) -> Delivery:
    """Send the outcome in the outbox and clear it when the spine has it.

    "waiting" means that the spine could not be reached, "locked out" that it knows no such token: the same call, with
    the same key, is to be made again later. One that the spine refuses for good is moved to `undelivered/`.
    """
    ended, job_id = held.outcome or outcome.drop("it came to nothing"), held.job_id
    if ended.action == "drop":
        log.info("claw.dropped", job_id=job_id, fence=held.fence, why=ended.reason)
        journal.clear()
        return "delivered"
    how: Delivery = "delivered"
    try:
        _send(client, job_id, held, ended)
    except StaleFence as e:
        # The attempt is over. A result or an error is kept at the spine as a late one; a release needs nothing more.
        if e.members.get("lateResult") == "kept":
            how = "kept late"
        else:
            return _refused(client, journal, held, ended, e)
    except SpineError as e:
        if e.retryable or isinstance(e, Unauthorized):
            if e.retryable:
                log.warning("claw.outcome_waits", code=e.code, **about(client, held))
                return "waiting"
            log.error("claw.locked_out", why=e.detail, kept=str(journal.path), **about(client, held))
            return "locked out"
        shorter = outcome.smaller(ended) if isinstance(e, TooLarge) else None
        if shorter is None:
            return _refused(client, journal, held, ended, e)
        log.warning("claw.result_shortened", why=e.detail, **about(client, held))
        held.settle_key = secrets.token_hex(16)
        write(journal, held, shorter)
        return deliver(client, journal, held)
    reach("claw.result-sent")
    journal.clear()
    log.info("claw.outcome_delivered", action=ended.action, how=how, **about(client, held))
    return how


def about(client: SpineClient, held: Held) -> dict[str, Any]:
    """Return what a line about the call says that was just made: of which job, and what the spine's log calls it."""
    traced = trace.named(held.traceparent())
    return {"job_id": held.job_id, "fence": held.fence, "request_id": client.request_id, **traced}


def _send(client: SpineClient, job_id: str, held: Held, ended: Outcome) -> None:
    client.traceparent = held.traceparent()
    try:
        _tell(client, job_id, held, ended)
    finally:
        client.traceparent = None  # of other jobs, too, this client speaks


def _tell(client: SpineClient, job_id: str, held: Held, ended: Outcome) -> None:
    key = held.settle_key
    if ended.action == "complete":
        client.complete(job_id, held.fence, ended.result, idempotency_key=key)
    elif ended.action == "fail":
        client.fail(job_id, held.fence, ended.error, ended.requeue, key, ended.result, ended.cause, ended.not_before)
    else:
        client.release(job_id, held.fence, ended.reason, ended.count_attempt, key, ended.not_before)


def _refused(client: SpineClient, journal: Journal, held: Held, ended: Outcome, fault: SpineError) -> Delivery:
    """Set a report aside that will never be taken; giving back what is not held any more is nothing to keep."""
    if ended.action == "release":
        log.info("claw.dropped", why=fault.detail, **about(client, held))
        journal.clear()
        return "delivered"
    path = journal.keep_undelivered(held, f"{fault.code}: {fault.detail}")
    log.error("claw.outcome_refused", code=fault.code, kept=path.name, **about(client, held))
    if ended.action == "complete" and isinstance(fault, InvalidField | TooLarge | BadJson):
        # The job is still ours, only its result cannot be taken: it must not run into the end of its lease.
        held.settle_key = secrets.token_hex(16)
        said = f"the spine refused the result ({fault.code}: {fault.detail}); the claw keeps it as {path.name}"
        held.outcome = outcome.fail(said, requeue=False)
        journal.save(held)
        return deliver(client, journal, held)
    journal.clear()
    return "undelivered"
