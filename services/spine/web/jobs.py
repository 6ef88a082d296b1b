"""Lists of jobs: by filter, newest first, in pages that hold while jobs move and that never cost more than a moment."""

import time
from typing import Any, NamedTuple
from urllib.parse import urlencode

from contract.clock import iso
from contract.errors import InvalidField
from contract.states import Status
from spine.queue.history import cursor, position
from spine.store import jobs, listing
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.listing import Filter
from spine.web import shown, words
from spine.web.asked import Asked

PAGE_ROWS = 50
# Where no index has what is asked for, so many jobs are gone through at once, for so long; a page says how far it got.
WINDOW = 10_000
LOOK_SECONDS = 0.06
NEVER = 2**62
SINCE = {"1h": 3_600_000, "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000}
TEXT_MOST = 200
SPEC_MOST = 4_000  # characters of a spec in the list of dead letters
BAD = (Status.DEAD.value, Status.FAILED.value)


class Found(NamedTuple):
    """A page of jobs; `following` the place to go on from, None at the end; `until` (ms): searched back to then."""

    rows: list[JobRow]
    following: int | None
    until: int | None


def look(tx: Tx, store_id: str, asked: Asked) -> dict[str, Any]:
    """Return what the template of all jobs shows.

    Raises:
        InvalidField
    """
    narrowed, form = _filter(tx, asked)
    return _page(tx, store_id, asked, narrowed, form)


def look_at_dead(tx: Tx, store_id: str, asked: Asked) -> dict[str, Any]:
    """Return what the template of dead letters shows: jobs that ended badly, with all that was said.

    Raises:
        InvalidField
    """
    narrowed, form = _filter(tx, asked.without("status"))
    found = _page(tx, store_id, asked, narrowed._replace(statuses=BAD), form | {"status": list(BAD)})
    specs = {row.id: words.cut(words.pretty(shown.decoded(row.spec)), SPEC_MOST) for row in found["rows"]}
    return found | {"specs": specs}


def _page(tx: Tx, store_id: str, asked: Asked, narrowed: Filter, form: dict[str, Any]) -> dict[str, Any]:
    place = position(store_id, asked.one("cursor") or None)
    if place is None:
        raise InvalidField("cursor: not one of this store; begin again without it", "cursor")
    before = place or NEVER
    found = search(tx, narrowed, before)
    named = jobs.find(tx, narrowed.q) if narrowed.q and before == NEVER else None
    exact = named if named is not None and _fits(named, narrowed) else None
    rows = ([exact] if exact is not None else []) + [row for row in found.rows if exact is None or row.id != exact.id]
    fleet = shown.fleet(tx)
    status = [("status", value) for value in asked.all("status")]
    names = sorted({*fleet, "any"})
    return {
        "rows": rows,
        "jobs": [shown.job_line(row, fleet) for row in rows],
        "left_out": shown.job_line(named, fleet) if named is not None and exact is None else None,
        "form": form,
        "bulk": _bulk(narrowed),
        "following": None if found.following is None else cursor(store_id, found.following),
        "until": found.until,
        "first": before == NEVER,
        "query": urlencode([(name, value) for name, value in form.items() if value and name != "status"] + status),
        "targets": names,
        "statuses": [status.value for status in Status],
        "since": list(SINCE),
    }


def _fits(job: JobRow, narrowed: Filter) -> bool:
    """Tell whether a job, whose id was looked for, is among what the other filters let through."""
    wanted = (("target", narrowed.target), ("machine", narrowed.machine), ("label", narrowed.label))
    return (
        (not narrowed.statuses or job.status in narrowed.statuses)
        and all(value is None or getattr(job, name) == value for name, value in wanted)
        and (narrowed.since is None or job.created_at >= narrowed.since)
    )


def search(tx: Tx, narrowed: Filter, before: int) -> Found:
    """Look for a page of jobs below a place."""
    if _has_index(narrowed):
        rows = list(listing.newest(tx, narrowed, before, 0, PAGE_ROWS + 1))
        more = len(rows) > PAGE_ROWS
        return Found(rows[:PAGE_ROWS], rows[PAGE_ROWS - 1].seq if more else None, None)
    rows, end = [], time.monotonic() + LOOK_SECONDS
    newest = next(listing.newest(tx, Filter(), before, 0, 1), None)
    top = before if newest is None else newest.seq + 1
    while newest is not None and top > 0:
        floor = max(0, top - WINDOW)
        rows += listing.newest(tx, narrowed, top, floor, PAGE_ROWS + 1 - len(rows))
        if len(rows) > PAGE_ROWS:
            return Found(rows[:PAGE_ROWS], rows[PAGE_ROWS - 1].seq, None)
        top = floor
        created = listing.created_before(tx, top)
        if created is None or (narrowed.since is not None and created < narrowed.since):
            break
        if time.monotonic() > end:
            return Found(rows, top, created)
    return Found(rows, None, None)


def _has_index(narrowed: Filter) -> bool:
    """Tell whether one index, or none, has the list as it is asked for."""
    columns = (narrowed.target, narrowed.machine, narrowed.label, narrowed.statuses or None)
    return narrowed.q is None and narrowed.since is None and sum(value is not None for value in columns) <= 1


def _filter(tx: Tx, asked: Asked) -> tuple[Filter, dict[str, Any]]:
    statuses = asked.all("status")
    for status in statuses:
        if status not in {known.value for known in Status}:
            raise InvalidField(f"status: {status[:40]!r} is none of {', '.join(Status)}", "status")
    texts = {name: asked.one(name) for name in ("target", "machine", "label", "q", "since")}
    for name, value in texts.items():
        if len(value) > TEXT_MOST:
            raise InvalidField(f"{name}: at most {TEXT_MOST} characters", name)
    if texts["since"] and texts["since"] not in SINCE:
        raise InvalidField(f"since: one of {', '.join(SINCE)}", "since")
    since = tx.now - SINCE[texts["since"]] if texts["since"] else None
    target, machine, label, q = (texts[name] or None for name in ("target", "machine", "label", "q"))
    found = Filter(tuple(dict.fromkeys(statuses)), target, machine, label, q, since)
    return found, texts | {"status": statuses}


def _bulk(narrowed: Filter) -> dict[str, Any]:
    """Return the same filter as the bulk verbs take it."""
    found: dict[str, Any] = {name: value for name, value in narrowed._asdict().items() if value is not None}
    statuses = found.pop("statuses")
    if statuses:
        found["status"] = list(statuses)
    if narrowed.since is not None:
        found["since"] = iso(narrowed.since)
    return found or {"all": True}
