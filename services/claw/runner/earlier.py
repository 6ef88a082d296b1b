"""What earlier runs of a schedule came to, for the agent of the next one: asked of the spine before it begins."""

import structlog

from claw.runner import outbox
from claw.state import Held
from contract.errors import SpineError
from contract.fleet_client import FleetClient
from contract.wire import EarlierRun

log = structlog.get_logger()


def wanted(held: Held) -> bool:
    """Tell whether the job's schedule has noted in it that its agent is to know of earlier runs."""
    job = held.claimed()
    return bool(job.schedule_id) and isinstance(job.meta, dict) and isinstance(job.meta.get("context"), dict)


def fetch(client: FleetClient, held: Held) -> tuple[list[EarlierRun], str | None]:
    """Return what the spine has, and a line for the log when it could not be had within the client's own tries."""
    try:
        return client.earlier(held.job_id), None
    except SpineError as e:
        log.warning("claw.earlier_runs_missing", code=e.code, **outbox.about(client, held))
        return [], f"results of earlier runs could not be fetched, the agent begins without them: {e.detail}"
