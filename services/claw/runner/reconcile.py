"""Asking the spine whether what the journal says is still true."""

from typing import Literal

import structlog

from claw import outcome
from claw.process import identity
from claw.runner import launch, outbox
from claw.runner.heartbeat import ask
from claw.settings import Settings
from claw.state import Held, Journal
from contract.client import SpineClient

Standing = Literal["held", "lost", "unknown"]

log = structlog.get_logger()


def reconcile(settings: Settings, client: SpineClient, journal: Journal, held: Held) -> Standing:
    """Beat for a held job; when the spine says that it is not ours any more, end its worker and let it go.

    Not done for a frozen worker: its lease must run out, or a job could hang for ever. A result in the outbox is no
    business of this: delivering it gets the spine's answer.
    """
    if held.job is None or held.outcome is not None:
        return "unknown"
    if held.worker_pid is not None and launch.running(held) and identity.stopped(held.worker_pid):
        return "unknown"
    answer, _, why = ask(client, held.job_id, held.fence)
    if answer in ("held", "unknown"):
        return "held" if answer == "held" else "unknown"
    log.warning("claw.lost", job_id=held.job_id, fence=held.fence, answer=answer, why=why)
    launch.end(settings, held)
    # The worker may have come to its end meanwhile; what it has written goes first.
    now, _ = journal.load()
    if now is not None and now.job_id == held.job_id and now.fence == held.fence and now.outcome is None:
        outbox.write(journal, now, outcome.drop(why))
        outbox.deliver(client, journal, now)
        launch.tidy(settings, now)
    return "lost"
