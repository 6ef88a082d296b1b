"""Named leases: one holder at a time, fences that only grow, and what is done under one."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.suites.harness import HEAD, LEFT, Store
from tests.suites.manual_clock import ManualClock

from contract.errors import LeaseHeld, NotFound, StaleFence
from spine.queue import named
from spine.queue.access import Caller
from spine.queue.named import Token
from spine.store import meta
from spine.store.engine import Tx
from spine.store.named_leases import NamedLeaseRow

if TYPE_CHECKING:
    from tests.support.postgres_server import PostgresServer

TTL_MS = 10_000


def take(store: Store, holder: str = "one", caller: Caller = HEAD, ttl_ms: int = TTL_MS) -> NamedLeaseRow:
    """Take the lease `lead`."""
    return store.write(lambda tx: named.take(tx, caller, "lead", holder, ttl_ms, "null"))


def act(store: Store, fence: int, name: str = "lead") -> None:
    """Write something under a lease."""

    def verb(tx: Tx) -> None:
        named.require(tx, Token(name, fence))
        meta.put(tx, "acted", str(fence))

    store.write(verb)


def acted(store: Store) -> str | None:
    """Return the fence under which something was written last."""
    return store.read(lambda tx: meta.get(tx, "acted"))


def test_the_first_fence_is_1_and_the_holder_keeps_it(store: Store) -> None:
    assert take(store).fence == 1
    store.clock.advance(5)
    again = take(store)
    assert (again.fence, again.until) == (1, store.clock.now() + TTL_MS)


def test_another_is_refused_until_the_end_and_then_gets_the_next_fence(store: Store) -> None:
    take(store)
    store.clock.advance(9.999)
    with pytest.raises(LeaseHeld, match="one holds it"):
        take(store, "two")
    with pytest.raises(LeaseHeld):
        take(store, "one", LEFT)  # the name alone is no proof
    store.clock.advance(0.001)
    assert take(store, "two").fence == 2


def test_what_was_given_up_is_free_at_once(store: Store) -> None:
    take(store)
    store.write(lambda tx: named.release(tx, HEAD, "lead", 1))
    assert take(store, "two").fence == 2
    with pytest.raises(StaleFence):
        store.write(lambda tx: named.renew(tx, HEAD, "lead", 1, TTL_MS, None))


def test_what_nobody_took_can_be_neither_renewed_nor_shown(store: Store) -> None:
    before = store.dump()
    with pytest.raises(NotFound):
        store.write(lambda tx: named.renew(tx, HEAD, "lead", 1, TTL_MS, None))
    for fence in (0, 1):
        with pytest.raises(StaleFence, match="the lease lead is over or another's"):
            act(store, fence)
    assert store.dump() == before


def test_under_the_newest_fence_one_acts_until_the_lease_ends(store: Store) -> None:
    take(store)
    act(store, 1)
    assert acted(store) == "1"
    store.clock.advance(10)
    before = store.dump()
    with pytest.raises(StaleFence):
        act(store, 1)
    take(store, "two")
    with pytest.raises(StaleFence) as refused:
        act(store, 1)
    assert refused.value.members == {"lease": "lead", "fence": 2}
    assert store.dump()["meta"] == before["meta"]
    act(store, 2)


def test_with_another_lease_one_may_not_act(store: Store) -> None:
    take(store)
    store.write(lambda tx: named.take(tx, HEAD, "other", "one", TTL_MS, "null"))
    store.write(lambda tx: named.release(tx, HEAD, "other", 1))
    with pytest.raises(StaleFence):
        act(store, 1, "other")


def test_what_is_kept_with_it_stays_until_something_else_is_said(store: Store) -> None:
    def taken(data: str | None, holder: str = "one") -> str:
        return store.write(lambda tx: named.take(tx, HEAD, "lead", holder, TTL_MS, data)).data

    assert taken(None) == "null"
    assert [taken("[1]"), taken(None)] == ["[1]", "[1]"]
    store.write(lambda tx: named.release(tx, HEAD, "lead", 1))
    assert [taken(None, "two"), taken("[2]", "two")] == ["[1]", "[2]"]
    store.clock.advance(10)
    assert taken(None, "three") == "[2]"


def test_of_many_that_take_it_at_once_one_gets_it(store: Store) -> None:
    def try_it(number: int) -> int | None:
        try:
            return take(store, f"holder {number}").fence
        except LeaseHeld:
            return None

    with ThreadPoolExecutor(8) as pool:
        for fence in (1, 2, 3):
            got = list(pool.map(try_it, range(16)))
            assert [found for found in got if found is not None] == [fence]
            store.clock.advance(10)


@pytest.mark.docker
def test_of_two_servers_on_one_database_one_gets_it(postgres: "PostgresServer", tmp_path: Path) -> None:
    from tests.support.postgres_server import Databases

    databases, clock = Databases(postgres), ManualClock()
    with closing(databases.open(tmp_path, clock)) as first, closing(databases.open(tmp_path, clock)) as second:
        stores = (Store(first, clock), Store(second, clock))

        def try_it(number: int) -> int | None:
            try:
                return take(stores[number % 2], f"holder {number}").fence
            except LeaseHeld:
                return None

        with ThreadPoolExecutor(8) as pool:
            for fence in (1, 2, 3, 4, 5):
                got = list(pool.map(try_it, range(8)))
                assert [found for found in got if found is not None] == [fence]
                clock.advance(10)
    databases.give_back()
