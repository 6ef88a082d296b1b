"""Two servers on one PostgreSQL database, beside procrastinate on the same database server; no gate stands here."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.bench import procrastinate_side
from tests.bench.figures import Figure, Part
from tests.bench.load import Clients, request
from tests.bench.plan import Plan
from tests.bench.servers import CLAW, HEAD, Server
from tests.bench.sides import together
from tests.bench.verbs import WORKER
from tests.bench.waiting import SUBMITTERS, Fleet, rounds
from tests.conftest import engine_answers
from tests.support.engine import opened
from tests.support.postgres_server import PostgresServer

NO_ENGINE = "no Docker Engine answers, on which the database server runs"
FILLED = 1000
RATES = (
    "at the store, two processes",
    "over HTTP, two servers",
    "over HTTP, one server",
    "over HTTP, two servers, 25 a call",
)
A_CALL = 25
THEIRS = "procrastinate, fetch_job, two processes"
TEXT = """Two servers (`spine serve` with `SPINE_DATABASE_URL`), and procrastinate, on one PostgreSQL server with its
settings as they are installed, its data on a disk. {clients} calls are under way at any moment, half of them in each
process or at each server; {calls} jobs a round, all of them queued before. Each is handed out alone, save where it
says 25 a call, and is committed when that is answered.

*At the store* claims are made as a server makes them for its clients, but without HTTP; that is what procrastinate's
`fetch_job` is beside, of which each of two processes has {half} workers with a connection each. The goal is five times
as many over HTTP; nothing fails when it is missed. From submit to running as among waiting claws above, but {claws}
claws wait at one server, and the jobs, {rate} a second, are submitted at the other; the goal is a p99 below 100 ms.

The cores carry the database, both servers and what asks them, so a figure is bounded by the CPU time of a claim in all
of these. A call of its own for each claim pays for HTTP, for the token and for a part of a transaction each time. Who
has room for several jobs asks for them in one call (`max`). `claw run` has one job at a time, and asks for one."""


async def shared(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure both, in turn."""
    rates: dict[str, list[float]] = {}
    halves: list[float] = []
    ends: list[float] = []
    missing = "" if engine_answers() else NO_ENGINE
    if not missing:
        with ExitStack() as stack:
            server = PostgresServer(stack.enter_context(opened()), in_memory=False)
            stack.callback(server.stop)
            await _claims(plan, folder, server, rates, say)
            await _latency(plan, folder, server, halves, ends, say)
    text = TEXT.format(
        clients=plan.clients,
        calls=f"{plan.shared_calls:,}",
        half=plan.clients // 2,
        claws=plan.shared_claws,
        rate=plan.shared_rate,
    )
    theirs = rates.get(THEIRS, [])
    lacking = missing or ("" if procrastinate_side.is_installed() else procrastinate_side.MISSING)
    figures = []
    for name in RATES:
        ratio = [a / b for a, b in zip(rates.get(name, []), theirs, strict=False)]
        figures.append(Figure(f"claims {name} : procrastinate", ratio, missing=lacking))
    figures += [Figure(f"claims {name}, a second", rates.get(name, []), missing=missing) for name in RATES]
    figures += [
        Figure(f"{THEIRS}, a second", theirs, missing=lacking),
        Figure("submit at one → running by the other, p50", halves, "ms", missing=missing),
        Figure("submit at one → running by the other, p99", ends, "ms", missing=missing),
    ]
    return Part("Two servers on one database", text, figures)


async def _claims(
    plan: Plan, folder: Path, server: PostgresServer, rates: dict[str, list[float]], say: Callable[[str], None]
) -> None:
    count, half = plan.shared_calls, plan.clients // 2
    database = server.url(server.create())
    other = server.url(server.create(template=None))
    tables = False
    with ExitStack() as stack:
        ports = []
        for name in ("a", "b"):
            each = Server(folder / "shared" / name, SPINE_DATABASE_URL=database)
            stack.callback(each.close)
            ports.append(each.port)
        for n in range(int(plan.shared_rounds == 1), plan.shared_rounds + 1):  # the first of several warms up
            taken: dict[str, float] = {}
            await _fill(ports[0], count)
            words = (database, str(count // 2), str(half))
            taken[RATES[0]] = await asyncio.to_thread(together, "tests.bench.store_side", 2, *words)
            await _fill(ports[0], count)
            taken[RATES[1]] = max(await asyncio.gather(*(_claim(port, count // 2, half) for port in ports)))
            await _fill(ports[0], count)
            taken[RATES[2]] = await _claim(ports[0], count, plan.clients)
            await _fill(ports[0], count)
            some = (_claim(port, count // 2, half, min(A_CALL, count // 2)) for port in ports)
            taken[RATES[3]] = max(await asyncio.gather(*some))
            if procrastinate_side.is_installed():
                await asyncio.to_thread(procrastinate_side.fill, other, count, not tables)
                tables = True
                words = (other, str(count // 2), str(half))
                taken[THEIRS] = await asyncio.to_thread(together, "tests.bench.procrastinate_side", 2, *words)
            told = {name: f"{count / seconds:,.0f}" for name, seconds in taken.items()}
            say(f"{f'round {n} of {plan.shared_rounds}' if n else 'to warm up'}, claims a second: {told}")
            if n:
                for name, seconds in taken.items():
                    rates.setdefault(name, []).append(count / seconds)


async def _claim(port: int, count: int, under_way: int, most: int = 1) -> float:
    """Claim so many jobs at a server, some a call; return how long that took (s)."""
    asked = request("POST", "/jobs/claim", CLAW, json.dumps({"max": most}).encode(), **WORKER)
    clients = await Clients.connect(port, min(under_way, count // most))
    try:
        return (await clients.drive([asked] * (count // most), 200)).seconds
    finally:
        clients.close()


async def _fill(port: int, count: int) -> None:
    """Queue so many jobs at a server."""
    job = {"spec": {"run": "make test"}}
    lists = [min(FILLED, count - done) for done in range(0, count, FILLED)]
    clients = await Clients.connect(port, 1)
    try:
        await clients.drive([request("POST", "/jobs", HEAD, json.dumps([job] * few).encode()) for few in lists], 201)
    finally:
        clients.close()


async def _latency(
    plan: Plan,
    folder: Path,
    server: PostgresServer,
    halves: list[float],
    ends: list[float],
    say: Callable[[str], None],
) -> None:
    database = server.url(server.create())
    with ExitStack() as stack:
        fleet = Fleet(folder / "shared-waiting", plan.shared_claws, SPINE_DATABASE_URL=database)
        stack.callback(fleet.server.close)
        submitted_at = Server(folder / "shared-submitting", SPINE_DATABASE_URL=database)
        stack.callback(submitted_at.close)
        heads = await Clients.connect(submitted_at.port, SUBMITTERS)
        stack.callback(heads.close)
        watcher = await Clients.connect(fleet.server.port, 1)
        stack.callback(watcher.close)
        few = replace(plan, rate=plan.shared_rate, waiting_seconds=plan.shared_seconds)
        found = await rounds(few, fleet, heads, watcher, stack, say)
        halves += found[0]
        ends += found[1]
