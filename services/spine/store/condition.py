"""What a database server says of itself, for whoever looks whether all is well. Any user may ask."""

from typing import NamedTuple

import peewee as pw

from spine.store.engine import Tx
from spine.store.lineage import Lineage
from spine.store.models import Blob, Event, Job
from spine.store.statement import Statement, bind
from spine.store.visit import Visit

_JOBS = Statement(Job.select(Job.status, pw.fn.COUNT(Job.seq)).group_by(Job.status).order_by(Job.status))
_EVENTS = Statement(Event.select(pw.fn.COUNT(Event.seq)))
_HELD_BACK = Statement(Event.select(pw.fn.MIN(Event.at)).where(Event.seq >= bind("settled")))
_BLOBS = Statement(Blob.select(pw.fn.COUNT(Blob.id)))


class Condition(NamedTuple):
    """`awaited`: the standbys of which commits wait for some, as the settings name them; empty: they wait for none.

    `waits`: whether the spine's commits do wait. `standbys`: those that are connected now, each with whether it is such
    a one, None where this user is not told.
    """

    version: str
    size: int
    lineage: Lineage
    awaited: str
    waits: bool
    standbys: dict[str, bool | None]


class Counts(NamedTuple):
    """How much a store holds; `jobs` by status."""

    jobs: dict[str, int]
    events: int
    blobs: int


def condition(visit: Visit) -> Condition:
    """Ask a server how it is."""
    with visit.told():
        version, size, awaited, commit = visit.rows(
            "SELECT current_setting('server_version'), pg_database_size(current_database()),"
            " current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
        )[0]
        standbys = visit.rows("SELECT application_name, sync_state FROM pg_stat_replication ORDER BY 1")
        return Condition(
            version=version,
            size=int(size),
            lineage=visit.link.lineage,
            awaited=awaited,
            waits=commit != "local",
            standbys={name or "one": state and state in ("sync", "quorum") for name, state in standbys},
        )


def held_back(tx: Tx) -> int:
    """Return for how long (ms) events wait to be seen: until each transaction is over that wrote before them.

    That goes for all databases of a server, whoever uses them.
    """
    row = tx.one(_HELD_BACK, settled=tx.settled)
    return 0 if row is None or row[0] is None else tx.now - int(row[0])


def counts(tx: Tx) -> Counts:
    """Count what a store holds."""
    events, blobs = (0 if row is None else int(row[0]) for row in (tx.one(_EVENTS), tx.one(_BLOBS)))
    return Counts({status: int(count) for status, count in tx.rows(_JOBS)}, events, blobs)
