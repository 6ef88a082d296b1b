"""Writers beside each other on one database: what may run so, what goes on alone, and what a reader then sees."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, Raw, Store
from tests.suites.manual_clock import ManualClock
from tests.support.postgres_server import PostgresServer

from spine.queue import claim, once
from spine.store import claims, events, idempotency
from spine.store.engine import Tx
from spine.store.idempotency import Scope
from spine.store.jobs import JobRow
from spine.store.postgres import WRITERS_BESIDE, PostgresEngine

pytestmark = pytest.mark.docker

NESTED_LOOPS = Raw("SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)")
FREE = Raw("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'queued' FOR UPDATE SKIP LOCKED) AS free")


@pytest.fixture
def two(postgres: PostgresServer, database: str) -> Iterator[tuple[Store, Store]]:
    """Two servers on one database."""
    clock = ManualClock()
    engines = [PostgresEngine(postgres.url(database), clock) for _ in range(2)]
    yield Store(engines[0], clock), Store(engines[1], clock)
    for engine in engines:
        engine.close()


class Held:
    """An operation that has been carried out and whose transaction goes on until it is let go."""

    def __init__(self, store: Store, operation: Any) -> None:
        self._inside, self._gate = threading.Event(), threading.Event()

        def slow(tx: Tx) -> Any:
            value = operation(tx)
            self._inside.set()
            assert self._gate.wait(10)
            return value

        self._future: Future[Any] = store.engine.write(slow, beside=True)
        assert self._inside.wait(10)

    def let_go(self) -> Any:
        self._gate.set()
        return self._future.result(10)


def claiming(store: Store, caller: Any = LEFT, most: int = 1) -> Any:
    targets = claim.targets_of(caller, None)
    return lambda tx: claim.claim_next(tx, store.rules, caller, targets, frozenset(), most)


def an_event(tx: Tx) -> None:
    events.append(tx, "message.sent", "head", None, None, {})


def ids(rows: list[JobRow]) -> list[str]:
    return [row.id for row in rows]


def test_claims_at_two_servers_do_not_wait_for_each_other(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    first, second = ours.submit(target="any"), ours.submit(target="any")
    held = Held(ours, claiming(ours))
    assert ids(theirs.take(RIGHT)) == [second.id]
    assert ids(held.let_go()) == [first.id]


def test_a_claim_holds_no_more_than_it_takes(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    for n in range(40):
        ours.submit(target=("any", "left-claw")[n % 2], priority=n % 3)

    def three(tx: Tx) -> list[JobRow]:
        tx.one(NESTED_LOOPS)
        return claims.pick(tx, [1, 2], 3)

    held = Held(ours, three)
    assert theirs.write(lambda tx: tx.one(FREE)) == (37,)
    assert [(row.priority, row.seq) for row in held.let_go()] == [(2, 3), (2, 6), (2, 9)]


def test_many_claimed_at_once_are_what_one_by_one_would_be(postgres: PostgresServer) -> None:
    dumps = []
    for many in (True, False):
        name = postgres.create()
        clock = ManualClock()
        engine = PostgresEngine(postgres.url(name), clock)
        store = Store(engine, clock)
        for n in range(3):
            store.submit(target=("any", "left-claw")[n % 2], priority=n, timeoutSeconds=10 if n == 1 else None)
        taken = store.take(LEFT, 3) if many else [row for _ in range(3) for row in store.take(LEFT, 1)]
        assert taken == [store.job(row.id) for row in taken]
        found = store.dump()
        dumps.append([[row[2:] for row in found["jobs"]], [row[1:] for row in found["attempts"]]])
        dumps[-1].append(sorted((row[4], row[5], row[6]) for row in found["events"]))
        engine.close()
        postgres.drop(name)
    assert dumps[0] == dumps[1]


def test_claims_of_one_transaction_take_each_job_once(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    submitted = [ours.submit(target=("any", "left-claw")[n % 2], priority=n % 3).id for n in range(20)]
    busy = [Held(ours, lambda _tx: None) for _ in range(WRITERS_BESIDE)]
    found = [ours.engine.write(claiming(ours, most=1 + n % 2), beside=True) for n in range(12)]
    for held in busy:
        held.let_go()
    taken = [row.id for future in found for row in future.result(10)] + ids(theirs.take(LEFT, 20))
    assert (len(taken), sorted(taken)) == (20, sorted(submitted))
    assert {len(ours.attempts(job_id)) for job_id in submitted} == {1}
    assert {ours.job(job_id).status for job_id in submitted} == {"running"}


def test_claims_of_one_transaction_hide_no_job_from_claws_of_other_lanes(two: tuple[Store, Store]) -> None:
    ours, _ = two
    for _n in range(20):
        ours.submit(target="any")
    ours.submit(target="left-claw")
    busy = [Held(ours, lambda _tx: None) for _ in range(WRITERS_BESIDE)]
    found = [
        ours.engine.write(claiming(ours, caller, most), beside=True)
        for caller, most in ((LEFT, 10), (LEFT, 1), (RIGHT, 5))
    ]
    for held in busy:
        held.let_go()
    assert [len(future.result(10)) for future in found] == [10, 1, 5]


def test_a_claim_and_its_repeat_in_one_transaction_get_one_answer(two: tuple[Store, Store]) -> None:
    ours, _ = two
    job = ours.submit(target="any")
    key = once.key_of("left-claw", "POST", "/jobs/claim", "k1", b"{}")

    def verb(tx: Tx) -> once.Answer:
        rows = claiming(ours)(tx)
        return once.Answer(200, b"[]", tuple(f"{row.id}:{row.fence}" for row in rows))

    busy = [Held(ours, lambda _tx: None) for _ in range(WRITERS_BESIDE)]
    found = [ours.engine.write(lambda tx: once.once(tx, key, verb), beside=True) for _ in range(2)]
    for held in busy:
        held.let_go()
    first, second = [future.result(10) for future in found]
    assert (first.holds, first.replayed, second.replayed) == ((f"{job.id}:1",), False, True)
    assert [attempt.fence for attempt in ours.attempts(job.id)] == [1]


def test_the_last_job_that_another_takes_is_waited_for(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    job = ours.submit(target="any")
    held = Held(ours, claiming(ours))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(theirs.take, RIGHT)
        with pytest.raises(TimeoutError):
            late.result(0.3)
        assert ids(held.let_go()) == [job.id]
        assert late.result(10) == []


def test_of_a_key_with_one_slot_two_claims_at_once_get_one(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    for n in range(8):
        ours.submit(target="any", concurrencyKey=f"k{n // 2}")
    start = threading.Barrier(2)

    def take(store: Store, caller: Any) -> list[JobRow]:
        start.wait(10)
        return store.take(caller, 8)

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(take, store, caller) for store, caller in ((ours, LEFT), (theirs, RIGHT))]
        taken = [row for future in found for row in future.result(10)]
    assert sorted(str(row.concurrency_key) for row in taken) == ["k0", "k1", "k2", "k3"]


def test_one_idempotency_key_at_two_servers_is_one_answer(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    scope = Scope("head", "POST", "/jobs", "k")

    def kept(answer: bytes) -> Any:
        def verb(tx: Tx) -> bytes:
            kept = idempotency.find(tx, scope)
            if kept is not None:
                return bytes(kept.body)
            idempotency.keep(tx, scope, b"", 201, answer, "")
            return answer

        return verb

    held = Held(ours, kept(b"ours"))
    late = theirs.engine.write(kept(b"theirs"), beside=True)
    assert held.let_go() == b"ours"
    assert late.result(10) == b"ours"


def test_a_dedupe_key_at_two_servers_is_one_job(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    start = threading.Barrier(2)

    def submit(store: Store) -> str:
        start.wait(10)
        return store.submit(target="any", dedupeKey="nightly").id

    with ThreadPoolExecutor(2) as pool:
        found = {future.result(10) for future in [pool.submit(submit, store) for store in (ours, theirs)]}
    assert len(found) == 1


def test_events_of_a_late_commit_are_not_passed_by(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    ours.submit(target="right-claw")
    seen = ours.page(HEAD, None)
    held = Held(ours, an_event)  # it has the lower place, and is not there yet
    theirs.take(RIGHT)
    page = theirs.page(HEAD, seen.next_cursor)
    assert page.events == []
    held.let_go()
    page = theirs.page(HEAD, page.next_cursor)
    assert [event.type for event in page.events] == ["message.sent", "job.claimed"]
    assert theirs.page(HEAD, page.next_cursor).events == []


def test_events_of_one_job_stand_in_the_order_in_which_they_came(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    go_on, wrote = threading.Event(), threading.Event()
    theirs.cancel(theirs.submit(target="any").id)  # its lane is known from now on: another like it need not be alone

    def early(tx: Tx) -> list[JobRow]:
        an_event(tx)  # from here on this transaction has its number
        wrote.set()
        assert go_on.wait(10)
        return list(claiming(ours)(tx))

    older = ours.engine.write(early, beside=True)
    assert wrote.wait(10)
    job = theirs.submit(target="any")
    go_on.set()
    assert ids(older.result(10)) == [job.id]
    assert ours.event_types(job.id) == ["job.created", "job.claimed"]


def test_a_count_of_events_begins_anew_behind_those_before(
    postgres: PostgresServer, database: str, two: tuple[Store, Store]
) -> None:
    ours, theirs = two
    job = ours.submit(target="any")
    ours.engine.checkpoint()
    assert postgres.run("SELECT counted FROM event_origin", database) == [(0,)]
    postgres.run("SELECT setval('event_count', 600000)", database)
    theirs.take(LEFT)
    ours.engine.checkpoint()
    assert postgres.run("SELECT counted FROM event_origin", database) == [(600001,)]
    ours.cancel(job.id)
    assert theirs.event_types(job.id) == ["job.created", "job.claimed", "job.cancelled"]


def test_both_ends_of_one_attempt_at_once_are_one(two: tuple[Store, Store]) -> None:
    ours, theirs = two
    job = ours.submit(target="left-claw")
    (running,) = ours.take()
    start = threading.Barrier(2)

    def end(store: Store, verb: str) -> str:
        start.wait(10)
        try:
            row = store.complete(job.id, fence=running.fence) if verb == "done" else store.fail(job.id, running.fence)
        except Exception as e:  # noqa: BLE001 — whichever it is
            return type(e).__name__
        return row.status

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(end, store, verb) for store, verb in ((ours, "done"), (theirs, "failed"))]
        told = [future.result(10) for future in found]
    assert ours.job(job.id).status in told
    assert len([event for event in ours.events(job.id) if event.type in ("job.completed", "job.failed")]) == 1


def test_events_of_a_copied_store_stand_before_those_that_follow(
    postgres: PostgresServer, database: str, two: tuple[Store, Store]
) -> None:
    ours, _ = two
    job = ours.submit(target="any")
    copied = 2**50  # as if from a database that has seen many more transactions
    postgres.run(f"UPDATE events SET seq = {copied}", database)
    clock = ManualClock()
    engine = PostgresEngine(postgres.url(database), clock)
    try:
        later = Store(engine, clock)
        later.cancel(job.id)
        first, second = later.events(job.id)
        assert (first.type, first.seq, second.type) == ("job.created", copied, "job.cancelled")
        assert second.seq > copied
    finally:
        engine.close()
