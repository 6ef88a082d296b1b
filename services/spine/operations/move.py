"""`spine migrate-store`: an embedded store into a PostgreSQL database. Looked at, stopped, copied, compared, switched.

Nobody writes while it is copied: the move holds the data directory as a server does. It may be cut off anywhere, and
the same call goes on. The embedded store is marked before the database is opened to servers, so that at no moment both
can be served. Fences stand as they are: once the directory is held the old store hands none out any more, and what
runs goes on under its lease. Blobs are files, and stay where they are.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contract.clock import Clock
from contract.killpoints import reach
from spine.operations.files import Progress
from spine.operations.manifest import DATABASE
from spine.operations.refusal import Refused
from spine.store import events, lock, meta, offline
from spine.store.arrival import Arrival
from spine.store.copying import COPIED, Copied, Count, compare
from spine.store.engine import Tx
from spine.store.marks import NotEmpty
from spine.store.offline import NotAStore

ROWS = 1000
"""How many rows go over in one transaction, at most."""
SKEW_MOST_MS = 5_000
_POLL_SECONDS = 0.2

Say = Callable[[str], None]


class Move(NamedTuple):
    """What a move did. `tables`: name → what both sides hold; `store_id` None: all had been done before."""

    address: str
    store_id: str | None
    tables: dict[str, Count]


class Differs(Refused):
    """The copy is not what the store is. Nothing was switched."""


def move(data_dir: Path, url: str, wait_seconds: float, clock: Clock, say: Say, progress: Progress) -> Move:
    """Bring the store of a data directory to a database, and leave it marked.

    `wait_seconds`: how long the server may take to end, once a person was asked to stop it.

    Raises:
        Refused: there is no store, it is damaged, or the database holds another one. NotAStore: it cannot be read.
        DataDirBusy: its server did not end in time. StoreUnusable: the database cannot be used.
        In each case the embedded store can be served as before, unless all was switched but the last step.
    """
    db = data_dir / DATABASE
    if not db.is_file():
        raise Refused(f"there is no store in {data_dir}; set SPINE_DATA_DIR to the server's folder")
    lock.refuse_half_restored(data_dir)
    say(f"looks at the store in {data_dir}")
    _check_soundness(db)
    with Arrival(url) as target:
        if _done(db, target):
            return Move(target.address, None, {})
        ahead = target.now() - clock.now()
        if abs(ahead) > SKEW_MOST_MS:
            say(
                f"the database's clock is {abs(ahead) // 1000} s {'ahead' if ahead > 0 else 'behind'}: leases will end "
                "so much sooner or later; better set the clocks first"
            )
        target.refuse_company()
        handle = _stopped(data_dir, wait_seconds, say, progress)
        try:
            if _done(db, target):  # others may have moved or restored the store while this one waited
                return Move(target.address, None, {})
            tables = {}
            if offline.moved_to(db) is None:
                tables = _copied(db, target, say, progress)
                offline.mark_moved(db, target.address)
                reach("move.marked")
            fresh = target.open(_store_id(db))
            reach("move.opened")
        finally:
            os.close(handle)
    return Move(target.address, fresh, tables)


def _check_soundness(db: Path) -> None:
    """Look at every page of the store, while its server goes on.

    Raises:
        NotAStore
    """
    version, newest = offline.version_of(db, still=False), offline.newest_version()
    if version != newest:
        raise NotAStore(f"{db} is at version {version}, this program's is {newest}; serve it once to bring it up")
    facts = offline.examine(db, still=False)
    if facts.faults:
        raise NotAStore(f"{db} is damaged ({facts.faults[0]}); restore a backup first")


def _store_id(db: Path) -> str:
    return offline.examine(db, still=False, check=False).store_id


def _done(db: Path, target: Arrival) -> bool:
    """Tell whether the store was moved to the database already.

    Raises:
        NotEmpty: the database holds something else than nothing, or than a copy of this very store.
        Refused: the store was moved to another one.
    """
    found, gone, store_id = target.look(), offline.moved_to(db), _store_id(db)
    if found.kind == "store":
        if gone is not None and found.moved_from == store_id:
            return True
        raise NotEmpty(f"{target.address} holds a store already; make an empty database for this one (createdb)")
    if found.begun is not None and found.begun.store_id != store_id:
        raise NotEmpty(
            f"{target.address} holds a part of another store, whose move was cut off; make an empty database"
        )
    if gone is not None and (found.begun is None or not found.begun.equal):
        raise Refused(f"the store was moved to {gone} already, which is not {target.address}; nothing is left to move")
    return False


def _stopped(data_dir: Path, wait_seconds: float, say: Say, progress: Progress) -> int:
    """Hold the directory, once its server has ended: from then on nothing is written to the store.

    Raises:
        DataDirBusy: it went on for too long.
    """
    began, asked = time.monotonic(), False
    while True:
        try:
            handle = lock.take_lock(data_dir)
        except lock.DataDirBusy as e:
            waited = time.monotonic() - began
            if waited >= wait_seconds:
                raise lock.DataDirBusy(f"{data_dir} is still served after {waited:.0f} s; nothing was moved") from e
            if not asked:
                asked = True
                say(
                    f"stop the spine now (process {lock.holder(data_dir)}; with systemctl stop, or docker compose "
                    f"stop): it ends what is under way, then the move goes on; waits for {wait_seconds:.0f} s"
                )
            progress("wait", int(waited), int(wait_seconds))
            time.sleep(_POLL_SECONDS)
        else:
            if asked:
                say("the spine has ended; from now on nothing is written")
            return handle


def _copied(db: Path, target: Arrival, say: Say, progress: Progress) -> dict[str, Count]:
    """Copy what is not there yet, and compare all of it."""
    counted = offline.counted(db)
    with offline.reading(db) as tx:
        store_id, stand = meta.get(tx, meta.STORE_ID) or "", _stand(tx)
        begun = target.look().begun
        if begun is not None and begun.stand == stand:
            say("goes on with the copy that was begun")
        else:
            if begun is not None:
                say("the store was served since the copy was begun: begins anew")
            target.begin(store_id, stand)
        reach("move.begun")
        sizes = {table.name: table.size(tx) for table in COPIED}
        for table in COPIED:
            last = _bring(table, tx, target, sizes[table.name], progress)
            # Beyond the last row: one that is gone has had its number. Not every table notes how far it has counted.
            if table.serial is not None and (highest := max(counted.get(table.name, 0), last[0] if last else 0)):
                target.count_up(table, highest)
        reach("move.copied")
        counts = _compared(tx, target, store_id, sizes, progress)
        target.note_equal(store_id, stand)
        reach("move.compared")
        return counts


def _compared(tx: Tx, target: Arrival, store_id: str, sizes: dict[str, int], progress: Progress) -> dict[str, Count]:
    """Read every table on both sides.

    Raises:
        Differs
    """
    counts = {}
    with target.told():
        there = target.tx()
        for table in COPIED:
            size = sizes[table.name]
            ours, theirs = compare(table, tx, there, _of(progress, f"compare {table.name}", size))
            if ours != theirs:
                target.start_over(store_id)
                raise Differs(
                    f"{table.name} has {ours.rows} rows of digest {ours.sha256[:12]} here and {theirs.rows} of "
                    f"{theirs.sha256[:12]} in {target.address}; nothing was switched, and the next run begins anew"
                )
            counts[table.name] = ours
    return counts


def _of(progress: Progress, what: str, size: int) -> Callable[[int], None]:
    return lambda done: progress(what, done, size)


def _stand(tx: Tx) -> str:
    """Return what is another one once the store was served: its reaper notes each pass, the first at its start."""
    return msgspec.json.encode([meta.get(tx, meta.LAST_PASS), events.last(tx)]).decode()


def _bring(table: Copied, tx: Tx, target: Arrival, size: int, progress: Progress) -> list[Any] | None:
    """Bring what is missing of a table; return the key of its last row."""
    done, last = target.brought(table)
    progress(table.name, done, size)
    for batch in table.batches(tx, ROWS, last):
        done, last = done + len(batch), table.key(batch[-1])
        target.add(table, batch, done)
        progress(table.name, done, size)
        reach(f"move.batch-{table.name}")
    return last
