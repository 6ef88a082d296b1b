"""The primary database dies or freezes under load, and wakes when another has its place: nothing is lost or twice."""

import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.suites.harness import Raw
from tests.support.engine import freeze, opened
from tests.support.eventually import eventually
from tests.support.failover import FROZEN, KILLED, LEFT_ALIVE, SETTINGS, Failovers, Load
from tests.support.postgres_pair import DATABASE, Node, PostgresPair
from tests.support.postgres_server import PostgresServer
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from contract.errors import OutcomeUnknown, Unavailable
from spine.store.engine import StoreAway, Tx
from spine.store.postgres import PostgresEngine
from spine.store.servers import Servers

pytestmark = [pytest.mark.acceptance, pytest.mark.docker]

SPINES = 2
ROUNDS = [KILLED, KILLED, KILLED, FROZEN, LEFT_ALIVE]
WHERE = Raw("SELECT host(inet_server_addr())")
KEYS = Raw("SELECT key FROM meta WHERE key IN ('a', 'b', 'c')")
GET = Raw("SELECT value FROM meta WHERE key = ?", "key")
PUT = Raw("INSERT INTO meta (key, value) VALUES (?, ?)", "key", "value")
# Far more than the hosts of an address are asked again in, far less than the deadline.
SOON = 15.0

Start = Callable[..., SpineProcess]


@pytest.fixture(scope="module")
def servers() -> Iterator[PostgresPair]:
    with opened() as client:
        pair = PostgresPair(client)
        yield pair
        pair.stop()


@pytest.fixture
def pair(servers: PostgresPair) -> Iterator[PostgresPair]:
    """Give a primary with its standby; who was struck by the test is replaced after it."""
    yield servers
    servers.renew()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start spines, one for each name of a folder."""
    with ExitStack() as stack:

        def start(url: str, folder: str = "spine") -> SpineProcess:
            spine = SpineProcess(tmp_path / folder, SETTINGS | {"SPINE_DATABASE_URL": url})
            stack.callback(spine.kill9)
            return spine.start()

        yield start


@pytest.fixture
def engine_on(tmp_path: Path) -> Iterator[Callable[..., PostgresEngine]]:
    engines: list[PostgresEngine] = []

    def open_(url: str, **options: Any) -> PostgresEngine:
        engines.append(PostgresEngine(url, **options))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


def where(tx: Tx) -> str:
    row = tx.one(WHERE)
    assert row is not None
    return str(row[0])


def ids(node: Node) -> set[object]:
    return {job_id for (job_id,) in node.run("SELECT id FROM jobs", DATABASE)}


def head(spine: SpineProcess) -> Api:
    return Api(spine.port, TOKENS["HEAD_TOKEN"])


@pytest.mark.timeout(400)
def test_failovers_under_load(pair: PostgresPair, start: Start, tmp_path: Path) -> None:
    spines = [start(pair.url(), f"spine-{n}") for n in range(SPINES)]
    failovers = Failovers(pair, Load(spines, tmp_path))
    failovers.load.start()
    try:
        counts = [failovers.round(blow) for blow in ROUNDS]
    finally:
        failovers.load.finish(30)
    failovers.load.examine(counts[-1])
    assert [count.faults() for count in counts] == [[]] * 5
    assert len(failovers.load.submitted) > 50
    assert max(gap.writes for gap in failovers.gaps) < 20, failovers.gaps
    for spine in spines:
        assert spine.faults('"level": "error"') == []  # a duty that found the database away says so


# --- an old primary that wakes ---------------------------------------------------------------------------------------


def test_a_running_spine_refuses_an_old_primary_that_stands_first(pair: PostgresPair, start: Start) -> None:
    spine = start(pair.url(pair.primary))
    before = head(spine).submit(target="any", spec=1)["id"]
    pair.primary.container.kill()
    pair.promote()
    pair.wake()
    pair.primary.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'")
    after = eventually(lambda: head(spine).post("/jobs", {"target": "any", "spec": 2}).json.get("id"))
    for job_id in (before, after):
        assert head(spine).job(job_id)["id"] == job_id
        assert job_id in ids(pair.primary)
    assert pair.old is not None
    assert after not in ids(pair.old)


def test_a_spine_that_is_started_anew_refuses_it_too(pair: PostgresPair, start: Start) -> None:
    spine = start(pair.url())
    pair.primary.container.kill()
    old = pair.promote()
    made = eventually(lambda: head(spine).post("/jobs", {"target": "any", "spec": 1}).json.get("id"))
    spine.stop()
    pair.wake()

    # One that has seen nothing yet asks all, and one that has seen the new primary refuses the old one even alone.
    fresh = start(pair.url(old), "fresh")
    assert head(fresh).job(made)["id"] == made
    fresh.stop()
    freeze(pair.primary.container)
    try:
        spine.launch()
        assert spine.wait(30) == 75, spine.log_tail()
    finally:
        pair.primary.container.unpause()
    assert f"{old.address}:5432: it is an old primary (on timeline" in spine.log()
    assert "lineage.json and start the spine again" in spine.log()
    assert "Traceback" not in spine.log()
    spine.start()
    assert head(spine).job(made)["id"] == made


def test_primaries_of_different_clusters_are_told_apart_or_refused(
    pair: PostgresPair, postgres: PostgresServer, engine_on: Callable[..., PostgresEngine], tmp_path: Path
) -> None:
    both = pair.url().replace(f"{pair.standby.address}:5432", f"{postgres.address}:5432")
    postgres.create(DATABASE, None)
    with pytest.raises(StoreAway, match="several clusters: leave the hosts of one in the address"):
        engine_on(both)
    memory = tmp_path / "lineage.json"
    engine_on(pair.url(), memory=memory).close()
    engine = engine_on(both, memory=memory)
    assert engine.read(where).result(20) == engine.write(where).result(20) == pair.primary.address
    with pytest.raises(StoreAway, match=r"it belongs to another cluster.*lineage\.json"):
        engine_on(postgres.url(DATABASE), memory=memory)
    postgres.drop(DATABASE)


def test_a_standby_alone_is_no_store(pair: PostgresPair, engine_on: Callable[..., PostgresEngine]) -> None:
    for attributes in ("", "?target_session_attrs=any"):
        with pytest.raises(StoreAway, match=r"session is read-only|it is a standby"):
            engine_on(pair.standby.url(DATABASE) + attributes)


# --- what no standby has ---------------------------------------------------------------------------------------------


def test_a_repeat_is_not_answered_before_a_standby_has_what_the_answer_rests_on(
    pair: PostgresPair, engine_on: Callable[..., PostgresEngine]
) -> None:
    engine = engine_on(pair.url(), deadline=2.0)
    freeze(pair.standby.container)
    try:
        first = engine.write(put("k"))
        pair.primary.run(f"SELECT pg_cancel_backend({pair.primary.committing(DATABASE)})")
        assert isinstance(first.exception(20), OutcomeUnknown)
        # Now it can be seen, and would be lost with this server.
        assert pair.primary.run("SELECT value FROM meta WHERE key = 'k'", DATABASE) == [("v",)]
        assert isinstance(engine.write(get("k")).exception(20), OutcomeUnknown)
    finally:
        pair.standby.container.unpause()
    assert eventually(lambda: answered(engine.write(get("k"))), 20) == ("v",)


# --- a primary that hangs --------------------------------------------------------------------------------------------


class Hanging:
    """A transaction that stands still after its first statement, until its server has been stopped."""

    def __init__(self, first: Callable[[Tx], object], *rest: Callable[[Tx], object]) -> None:
        self._first, self._rest = first, rest
        self.inside, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, tx: Tx) -> None:
        self._first(tx)
        self.inside.set()
        assert self.goes_on.wait(20)
        for statement in self._rest:
            statement(tx)


def put(key: str) -> Callable[[Tx], object]:
    return lambda tx: tx.run(PUT, key=key, value="v")


def get(key: str) -> Callable[[Tx], Any]:
    return lambda tx: tx.one(GET, key=key)


def answered(future: "Future[Any]") -> Any:
    """Return what came of it, None for a fault."""
    return None if future.exception(30) else future.result()


def hang(engine: PostgresEngine, writing: Hanging, strike: Callable[[], object]) -> list[BaseException | None]:
    """Strike while one writes and one reads; return what becomes of both."""
    reading = Hanging(where, where)
    futures = [engine.write(writing), engine.read(reading)]
    for each in (writing, reading):
        assert each.inside.wait(10)
    strike()
    for each in (writing, reading):
        each.goes_on.set()
    return [future.exception(90) for future in futures]


def test_transactions_on_a_frozen_host_are_cut_off_at_the_deadline(
    pair: PostgresPair, engine_on: Callable[..., PostgresEngine]
) -> None:
    engine = engine_on(pair.url(), deadline=2.0)
    begun = time.monotonic()
    try:
        faults = hang(engine, Hanging(put("a"), put("b")), lambda: freeze(pair.primary.container))
        assert [type(fault) for fault in faults] == [Unavailable, Unavailable]
        assert time.monotonic() - begun < SOON
    finally:
        pair.primary.container.unpause()
    eventually(lambda: engine.write(put("c")).exception(20) is None)
    assert engine.read(lambda tx: [row[0] for row in tx.rows(KEYS)]).result(20) == ["c"]


def test_what_hangs_on_a_frozen_host_is_cut_off_once_another_has_its_place(
    pair: PostgresPair, engine_on: Callable[..., PostgresEngine], request: pytest.FixtureRequest
) -> None:
    engine = engine_on(pair.url(), deadline=60.0)
    servers = Servers(pair.url())
    idle, _ = servers.open()
    request.addfinalizer(idle.close)
    request.addfinalizer(servers.close)
    assert engine.read(where).result(20) == engine.write(where).result(20) == pair.primary.address
    begun = time.monotonic()

    def strike() -> None:
        freeze(pair.primary.container)
        pair.promote()

    faults = hang(engine, Hanging(put("d")), strike)
    assert [type(fault) for fault in faults] == [OutcomeUnknown, Unavailable]
    assert time.monotonic() - begun < SOON
    assert pair.old is not None
    pair.old.container.unpause()
    eventually(lambda: engine.write(put("e")).exception(20) is None)
    # Every session that began on the old one has been left, also those on which nothing hung: one that listens, too.
    assert select.select([idle.fileno()], [], [], SOON)[0]
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    seen = {engine.read(where).result(20) for _ in range(40)} | {engine.write(where).result(20)}
    assert seen == {pair.primary.address}
