"""Lists of jobs by filter, by their age, in pages that hold while jobs move; and verbs on all that match."""

from collections.abc import Callable

from spine.queue import view
from spine.queue.access import Principal
from spine.queue.history import cursor, position
from spine.store import listing
from spine.store.engine import NEVER, Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter

LIST_MOST = 10_000
LIST_BYTES = 32 * 1024 * 1024
BULK_ROWS = 500


def page(
    tx: Tx,
    store_id: str,
    principal: Principal,
    narrowed: Filter,
    limit: int | None,
    after: str | None,
    newest: bool = False,
) -> bytes | None:
    """Encode a page, oldest first unless `newest`; None when the cursor is not one of this store.

    Without a limit all matches are given, up to 10,000 or 32 MiB, then `truncated` and `nextCursor`.
    """
    start = position(store_id, after)
    if start is None:
        return None
    targets = None if principal.sees_all else (principal.name, "any")
    most = LIST_MOST if limit is None else limit
    rows: list[JobRow] = []
    size, more = 0, False
    if newest:
        found = listing.newest(tx, narrowed, start or NEVER, 0, most + 1, targets)
    else:
        found = listing.matching(tx, narrowed, targets, start, most + 1)
    for row in found:
        size += len(row.spec) + len(row.meta) + len(row.result or "") + 1000
        if len(rows) == most or (rows and size > LIST_BYTES):
            more = True
            break
        rows.append(row)
    following = cursor(store_id, rows[-1].seq) if more else None
    return view.job_list(tx, rows, truncated=more and limit is None, next_cursor=following)


def each(tx: Tx, narrowed: Filter, after: int, act: Callable[[JobRow], bool]) -> tuple[int, int, int | None]:
    """Act on up to 500 matching jobs behind a position; return how many match in all, how many changed, where to go on.

    The rows are read before the first one is changed, so that a change does not move the list under the cursor.
    """
    matched = listing.count(tx, narrowed)
    rows = list(listing.matching(tx, narrowed, None, after, BULK_ROWS))
    changed = sum(1 for row in rows if act(row))
    return matched, changed, rows[-1].seq if len(rows) == BULK_ROWS else None
