"""Lists of jobs by filter, oldest first, in pages that hold while jobs move."""

from dataclasses import dataclass

from spine.queue import view
from spine.queue.access import Principal
from spine.queue.history import cursor, position
from spine.store import jobs
from spine.store.engine import Tx
from spine.store.jobs import JobRow

LIST_MOST = 10_000
LIST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Filter:
    """What a list is narrowed to; empty members narrow nothing."""

    statuses: tuple[str, ...] = ()
    target: str | None = None
    machine: str | None = None
    label: str | None = None


def page(
    tx: Tx, store_id: str, principal: Principal, narrowed: Filter, limit: int | None, after: str | None
) -> bytes | None:
    """Encode a page; None when the cursor is not one of this store.

    Without a limit all matches are given, up to 10,000 or 32 MiB, then `truncated` and `nextCursor`.
    """
    start = position(store_id, after)
    if start is None:
        return None
    targets = None if principal.is_head else (principal.name, "any")
    most = LIST_MOST if limit is None else limit
    rows: list[JobRow] = []
    size, more = 0, False
    for row in jobs.matching(
        tx, narrowed.statuses, narrowed.target, targets, narrowed.machine, narrowed.label, start, most + 1
    ):
        size += len(row.spec) + len(row.meta) + len(row.result or "") + 1000
        if len(rows) == most or (rows and size > LIST_BYTES):
            more = True
            break
        rows.append(row)
    following = cursor(store_id, rows[-1].seq) if more else None
    return view.job_list(tx, rows, truncated=more and limit is None, next_cursor=following)
