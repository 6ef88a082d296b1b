"""Notices: what could not be told, what waits, what was sent."""

from typing import Any

from contract.clock import parse_iso
from contract.errors import InvalidField
from spine.queue import view
from spine.queue.history import cursor, position
from spine.store import notices
from spine.store.engine import Tx
from spine.web.asked import Asked

PAGE_ROWS = 50
NEVER = 2**62
STATUSES = ("given_up", "waiting", "sending", "sent")


def look(tx: Tx, store_id: str, asked: Asked) -> dict[str, Any]:
    """Return what the template shows; without a status those that were given up stand first.

    Raises:
        InvalidField
    """
    status = asked.one("status") or None
    if status is not None and status not in STATUSES:
        raise InvalidField(f"status: one of {', '.join(STATUSES)}", "status")
    place = position(store_id, asked.one("cursor"))
    if place is None:
        raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
    found = notices.page(tx, status, None, None, place or NEVER, PAGE_ROWS + 1)
    failed = notices.page(tx, "given_up", None, None, NEVER, PAGE_ROWS) if status is None and not place else []
    more = cursor(store_id, found[PAGE_ROWS - 1].seq) if len(found) > PAGE_ROWS else None
    waiting, oldest = notices.depth(tx)
    return {
        "failed": [view.notice_record(row) for row in failed],
        "notices": [view.notice_record(row) for row in found[:PAGE_ROWS]],
        "status": status,
        "statuses": STATUSES,
        "waiting": waiting,
        "oldest": oldest,
        "following": more,
        "parse": parse_iso,
    }
