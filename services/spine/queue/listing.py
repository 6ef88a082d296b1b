"""Lists of jobs by filter, by their age, in pages that hold while jobs move; and verbs on all that match."""

import time
from collections.abc import Callable
from typing import NamedTuple

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
# A text stands in no index: so many jobs are gone through at once, for so long. A step of a verb holds the writer.
WINDOW = 10_000
COUNT_SECONDS = 1.0
STEP_SECONDS = 0.05


class Step(NamedTuple):
    """A verb's step: how many match in all (`at_least` of those: time was up), how many changed, where to go on."""

    matched: int
    at_least: bool
    changed: int
    following: int | None


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


def counted(tx: Tx, narrowed: Filter, seconds: float = COUNT_SECONDS) -> tuple[int, bool]:
    """Return how many jobs match, and whether there may be more: to look for a text takes its time."""
    if narrowed.q is None:
        return listing.count(tx, narrowed), False
    matched, after, end = 0, 0, time.monotonic() + seconds
    while (first := listing.following(tx, after)) is not None:
        if after and time.monotonic() > end:
            return matched, True
        after = first - 1 + WINDOW
        matched += listing.count(tx, narrowed, first - 1, after)
    return matched, False


def each(tx: Tx, narrowed: Filter, after: int, act: Callable[[JobRow], bool]) -> Step:
    """Act on up to 500 matching jobs behind a position; on fewer where they are far between.

    The rows are read before the first one is changed, so that a change does not move the list under the cursor.
    """
    matched, at_least = counted(tx, narrowed, STEP_SECONDS)
    rows, following = _behind(tx, narrowed, after)
    return Step(matched, at_least, sum(1 for row in rows if act(row)), following)


def _behind(tx: Tx, narrowed: Filter, after: int) -> tuple[list[JobRow], int | None]:
    """Return the next rows, and where to go on."""
    if narrowed.q is None:
        rows = list(listing.matching(tx, narrowed, None, after, BULK_ROWS))
        return rows, rows[-1].seq if len(rows) == BULK_ROWS else None
    rows, begun, end = [], after, time.monotonic() + STEP_SECONDS
    while (first := listing.following(tx, after)) is not None:
        if after > begun and time.monotonic() > end:
            return rows, after
        after = first - 1 + WINDOW
        rows += listing.within(tx, narrowed, first - 1, after, BULK_ROWS - len(rows))
        if len(rows) == BULK_ROWS:
            return rows, rows[-1].seq
    return rows, None
