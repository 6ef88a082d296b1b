"""Named leases: one holder at a time, a fence that only grows, on the store's clock."""

from typing import NamedTuple

from spine.store.engine import Tx
from spine.store.models import NamedLease
from spine.store.statement import Statement, bind


class NamedLeaseRow(NamedTuple):
    """A row of `named_leases`; `until` in ms, None when nobody holds it."""

    name: str
    holder: str | None
    owner: str | None
    fence: int
    until: int | None
    data: str


_COLUMNS = [getattr(NamedLease, name) for name in NamedLeaseRow._fields]
_FIND = Statement(NamedLease.select(*_COLUMNS).where(NamedLease.name == bind("name")))
_PUT = Statement(
    NamedLease.insert({getattr(NamedLease, n): bind(n) for n in NamedLeaseRow._fields}).on_conflict(
        conflict_target=[NamedLease.name],
        preserve=[getattr(NamedLease, n) for n in NamedLeaseRow._fields if n != "name"],
    )
)


def find(tx: Tx, name: str) -> NamedLeaseRow | None:
    """Return a lease, or None when nobody ever took it."""
    row = tx.one(_FIND, name=name)
    return None if row is None else NamedLeaseRow._make(row)


def put(tx: Tx, row: NamedLeaseRow) -> None:
    """Write a lease."""
    tx.run(_PUT, **row._asdict())
