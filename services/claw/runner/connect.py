"""The client that every process of this claw uses: its own worker id, and a token that may be renewed meanwhile."""

import time
from collections.abc import Callable

from claw.inbox import Inbox, listener
from claw.settings import Settings
from claw.state import Journal
from contract.fleet_client import FleetClient
from contract.retry import PATIENT, RetryPolicy


def connect(
    settings: Settings,
    journal: Journal,
    *,
    read_seconds: float = 20.0,
    retry: RetryPolicy = PATIENT,
    sleep: Callable[[float], object] = time.sleep,
) -> FleetClient:
    """Return a client that reads the token's file again when the spine does not know the token any more.

    Messages that come with its answers go to the inbox.
    """
    client = FleetClient(
        settings.base_urls,
        settings.token_now(),
        worker_id=journal.worker_id(settings.name),
        read_seconds=read_seconds,
        retry=retry,
        sleep=sleep,
        renew=settings.newer_token,
    )
    client.on_messages = listener(Inbox(journal.folder), client.acknowledge)
    return client
