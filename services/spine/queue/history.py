"""Events as pages, and the opaque cursor: the store's id, a position in it, and which deletions it knows of."""

import base64
import binascii

import msgspec

from contract import wire
from contract.clock import iso
from spine.queue.access import Principal, visible
from spine.queue.view import raw
from spine.store import events, retention
from spine.store.engine import Tx
from spine.store.events import EventRow


def cursor(store_id: str, position: int, epoch: int = 0) -> str:
    """Write a cursor; `epoch`: how many deletions of events there had been when it was given out."""
    text = f"{store_id}:{position}:{epoch}" if epoch else f"{store_id}:{position}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def position(store_id: str, text: str | None) -> int | None:
    """Read a cursor: the position, or None when it is not one of this store (a gap). No cursor is the beginning."""
    found = _place(store_id, text)
    return None if found is None else found[0]


def _place(store_id: str, text: str | None) -> tuple[int, int] | None:
    if not text:
        return 0, 0
    try:
        owner, *numbers = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split(":")
        at, epoch = (int(number) for number in (*numbers, "0")[:2])
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (at, epoch) if owner == store_id and 0 <= at < 2**63 else None


def page(
    tx: Tx, store_id: str, principal: Principal, after: str | None, limit: int, job_id: str | None = None
) -> tuple[wire.EventPage, int]:
    """Return a page of what the principal may see, and the position behind it; `gap`: unknown or pruned cursor.

    Raises:
        NotFound, Forbidden: of the job, when one is named.
    """
    if job_id is not None:
        visible(tx, principal, job_id)
    place = _place(store_id, after)
    at, known = place or (0, 0)
    pruned = retention.pruned(tx, known)
    newest = max(events.last(tx), pruned.newest)
    # A cursor that was given out after a deletion has lost nothing by it: whoever begins anew is not told twice. A job
    # that can be seen has all its events.
    lost = pruned.lost if after and job_id is None else 0
    gap = place is None or at > newest or at < lost
    start = 0 if gap else at
    if job_id is not None:
        rows = events.of_job(tx, job_id, start, limit)
    else:
        own = None if principal.sees_all else principal.name
        rows = events.after(tx, start, limit, own, of_jobs=not principal.oversees)
    end = rows[-1].seq if rows else (start if job_id or not principal.sees_all else newest)
    found = [record(store_id, row, pruned.epoch) for row in rows]
    return wire.EventPage(events=found, next_cursor=cursor(store_id, end, pruned.epoch), gap=gap), end


def newest(tx: Tx, store_id: str) -> str:
    """Return the cursor behind all that has happened until now."""
    pruned = retention.pruned(tx, 0)
    return cursor(store_id, max(events.last(tx), pruned.newest), pruned.epoch)


def record(store_id: str, row: EventRow, epoch: int = 0) -> wire.Event:
    """Return an event as a record."""
    return wire.Event(
        cursor=cursor(store_id, row.seq, epoch),
        job_id=row.job_id,
        at=iso(row.at),
        type=row.type,
        by=row.author,
        data=raw(row.data),
    )


def encode(page: wire.EventPage) -> bytes:
    """Encode a page."""
    return msgspec.json.encode(page)
