"""What a machine does to prove itself: a built-in job that waits for it, and nothing else."""

import secrets

from claw import capabilities
from claw.leash import Leash
from claw.modes import worker
from claw.runner.attempt import Attempt
from claw.runner.connect import connect
from claw.settings import Settings
from claw.state import ClaimTry, Held, Journal
from contract.client import SpineClient
from contract.clock import SystemClock
from contract.errors import AlreadyClaimed, NotClaimable, TerminalStatus
from contract.wire import Job

_LOOK_AT = 50


def ping(settings: Settings, name: str) -> list[str]:
    """Run the oldest built-in job that is queued for the machine `name`, if there is one; returns lines for people.

    Other jobs are left to `claw run`: a machine that has just joined may not be ready for them.

    Raises:
        SpineError
    """
    journal = Journal(settings.state_dir)
    journal.open()
    with journal.lock() as ours:
        if not ours:
            return ["A claw runs here already: restart it, so that it uses the new settings."]
        kept, _ = journal.load()
        if kept is not None and kept.job is not None:
            return [f"Job {kept.job_id} is still held here; `claw run` goes on with it."]
        client = connect(settings, journal)
        for job in client.jobs(status="queued", target=name, limit=_LOOK_AT).jobs:
            if isinstance(job.spec, dict) and set(job.spec) == {"builtin"}:
                done = _run(settings, client, journal, job)
                if done:
                    return [done]
    return ["Ready. Start it with `claw run`."]


def _run(settings: Settings, client: SpineClient, journal: Journal, job: Job) -> str | None:
    found = capabilities.find(settings)
    try:
        claimed = client.claim_one(job.id, found)
    except (AlreadyClaimed, NotClaimable, TerminalStatus):
        return None
    held = Held(
        claim=ClaimTry(key=secrets.token_hex(16), targets=None, capabilities=found, wait=0.0),
        job_id=claimed.id,
        fence=claimed.fence,
        job=claimed,
        settle_key=secrets.token_hex(16),
        claimed_at_ms=SystemClock().now(),
    )
    journal.save(held)
    told = Attempt(settings, client, journal, held, Leash(), patient=False).carry_on(worker.walk)
    return f"Did job {job.id} ({job.spec['builtin']})." if told else f"Job {job.id} is done and not reported yet."
