"""How PostgreSQL carries out what is asked most, in a store of 60,000 jobs: by the index that is meant for it.

The server itself tells its plans, of the statements as the engine sends them and with what each of them read; so do
the two that a driver's prepared statements and an unlucky estimate bring about.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, STORE_ID, Store
from tests.suites.manual_clock import START_MS, ManualClock
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer

from spine.queue import claim, history
from spine.queue.access import Caller, Principal
from spine.queue.once import Answer, key_of, once
from spine.store.engine import Tx
from spine.store.postgres import PostgresEngine

pytestmark = pytest.mark.docker

BIG = {"jobs", "events", "attempts", "idempotency"}
NOW = START_MS
CHAT = Caller(Principal("chat", "chat"))
# 40,000 done; 8,000 queued, 7,000 behind a key whose slots are taken; 3,000 running; 2,000 that wait.
FILL = f"""
INSERT INTO lanes (id, target, requires) OVERRIDING SYSTEM VALUE VALUES
    (1, 'any', '[]'), (2, 'left-claw', '[]'), (3, 'right-claw', '[]'), (4, 'any', '["gpu"]');
SELECT setval(pg_get_serial_sequence('lanes', 'id'), 100);
INSERT INTO jobs (id, lane, target, status, created_at, updated_at, created_by, claimed_by, worker_id, machine,
    lease_until, attempts, max_attempts, spec, meta, priority, label, fence, started_at, finished_at, ready, wake_at,
    not_before, concurrency_key, concurrency_limit)
SELECT 'job_' || n, lane, (ARRAY['any', 'left-claw', 'right-claw', 'any'])[lane], status, {NOW} - 60001 + n,
    {NOW} - 60001 + n, 'head', CASE WHEN begun THEN 'left-claw' END, CASE WHEN begun THEN 'l1' END,
    CASE WHEN begun THEN 'machine-' || n % 50 END, CASE WHEN status = 'running' THEN {NOW} + n * 1000 END,
    begun::int, 5, '{{"run": "make"}}', '{{}}', n % 7, CASE WHEN n % 100 = 0 THEN 'label-' || n % 5 END, begun::int,
    CASE WHEN begun THEN {NOW} - 60000 END, CASE WHEN status = 'done' THEN {NOW} - 60000 + n END,
    (key IS NULL)::int, CASE WHEN status = 'waiting' THEN {NOW} + n * 1000 END,
    CASE WHEN status = 'waiting' THEN {NOW} + n * 1000 END, key, CASE WHEN key IS NOT NULL THEN 1 END
FROM (
    SELECT n, CASE WHEN n <= 40000 THEN 'done' WHEN n <= 55000 THEN 'queued' WHEN n <= 58000 THEN 'running'
            ELSE 'waiting' END AS status,
        n <= 40000 OR n BETWEEN 55001 AND 58000 AS begun,
        CASE WHEN n BETWEEN 30001 AND 40000 THEN 3 ELSE (ARRAY[1, 2, 4])[1 + n % 3] END AS lane,
        CASE WHEN n BETWEEN 48001 AND 55010 THEN 'k' END AS key
    FROM generate_series(1, 60000) AS n
) AS numbered;
INSERT INTO attempts (job_id, fence, round, attempt, outcome, claimed_by, worker_id, machine, started_at)
SELECT id, 1, 1, 1, status, 'left-claw', 'l1', machine, started_at FROM jobs WHERE status IN ('done', 'running');
INSERT INTO events (seq, job_id, target, at, type, author, data)
SELECT n, 'job_' || 1 + n / 2, 'any', {NOW} - 60000 + n, 'job.created', 'head', '{{}}'
FROM generate_series(1, 100000) AS n;
SELECT setval(pg_get_serial_sequence('events', 'seq'), 100000);
INSERT INTO idempotency (owner, method, path, key, digest, status, body, holds, created_at)
SELECT 'head', 'POST', '/jobs', 'key-' || n, '\\x00', 201, '\\x7b7d', '', {NOW} - n FROM generate_series(1, 60000) AS n;
INSERT INTO machines (name, first_seen, seen_at) VALUES ('left-claw', {NOW}, {NOW}), ('right-claw', {NOW}, {NOW});
ANALYZE
"""
# Statistics of a queue that was empty, as they are in the morning, and then 5,000 jobs.
STALE = f"""
INSERT INTO lanes (id, target, requires) OVERRIDING SYSTEM VALUE VALUES (1, 'any', '[]');
INSERT INTO machines (name, first_seen, seen_at) VALUES ('left-claw', {NOW}, {NOW});
ANALYZE;
INSERT INTO jobs (id, lane, target, status, created_at, updated_at, created_by, max_attempts, spec, meta)
SELECT 'job_' || n, 1, 'any', 'queued', {NOW}, {NOW}, 'head', 5, '{{}}', '{{}}' FROM generate_series(1, 5000) AS n
"""
NESTED = "-c enable_hashjoin=off -c enable_mergejoin=off"
ANY_VALUE = f"{NESTED} -c plan_cache_mode=force_generic_plan"
PLANNERS = {"as it comes": "", "nested loops": NESTED, "for any value": ANY_VALUE}
EXPLAIN = (
    "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 -c auto_explain.log_format=json "
    "-c auto_explain.log_analyze=on -c auto_explain.log_timing=off"
)


FREE = "SELECT 1 FROM jobs WHERE status = 'queued' AND ready = 1 FOR UPDATE SKIP LOCKED"


class Plan(NamedTuple):
    """How a statement was carried out in big tables. `rows`: how many were read; `scanned`: tables read through."""

    sql: str
    indices: set[str]
    rows: int
    scanned: set[str]


class Explained:
    """A store whose server tells its plans."""

    def __init__(self, server: PostgresServer, database: str, planner: str) -> None:
        self._server, self._marks, self.planner = server, 0, planner
        url = f"{server.url(database)}?options={quote(f'{EXPLAIN} {PLANNERS[planner]}')}"
        self.engine = PostgresEngine(url, ManualClock(NOW))
        self.store = Store(self.engine, ManualClock(NOW))

    def plans(self, verb: Callable[[Store], object]) -> list[Plan]:
        """Carry out a verb; return the plans of its statements in big tables."""
        begin, _ = self._mark()
        verb(self.store)
        _, log = self._mark()
        told = re.findall(r"plan:\n((?:\t.*\n)+)", log[log.index(begin) :])
        found = [plan_of(json.loads(text)) for text in told]
        return [plan for plan in found if plan.indices or plan.scanned]

    def _mark(self) -> tuple[str, str]:
        """Write a line to the server's log, and return the log once it is there."""
        self._marks += 1
        mark = f"mark {id(self)} {self._marks}"
        self._server.run(f"DO $$ BEGIN RAISE LOG '{mark}'; END $$")

        def look() -> str | None:
            log = self._server.container.logs(stdout=False, tail=5000).decode()
            return log if f"LOG:  {mark}\n" in log else None

        return f"LOG:  {mark}\n", eventually(look, what="the mark in the server's log")


def plan_of(told: dict[str, Any]) -> Plan:
    """Sum up a plan."""
    indices, scanned, rows = set[str](), set[str](), 0.0
    nodes, tables = [(told["Plan"], "")], {}
    while nodes:
        node, table = nodes.pop()
        table = tables.setdefault(id(node), node.get("Relation Name", table))
        nodes += [(below, table) for below in node.get("Plans", ())]
        if table not in BIG or "Scan" not in node["Node Type"] or node["Node Type"] in ("CTE Scan", "Function Scan"):
            continue
        if node["Node Type"] == "Seq Scan":
            scanned.add(table)
        if "Index Name" in node:
            indices.add(node["Index Name"])
        rows += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return Plan(told["Query Text"], indices, round(rows), scanned)


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create()
    postgres.run(FILL, name)
    yield name
    postgres.drop(name)


@pytest.fixture(scope="module", params=PLANNERS)
def explained(request: pytest.FixtureRequest, postgres: PostgresServer, database: str) -> Iterator[Explained]:
    found = Explained(postgres, database, request.param)
    yield found
    found.engine.close()


def fresh_key(store: Store, number: int) -> object:
    def verb(_: Tx) -> Answer:
        return Answer(201, b"{}")

    key = key_of("head", "POST", "/jobs", f"fresh {number}", b"")
    return store.write(lambda tx: once(tx, key, verb))


# Each with the index that is meant for it, and how many rows of big tables it may read. It gets a number for each use.
VERBS: dict[str, tuple[Callable[[Store, int], object], str, int]] = {
    "claim three": (lambda store, n: store.take(LEFT, 3), "jobs_ready", 20),
    "claim by id": (lambda store, n: store.claim(f"job_{40_400 + 3 * n}", RIGHT), "jobs_id_key", 10),
    "heartbeat": (lambda store, n: store.beat("job_57002", 1), "jobs_id_key", 10),
    "complete what holds a key": (lambda store, n: store.complete(f"job_{55_001 + n}", 1), "jobs_parked", 100),
    "submit": (lambda store, n: store.submit(target="any", spec=1), "", 10),
    "submit behind a key": (
        lambda store, n: store.submit(target="any", spec=1, concurrencyKey="k", concurrencyLimit=1),
        "jobs_parked",
        100,
    ),
    "what is overdue, and when to look next": (lambda store, n: store.reap(), "jobs_lease", 100),
    "when waiting jobs are due": (lambda store, n: store.reap(), "jobs_wake", 100),
    "events after a cursor": (
        lambda store, n: store.page(HEAD, history.cursor(STORE_ID, 50_000)),
        "events_pkey",
        210,
    ),
    "events of jobs": (lambda store, n: store.page(CHAT, history.cursor(STORE_ID, 50_000)), "events_pkey", 210),
    "events for a claw": (lambda store, n: store.page(LEFT, history.cursor(STORE_ID, 50_000)), "events_pkey", 210),
    "events of a job": (lambda store, n: store.events("job_777"), "events_job", 10),
    "attempts of a job": (lambda store, n: store.attempts("job_777"), "attempts_pkey", 10),
    "all jobs, a page": (lambda store, n: store.listed(limit=100), "jobs_pkey", 210),
    "those that are queued": (lambda store, n: store.listed(limit=100, statuses=("queued",)), "jobs_status", 210),
    "those that are queued, from far on": (
        lambda store, n: store.listed(limit=100, statuses=("queued",), after=history.cursor(STORE_ID, 50_000)),
        "jobs_status",
        210,
    ),
    "those that have not ended": (
        lambda store, n: store.listed(limit=100, statuses=("queued", "running", "waiting")),
        "jobs_status",
        310,
    ),
    "those that wait": (lambda store, n: store.listed(limit=100, statuses=("waiting",)), "jobs_status", 210),
    "those of a target": (lambda store, n: store.listed(limit=100, target="right-claw"), "jobs_target", 210),
    "those with a label": (lambda store, n: store.listed(limit=100, label="label-0"), "jobs_label", 210),
    # It has 600 jobs, 400 of them done and oldest.
    "what a label has in progress": (
        lambda store, n: store.listed(limit=1, label="label-0", statuses=("queued", "running")),
        "jobs_label_open",
        10,
    ),
    "a label's newest": (lambda store, n: store.listed(limit=10, label="label-0", newest=True), "jobs_label", 30),
    "the newest of those that have not ended": (
        lambda store, n: store.listed(limit=10, statuses=("queued", "running", "waiting"), newest=True),
        "jobs_status",
        60,
    ),
    "those of a machine": (lambda store, n: store.listed(limit=100, machine="machine-7"), "jobs_machine", 210),
    "a key that was not used yet": (fresh_key, "idempotency_pkey", 10),
}


@pytest.mark.parametrize("name", VERBS)
def test_the_meant_index_is_used_and_no_big_table_is_read_through(explained: Explained, name: str) -> None:
    verb, index, most = VERBS[name]
    plans = explained.plans(lambda store: verb(store, list(PLANNERS).index(explained.planner)))
    print(*plans, sep="\n")
    assert [plan.sql for plan in plans if plan.scanned] == []
    assert not index or index in set().union(*(plan.indices for plan in plans))
    assert sum(plan.rows for plan in plans) <= most


def test_a_claim_holds_as_many_rows_as_it_takes(explained: Explained, postgres: PostgresServer, database: str) -> None:
    def free() -> int:
        """Count the jobs that another one could hold now."""
        ((found,),) = postgres.run(f"SELECT count(*) FROM ({FREE}) AS free", database)
        assert isinstance(found, int)
        return found

    store, before = explained.store, free()
    targets = claim.targets_of(LEFT, None)

    def verb(tx: Tx) -> tuple[int, int]:
        return len(claim.claim_next(tx, store.rules, LEFT, targets, frozenset(), 3)), free()

    assert store.write(verb) == (3, before - 3)
    assert free() == before - 3


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_claim_reads_what_it_takes_where_statistics_are_of_an_empty_queue(
    postgres: PostgresServer, planner: str
) -> None:
    name = postgres.create()
    postgres.run(STALE, name)
    explained = Explained(postgres, name, planner)
    plans = explained.plans(lambda store: [store.take(LEFT, 3) for _ in range(7)])  # also as a kept plan
    explained.engine.close()
    postgres.drop(name)
    print(*plans, sep="\n")
    assert [plan.sql for plan in plans if plan.scanned] == []
    assert sum(plan.rows for plan in plans) <= 7 * 20
