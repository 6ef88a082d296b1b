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
"""lost: the job is not ours any more. unknown: nothing was learned, or this is not the one to ask."""

log = structlog.get_logger()


def standing(client: SpineClient, held: Held) -> tuple[Standing, str]:
    """Beat for a held job; returns where it stands, and why for people.

    Not done for a frozen worker: its lease must run out, or a job could hang for ever. Nor for work that is finished:
    reporting it gets the spine's answer.
    """
    if held.job is None or held.outcome is not None or held.all_run():
        return "unknown", ""
    if held.worker_pid is not None and launch.running(held) and identity.stopped(held.worker_pid):
        return "unknown", ""
    answer, _, why = ask(client, held.job_id, held.fence)
    if answer in ("held", "unknown"):
        return ("held" if answer == "held" else "unknown"), why
    return "lost", why


def reconcile(settings: Settings, client: SpineClient, journal: Journal, held: Held) -> Standing:
    """Ask, and when the job is not ours any more, end its worker and let it go."""
    stands, why = standing(client, held)
    if stands != "lost":
        return stands
    log.warning("claw.lost", job_id=held.job_id, fence=held.fence, why=why)
    launch.end(settings, held)
    # The worker may have come to its end meanwhile; what it has written goes first.
    now, _ = journal.load()
    if now is not None and now.job_id == held.job_id and now.fence == held.fence and now.outcome is None:
        outbox.write(journal, now, outcome.drop(why))
        outbox.deliver(client, journal, now)
        launch.tidy(settings, now)
    return "lost"
