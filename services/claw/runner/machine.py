"""This machine at the spine: its name there, and what it says of itself."""

import time

import structlog

from claw import capabilities
from claw.settings import Settings
from claw.state import Journal
from contract.errors import Forbidden, SpineError
from contract.fleet_client import FleetClient
from contract.wire import Machine

log = structlog.get_logger()


def itself(client: FleetClient) -> Machine | None:
    """Return this machine as the spine knows it: the token's name decides. None: it has not been heard of yet.

    Raises:
        SpineError
    """
    found = client.machines().machines
    return found[0] if len(found) == 1 else None


def tell_facts(settings: Settings, client: FleetClient) -> Machine | None:
    """Send capabilities and facts; None when the spine has not heard of this machine and CLAW_NAME is not its name.

    Raises:
        SpineError
    """
    known = itself(client)
    try:
        return client.tell_facts(
            settings.name if known is None else known.name,
            capabilities.find(settings),
            capabilities.facts(settings),
        )
    except Forbidden:
        if known is not None:
            raise
        return None  # the first claim makes it known


def tell_when_due(settings: Settings, client: FleetClient, journal: Journal, *, anyway: bool = False) -> bool:
    """Send the facts when the last ones are older than CLAW_FACTS_SECONDS, or `anyway`; tells whether they were sent.

    Nothing depends on them: a spine that does not take them is no reason to stop.
    """
    mark = journal.folder / "facts-sent"
    try:
        age = time.time() - mark.stat().st_mtime
    except FileNotFoundError:
        age = float("inf")
    if not anyway and 0 <= age < settings.facts_seconds:
        return False
    try:
        if tell_facts(settings, client) is None:
            return False
    except SpineError as e:
        log.info("claw.facts_not_told", code=e.code, why=e.detail, request_id=client.request_id)
        return False
    mark.touch(mode=0o600)
    return True
