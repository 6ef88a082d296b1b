"""`spine import-schedules`: another program's schedules into a store that is not served, all in one transaction.

What was imported is remembered by where it came from and its id there, also when it was deleted here since: again is
harmless, and changes nothing. The dry run is the same work up to the writing.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contract.clock import Clock
from contract.errors import InvalidField
from contract.seed_schedule import Note
from spine.api import schedule_body
from spine.operations import files, foreign_schedules
from spine.operations.foreign_aliases import ForeignAlias
from spine.operations.foreign_schedules import Source
from spine.operations.opening import looked_at, opened
from spine.queue import schedule_plan, schedules
from spine.queue.access import Caller, Principal
from spine.queue.notices import GATEWAY_ALIAS
from spine.queue.rules import Aliases, Rules
from spine.store import meta
from spine.store.engine import Tx

_BY = Caller(Principal("head", "head"))
_REMEMBERED = "imported-schedule"


class Row(NamedTuple):
    """What became of a job, or would: `imported`, `known` since an import before, or `refused` for its notes."""

    source: Source
    state: str
    schedule_id: str | None
    notes: list[Note]


class Report(NamedTuple):
    """A row for each job, which aliases of notices they need, and the scheduler's own, which no import writes."""

    rows: list[Row]
    aliases: list[str]
    named: list[ForeignAlias]

    @property
    def refused(self) -> int:
        """How many jobs could not be carried over."""
        return sum(row.state == "refused" for row in self.rows)


def bring_in(path: Path, data_dir: Path, apply: bool, clock: Clock, url: str | None = None) -> Report:
    """Import the schedules of a file; without `apply` only say what would be done. `url`: the store's database.

    Raises:
        Refused: it is no such file. DataDirBusy: the store is served. NotAStore, StoreUnusable: it cannot be used.
        OSError: a disk refuses. In each case nothing was imported.
    """
    found = foreign_schedules.read(path)
    sources = _parents_first(found.sources)
    needed = sorted({alias for source in sources for alias in _aliases(source)})
    rules = Rules(300_000, 15_000, 5, set(), 1 << 26, aliases=Aliases(dict.fromkeys(needed)))
    if apply:
        with opened(data_dir, url, clock) as store:
            rows = store.write(lambda tx: _take(tx, rules, sources, write=True)).result()
        files.give_to_owner(data_dir)
    else:
        with looked_at(data_dir, url) as tx:
            rows = _take(tx, rules, sources, write=False, now=clock.now())
    needed = sorted({alias for row in rows if row.state == "imported" for alias in _aliases(row.source)})
    return Report(rows, needed, found.aliases)


def _parents_first(sources: list[Source]) -> list[Source]:
    """Order jobs so that each comes behind the one that it follows; those of a circle come last."""
    left = list(sources)
    ids = {one.id for one in sources}
    ordered: list[Source] = []
    done: set[str] = set()
    while left:
        ready = [one for one in left if _parent(one) is None or _parent(one) in done or _parent(one) not in ids]
        if not ready:
            break
        ordered += ready
        done |= {one.id for one in ready}
        left = [one for one in left if one not in ready]
    return ordered + left


def _parent(source: Source) -> str | None:
    return None if source.found is None else source.found.parent


def _take(tx: Tx | None, rules: Rules, sources: list[Source], write: bool, now: int = 0) -> list[Row]:
    now = now if tx is None else tx.now
    made: dict[str, str | None] = {}  # the seed's id → ours, None where it would be made
    rows = []
    for source in sources:
        known = None if tx is None else meta.get(tx, _key(source))
        row = Row(source, "known", known, []) if known is not None else _new(tx, rules, source, made, write, now)
        if row.state != "refused":
            made[source.id] = row.schedule_id
        rows.append(row)
    return rows


def _new(tx: Tx | None, rules: Rules, source: Source, made: dict[str, str | None], write: bool, now: int) -> Row:
    if source.found is None:
        return Row(source, "refused", None, source.refused)
    body, parent = dict(source.found.body), source.found.parent
    if parent is not None:
        if parent not in made:
            return _refused(source, "parent_id", f"the job {parent[:64]} that it follows is not carried over")
        body["parentId"] = made[parent] or "sch_of_the_dry_run"
    try:
        definition = _checked(rules, body, now)
        if not write or tx is None:
            return Row(source, "imported", None, source.found.notes)
        row = schedules.make(tx, _BY, definition)
    except InvalidField as e:
        field = str(e.members.get("field", "job"))
        return _refused(source, field, e.detail.removeprefix(f"{field}: "))
    meta.put(tx, _key(source), row.id)
    return Row(source, "imported", row.id, source.found.notes)


def _checked(rules: Rules, body: dict[str, Any], now: int) -> schedules.Definition:
    """Check a body of POST /schedules as the server would. Its aliases and its limits it is not there to say.

    Raises:
        InvalidField
    """
    data = _encoded(body)
    request, job = schedule_body.read(data, sys.maxsize)
    schedule_plan.check(rules, request, job, now)
    return schedule_body.definition(request, data)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return json.dumps(body).encode()  # a lone surrogate, as an escape: whoever reads it names the member
    except RecursionError as e:
        raise InvalidField("nested too deeply", "job") from e


def _refused(source: Source, field: str, reason: str) -> Row:
    return Row(source, "refused", None, [Note(field, reason)])


def _key(source: Source) -> str:
    return f"{_REMEMBERED}:{source.origin}:{source.id}"


def _aliases(source: Source) -> list[str]:
    delivery = {} if source.found is None else source.found.body["job"].get("delivery", {})
    if not delivery:
        return []
    return [GATEWAY_ALIAS if "channel" in delivery else str(delivery["to"]).removeprefix("@")]
