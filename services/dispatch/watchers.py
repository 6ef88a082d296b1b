"""The watcher of a label as a job of the spine: owed from the dispatch on, until the spine has taken it.

A process that is killed before it has filed one, and a spine that is away or refuses it, leave it owed; whichever verb
next files what is owed (`recover`, `stuck`, `sync`, `enqueue`) mends that.
"""

from contract.errors import IdempotencyMismatch, SpineError
from dispatch import spines
from dispatch.attempts import began
from dispatch.desk import Desk
from dispatch.ledger import Entries, Entry

OWED = "not filed yet"
HOUR_MS = 3_600_000


def owed(desk: Desk, entry: Entry) -> str | None:
    """Return what an entry's `watcherOwed` becomes when its run is begun: None where no job is to watch it."""
    unwanted = entry.get("deliveryMode") == "none" or entry.get("noMonitorReason") or entry.get("gatewayDelivers")
    return None if unwanted or spines.lacking(desk) is not None else OWED


def file(desk: Desk, label: str, entry: Entry) -> str | None:
    """Submit the job that watches a label; returns its id, None where another call has submitted it already.

    Raises:
        SpineError: the spine does not take it; the entry then says why it is owed.
    """
    job_id = entry.get("watchdogJobId")
    if desk.settings.jobs_post_nothing is not None:
        desk.note(f"{label}: {desk.settings.jobs_post_nothing}")
    try:
        job_id = spines.keep_watcher(desk, label, entry, 1, 0)
    except IdempotencyMismatch:
        desk.note(f"{label}: the spine has its watcher already, filed with other settings")
    except SpineError as e:
        _write(desk, label, entry, watcherOwed=f"the spine did not take the watcher: {e.detail}")
        raise
    _write(desk, label, entry, watcherOwed=None, watchdogJobId=job_id)
    return job_id


def file_owed(desk: Desk) -> list[str]:
    """File every watcher that is owed; returns a line for each that is owed no longer, because it is too late.

    A spine that is away is asked once, not for each label.

    Raises:
        Fault: the ledger cannot be read or written.
    """
    said: list[str] = []
    if spines.lacking(desk) is not None:
        return said
    hours = desk.config.watcher_hours
    for label, entry in desk.ledger.read().items():
        if not entry.get("watcherOwed") or not entry.get("dispatchKey"):
            continue
        if desk.now() - began(entry) > hours * HOUR_MS:
            _write(desk, label, entry, watcherOwed=None)
            said.append(f"{label}: its answer was delivered to nobody, since for {hours} hours no watcher was taken")
            continue
        try:
            file(desk, label, entry)
            desk.note(f"{label}: its watcher was owed, and is filed now")
        except SpineError as e:
            desk.note(f"{label}: the spine did not take the watcher: {e.detail}")
            if e.retryable:
                break
    return said


def _write(desk: Desk, label: str, seen: Entry, **fields: str | None) -> None:
    def alter(entries: Entries) -> None:
        entry = entries.get(label)
        if entry is not None and entry.get("dispatchKey") == seen.get("dispatchKey"):
            entry.update(fields)

    desk.ledger.change(alter)
