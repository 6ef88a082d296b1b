"""`spine import --from`: what another server keeps, into a store that is not served. Again is harmless.

The source is read from a copy. A running job is queued, its attempt counted, under the fence of that attempt: whether
its holder lives is not known, and if it does, it can still report the job's end until another claims it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from contract.clock import Clock, iso
from spine.operations import files, taken
from spine.operations.broker import Broker
from spine.operations.files import Progress
from spine.operations.opening import looked_at, opened
from spine.operations.past_jobs import Entry, Source
from spine.operations.refusal import Refused
from spine.operations.skyclaw import Skyclaw
from spine.operations.taken import KNOWN, Found, Line, Report
from spine.store import foreign, machines, past
from spine.store.engine import Engine, Tx
from spine.store.lanes import Lanes
from spine.store.machines import MachineRow

_BATCH = 100
AHEAD_MS = 86_400_000
"""How far the clocks of two machines may be apart."""


def bring_in(
    name: str,
    path: Path,
    plans: Path | None,
    data_dir: Path,
    dry_run: bool,
    clock: Clock,
    progress: Progress = files.quiet,
    url: str | None = None,
) -> Report:
    """Import another server's database; with `dry_run` only say what would be done. `plans`: a broker's runner's.

    `url`: the database that has the store.

    Raises:
        Refused: it is none. DataDirBusy: the store is served. NotAStore, StoreUnusable: the store cannot be used.
        OSError: a disk refuses; what was imported by then stays, and the same call goes on from there.
    """
    report = Report({}, [])
    with _source(name, path, plans) as source:
        entries = _readable(source, report, clock.now())
        if dry_run:
            with looked_at(data_dir, url) as tx:
                _tell(report, entries, [tx is None or not _is_known(tx, entry) for entry in entries])
            return report
        with opened(data_dir, url, clock) as store:
            _import(source, store, entries, report, progress)
    files.give_to_owner(data_dir)
    return report


@contextmanager
def _source(name: str, path: Path, plans: Path | None) -> Iterator[Source]:
    try:
        with foreign.opened(path) as db:
            yield Skyclaw(db) if name == "skyclaw" else Broker(db, plans)
    except foreign.Unreadable as e:
        raise Refused(str(e)) from e


def _readable(source: Source, report: Report, now: int) -> list[Entry]:
    """Look at every record; return those that can be taken: hosts, then the rest in the order in which it was made."""
    found = []
    for entry in source.entries():
        if isinstance(entry, Line):
            report.add(entry)
        elif entry.last > now + AHEAD_MS:
            report.add(Line(entry.kind, entry.name, "broken", f"has a time in the future: {iso(entry.last)}"))
        else:
            found.append(entry)
    return sorted(found, key=lambda entry: (entry.kind != "host", entry.at))


def _is_known(tx: Tx, entry: Entry) -> bool:
    if entry.kind == "host":
        return machines.find(tx, entry.key) is not None
    return taken.is_known(tx, entry.key)


def _tell(report: Report, entries: list[Entry], new: list[bool]) -> None:
    for entry, is_new in zip(entries, new, strict=True):
        state, reason = ("imported", entry.note) if is_new else ("skipped", KNOWN)
        report.add(Line(entry.kind, entry.name, state, reason))


def _import(source: Source, store: Engine, entries: list[Entry], report: Report, progress: Progress) -> None:
    lanes = Lanes()
    for start in range(0, len(entries), _BATCH):
        progress("records", start, len(entries))
        batch = [(entry, source.take(entry)) for entry in entries[start : start + _BATCH]]
        new = store.write(partial(_add_all, source, lanes, batch)).result()
        _tell(report, [entry for entry, _ in batch], new)
    progress("records", len(entries), len(entries))


def _add_all(source: Source, lanes: Lanes, batch: list[tuple[Entry, Found | MachineRow]], tx: Tx) -> list[bool]:
    return [_add(tx, source, lanes, entry, found) for entry, found in batch]


def _add(tx: Tx, source: Source, lanes: Lanes, entry: Entry, found: Found | MachineRow) -> bool:
    if isinstance(found, MachineRow):
        if _is_known(tx, entry):
            return False
        past.add_machine(tx, found)
        return True
    if not taken.add(tx, lanes, found):
        return False
    source.settled(tx, found.job)
    return True
