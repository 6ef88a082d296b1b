"""Claiming one job so that an answer that was lost on its way is asked for again with the same key."""

import secrets

import structlog

from claw.runner.outbox import about
from claw.settings import Settings
from claw.state import ClaimTry, Held, Journal
from contract.client import SpineClient
from contract.clock import Clock
from contract.errors import IdempotencyMismatch, StaleFence
from contract.killpoints import reach

log = structlog.get_logger()


def claim(
    settings: Settings, client: SpineClient, journal: Journal, clock: Clock, found: list[str], wait: float
) -> Held | None:
    """Claim a job and write it down before anything is done about it; None when none came.

    `found` are this machine's capabilities. A claim that an earlier process left in the journal is repeated first.

    Raises:
        SpineError: the spine gave no answer, or refuses; the key stays in the journal.
    """
    kept, _ = journal.load()
    if kept is not None and kept.job is None:
        tried = kept.claim
    else:
        tried = ClaimTry(
            key=secrets.token_hex(16), targets=list(settings.targets) or None, capabilities=found, wait=float(wait)
        )
        journal.save(Held(claim=tried))
    try:
        jobs = client.claim(
            capabilities=tried.capabilities, targets=tried.targets, wait=tried.wait, idempotency_key=tried.key
        )
    except (StaleFence, IdempotencyMismatch) as e:
        # What it once answered has been lost to another claim, or a newer claw words the claim in another way.
        log.warning("claw.claim_key_spent", code=e.code, request_id=client.request_id)
        journal.clear()
        return None
    if not jobs:
        journal.clear()
        return None
    reach("claw.claimed")
    job = jobs[0]
    held = Held(
        claim=tried,
        job_id=job.id,
        fence=job.fence,
        job=job,
        mode=settings.mode,
        settle_key=secrets.token_hex(16),
        claimed_at_ms=clock.now(),
    )
    journal.save(held)
    reach("claw.state-written")
    log.info("claw.claimed", attempt=job.attempts, **about(client, held))
    return held
