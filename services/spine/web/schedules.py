"""Schedules: what is due next, what came of the last runs."""

from typing import Any

from contract.clock import parse_iso
from contract.errors import InvalidField
from spine.queue import schedules as verbs
from spine.queue.history import cursor, position
from spine.store import occurrences
from spine.store import schedules as rows
from spine.store.engine import Tx
from spine.web.asked import Asked

PAGE_ROWS = 50
RUNS = 8
NEXT = 3


def look(tx: Tx, store_id: str, asked: Asked) -> dict[str, Any]:
    """Return what the template shows.

    Raises:
        InvalidField
    """
    after = position(store_id, asked.one("cursor"))
    if after is None:
        raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
    found = rows.page(tx, after, PAGE_ROWS + 1, None)
    shown = []
    for row in found[:PAGE_ROWS]:
        record = verbs.record(tx, row)
        following = verbs.next_of(tx, row, NEXT).next if record.state == "active" else []
        runs = [verbs.occurrence_record(run) for run in occurrences.page(tx, row.id, 2**62, RUNS)]
        shown.append({"record": record, "next": [parse_iso(due.due_at) for due in following], "runs": runs})
    more = cursor(store_id, found[PAGE_ROWS - 1].seq) if len(found) > PAGE_ROWS else None
    return {"schedules": shown, "following": more, "parse": parse_iso}
