"""Events as pages, and the opaque cursor: the store's id and a position in it."""

import base64
import binascii

import msgspec

from contract import wire
from contract.clock import iso
from spine.queue.access import Principal, visible
from spine.queue.view import raw
from spine.store import events
from spine.store.engine import Tx
from spine.store.events import EventRow


def cursor(store_id: str, position: int) -> str:
    """Write a cursor."""
    return base64.urlsafe_b64encode(f"{store_id}:{position}".encode()).rstrip(b"=").decode()


def position(store_id: str, text: str | None) -> int | None:
    """Read a cursor: the position, or None when it is not one of this store (a gap). No cursor is the beginning."""
    if not text:
        return 0
    try:
        owner, _, number = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(":")
        at = int(number)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return at if owner == store_id and 0 <= at < 2**63 else None


def page(
    tx: Tx, store_id: str, principal: Principal, after: str | None, limit: int, job_id: str | None = None
) -> tuple[wire.EventPage, int]:
    """Return a page of what the principal may see, and the position behind it; `gap`: unknown or pruned cursor.

    Raises:
        NotFound, Forbidden: of the job, when one is named.
    """
    if job_id is not None:
        visible(tx, principal, job_id)
    at = position(store_id, after)
    oldest = events.first(tx)
    gap = at is None or (at > 0 and (at + 1 < oldest or at > events.last(tx)))
    start = 0 if at is None or gap else at
    if job_id is not None:
        rows = events.of_job(tx, job_id, start, limit)
    else:
        rows = events.after(tx, start, limit, None if principal.sees_all else principal.name)
    end = rows[-1].seq if rows else (start if job_id or not principal.sees_all else max(start, events.last(tx)))
    found = [record(store_id, row) for row in rows]
    return wire.EventPage(events=found, next_cursor=cursor(store_id, end), gap=gap), end


def record(store_id: str, row: EventRow) -> wire.Event:
    """Return an event as a record."""
    return wire.Event(
        cursor=cursor(store_id, row.seq),
        job_id=row.job_id,
        at=iso(row.at),
        type=row.type,
        by=row.author,
        data=raw(row.data),
    )


def encode(page: wire.EventPage) -> bytes:
    """Encode a page."""
    return msgspec.json.encode(page)
