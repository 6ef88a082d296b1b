"""What an earlier round of a job came to: for another round, the work goes on from there."""

from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import UNSET

from claw.runner import outbox
from claw.state import Held
from contract.client import SpineClient
from contract.durable import write_durably
from contract.errors import SpineError

_READ_MOST = 4 << 20

log = structlog.get_logger()


def fetch(client: SpineClient, held: Held, path: Path) -> str | None:
    """Write the newest result of an earlier round to a file; returns a line for the log when it could not be had."""
    if held.claimed().round < 2:
        return None
    try:
        earlier = [a for a in client.attempts(held.job_id) if a.round < held.claimed().round and a.result is not UNSET]
    except SpineError as e:
        log.warning("claw.previous_result_missing", code=e.code, **outbox.about(client, held))
        return f"the result of the round before could not be fetched: {e.detail}"
    if earlier:
        write_durably(path, msgspec.json.encode(earlier[-1].result))
    return None


def read(path: Path) -> dict[str, Any]:
    """Return the earlier result; an empty one where there is none, or none that can be used."""
    try:
        with path.open("rb") as source:
            said = msgspec.json.decode(source.read(_READ_MOST))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
