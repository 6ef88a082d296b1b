"""What a spine does for dispatch: keep watchers as jobs of this machine's claw, and run recovery by schedule."""

import sys
from pathlib import Path
from typing import Any

from contract.retry import RetryPolicy
from contract.schedule_client import ScheduleClient
from dispatch.desk import Desk
from dispatch.ledger import Entry

PART_SECONDS = 10
"""A watcher's job takes the claw for so long, then hands over to the next: no number of them holds other jobs up."""
JOB_SECONDS = 300
ATTEMPTS = 20
PERMANENT_EXITS = [1, 2]
_PATIENCE = RetryPolicy(attempts=3, total_seconds=15.0)


def lacking(desk: Desk) -> str | None:
    """Return what is missing for a spine to keep watchers; None when nothing is."""
    spine = desk.settings.spine
    if spine is None:
        return "no spine is configured: set SPINE_BASE_URL and SPINE_TOKEN_FILE"
    if not spine.by_file:
        return "SPINE_TOKEN_FILE is not set: a job on this machine takes the token from a file alone"
    if desk.settings.target is None:
        return "DISPATCH_TARGET is not set: the target for which this machine's claw claims"
    return desk.settings.jobs_lack


def client(desk: Desk) -> ScheduleClient:
    """Return a client of the spine; only where `lacking` says that nothing is."""
    spine = desk.settings.spine
    if spine is None:
        raise ValueError("no spine is configured")
    return ScheduleClient(spine.base_urls, spine.token, retry=_PATIENCE, read_seconds=10.0)


def command(desk: Desk, *words: str) -> list[str]:
    """Return the argument list by which a job on this machine calls this program, with these settings."""
    beside = Path(sys.executable).with_name("spine-dispatch")
    program = str(beside) if beside.exists() else "spine-dispatch"
    return ["env", *desk.settings.for_jobs, program, *words]


def keep_watcher(desk: Desk, label: str, entry: Entry, part: int, seconds: float) -> str:
    """Submit the job that watches a label on; repeating it for the same run and part gives the same job.

    Args:
        seconds: after which it is to begin.

    Raises:
        SpineError: the spine does not take it, or cannot be reached.
    """
    key = entry["dispatchKey"]
    words = ["watch", f"--label={label}", f"--slice={PART_SECONDS}", f"--part={part}", f"--key={key}"]
    fields: dict[str, Any] = {
        "target": desk.settings.target,
        "spec": {"run": command(desk, *words), "permanentExits": PERMANENT_EXITS},
        "label": f"{desk.config.name}-deliver:{label}"[:200],
        "timeoutSeconds": JOB_SECONDS,
        "maxAttempts": ATTEMPTS,
        "retry": {"backoffSeconds": 10, "maxSeconds": 300},
        **delivery(entry),
    }
    if seconds >= 1:
        fields["delaySeconds"] = int(seconds)
    return client(desk).submit(fields, idempotency_key=f"watch-{key}-{part}").id


def delivery(entry: Entry) -> dict[str, Any]:
    """Return the member `delivery` of a job for where an entry's answer goes; none where nobody is named."""
    to, channel = entry.get("deliverTo"), entry.get("deliverChannel")
    if not to:
        return {}
    place = {"channel": channel} if channel and not str(to).startswith("@") else {}
    return {"delivery": {"mode": entry.get("deliveryMode") or "announce", "to": to, **place}}
