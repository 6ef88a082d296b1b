"""The store that a command works on: the file of a folder, or the one in a database, of which the folder has the blobs.

Nothing here looks at the file when the settings name a database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.clock import Clock
from spine.operations.manifest import DATABASE
from spine.store import lineage, offline
from spine.store.engine import Engine, StoreUnusable, Tx
from spine.store.offline import NotAStore
from spine.store.sqlite import SqliteEngine


@contextmanager
def opened(data_dir: Path, url: str | None, clock: Clock) -> Iterator[Engine]:
    """Open a store to write to it; one in a folder is made when it is not there, and nobody may serve it.

    Raises:
        DataDirBusy: somebody does. StoreUnusable, NewerStore, HalfRestored: it cannot be used.
        OSError: the folder cannot.
    """
    store: Engine
    if url is None:
        store = SqliteEngine(data_dir, clock, readers=1)
    else:
        from spine.store.postgres import PostgresEngine  # an extra brings what it needs

        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = PostgresEngine(url, readers=1, memory=data_dir / lineage.FILE)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def looked_at(data_dir: Path, url: str | None) -> Iterator[Tx | None]:
    """Read a store on a snapshot, without a change to anything; None when there is no store yet.

    Raises:
        NotAStore, StoreUnusable, NewerStore: it cannot be read, is of another version, or was moved to a database.
    """
    if url is not None:
        from spine.store.visit import Visit

        with Visit(url) as visit:
            if visit.is_new():
                yield None
                return
            with visit.snapshot() as tx:
                yield tx
    elif (data_dir / DATABASE).exists():
        offline.refuse_moved(data_dir / DATABASE)
        with offline.reading(data_dir / DATABASE) as tx:
            yield tx
    else:
        yield None


def refuse_left_behind(data_dir: Path, url: str) -> None:
    """Refuse a database that no spine has been to yet, beside a store in the folder: its move was forgotten.

    An empty store would be served, and claws would drop what they run, which nobody there has heard of.

    Raises:
        StoreAway: the database cannot be reached. StoreUnusable
    """
    db = data_dir / DATABASE
    try:
        if not db.is_file() or offline.moved_to(db) is not None:
            return
    except NotAStore:
        return
    from spine.store.visit import Visit

    with Visit(url) as visit:
        if visit.is_new():
            raise StoreUnusable(
                f"{db} is a store, and there is none at {visit.address} yet: `spine migrate-store` moves it; to begin "
                "with an empty one set another SPINE_DATA_DIR"
            )
