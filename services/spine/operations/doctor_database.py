"""What `spine doctor` looks at when the store is in a PostgreSQL database: its server, its standby, its store."""

from collections.abc import Iterator
from pathlib import Path

from spine.operations import findings
from spine.operations.findings import SKEW_MOST_MS, Check
from spine.operations.manifest import DATABASE
from spine.store import lineage, offline
from spine.store.condition import Condition, condition, counts, held_back
from spine.store.engine import StoreUnusable
from spine.store.lineage import Newest, NotBelieved
from spine.store.marks import ARRIVING
from spine.store.migrations import NewerStore
from spine.store.offline import NotAStore
from spine.store.visit import Visit, newest_version

HELD_BACK_MOST_MS = 60_000


def examine(url: str, data_dir: Path, interval_ms: int | None) -> Iterator[Check]:
    """Look at a database. `interval_ms`: see `clock_and_reaper`."""
    yield from _left_behind(data_dir / DATABASE)
    try:
        with Visit(url) as visit:
            found = condition(visit)
            size = f"{found.size / (1 << 20):.1f} MiB"
            yield Check("database", "ok", f"{visit.address} answers: PostgreSQL {found.version}, {size}")
            yield _lineage(found, data_dir)
            yield _standby(found)
            yield _clock(visit)
            yield from _store(visit, interval_ms)
    except (StoreUnusable, NewerStore) as e:
        yield Check("database", "failed", str(e))


def _left_behind(db: Path) -> Iterator[Check]:
    """Say so when the folder has a store of its own, which nobody serves."""
    try:
        if db.exists() and offline.moved_to(db) is None:
            told = f"{db} is another store, and not served while SPINE_DATABASE_URL is set"
            yield Check("embedded", "hint", f"{told}; `spine migrate-store` moves it, where it was forgotten")
    except NotAStore as e:
        yield Check("embedded", "hint", f"{e}; it is not served while SPINE_DATABASE_URL is set")


def _lineage(found: Condition, data_dir: Path) -> Check:
    told = f"timeline {found.lineage.timeline} of cluster {found.lineage.system}"
    try:
        Newest(data_dir / lineage.FILE).check(found.lineage)
    except (NotBelieved, StoreUnusable) as e:
        return Check("lineage", "failed", str(e))
    return Check("lineage", "ok", f"{told}, as new as any that was served")


def _standby(found: Condition) -> Check:
    if not found.awaited or not found.waits:
        others = f"; {len(found.standbys)} follow, and may lack the last changes" if found.standbys else ""
        return Check("standby", "hint", f"none is waited for: what is acknowledged is on one server alone{others}")
    holding = [name for name, awaited in found.standbys.items() if awaited]
    if holding:
        return Check("standby", "ok", f"commits wait for {', '.join(holding)}")
    if None in found.standbys.values():
        return Check("standby", "hint", "whether one is synchronous this user is not told; grant it pg_monitor")
    told = f"commits wait for {found.awaited!r}, and no such standby is connected: every change hangs"
    return Check("standby", "failed", f"{told}; bring the standby back")


def _clock(visit: Visit) -> Check:
    with visit.told():
        ahead = findings.ahead_ms(visit.now())
    if abs(ahead) > SKEW_MOST_MS:
        told = f"the database's clock is {abs(ahead) // 1000} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        return Check("skew", "failed", f"{told}; set the clocks")
    return Check("skew", "ok", "the database's clock and this machine's agree")


def _store(visit: Visit, interval_ms: int | None) -> Iterator[Check]:
    if visit.is_new():
        yield Check("store", "hint", "there is none yet; the first `spine serve` makes it")
        return
    with visit.told():
        version, half = visit.version(), ARRIVING in visit.tables()
    if half:
        told = "a store is being moved here and is not whole: run the same `spine migrate-store` again"
        yield Check("store", "failed", told)
        return
    if version < newest_version():
        told = f"version {version}; the next `spine serve` brings it to {newest_version()}"
        yield Check("schema", "hint", told)
        return
    yield Check("schema", "ok", f"version {version}")
    with visit.snapshot() as tx:
        held = counts(tx)
        yield Check("store", "ok", f"{findings.shown(held.jobs)}, {held.events} events, {held.blobs} blobs")
        waited = held_back(tx)
        if waited > HELD_BACK_MOST_MS:
            told = f"those of the last {waited // 1000} s are seen by nobody yet: a transaction on this database server"
            yield Check("events", "failed", f"{told} has not ended; see pg_stat_activity and pg_prepared_xacts, end it")
        yield from findings.clock_and_reaper(tx, interval_ms)
