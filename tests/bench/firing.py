"""Schedules that are all due in the same second: how soon each is fired, and what others feel of it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import msgspec
from tests.bench.figures import Figure, Gate, Part, percentile
from tests.bench.load import Clients, Connection, LoadFailed, request
from tests.bench.plan import Plan
from tests.bench.servers import HEAD, Server

CONNECTIONS = 16
RATE = 200
TEXT = """{count} schedules with one interval are due at the same moment, {rounds} times. Meanwhile a head submits
{rate} jobs a second, evenly, from that moment on for {seconds:g} s, and as long before it, when nothing is due. A ratio
holds the two against each other, round by round."""


async def firing(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure how long the firing takes, and the latency of submits beside it."""
    lasted, beside, ratios, quiet = [], [], [], []
    with ExitStack() as stack:
        server = Server(folder / "firing")
        stack.callback(server.close)
        clients = await Clients.connect(server.port, CONNECTIONS)
        stack.callback(clients.close)
        first = time.time() + plan.firing_lead_seconds
        await clients.drive([_schedule(first, plan) for _ in range(plan.schedules)], 201)
        if time.time() > first - plan.firing_seconds - 1:
            raise LoadFailed("the schedules were not made in time; give plan.firing_lead_seconds more")
        for n in range(plan.firing_rounds):
            due = first + n * plan.firing_every_seconds
            await asyncio.sleep(due - plan.firing_seconds - 0.5 - time.time())
            before = percentile(await _submits(clients, plan.firing_seconds), 0.99) * 1e3
            await asyncio.sleep(due - time.time())
            during = percentile(await _submits(clients, plan.firing_seconds), 0.99) * 1e3
            seconds = await _until_fired(clients, due, plan)
            quiet.append(before)
            beside.append(during)
            ratios.append(during / before)
            lasted.append(seconds)
            told = f"fired in {seconds:.2f} s, submit p99 {during:.2f} ms beside {before:.2f} ms"
            say(f"round {n + 1} of {plan.firing_rounds}: {told}")
    count = f"{plan.schedules:,}"
    text = TEXT.format(count=count, rounds=plan.firing_rounds, rate=RATE, seconds=plan.firing_seconds)
    figures = [
        Figure(f"{count} due at once, the last one fired", lasted, "s", Gate("at most", 5)),
        Figure("submit p99 while they are fired : idle", ratios, "", Gate("at most", 2)),
        Figure("submit p99 while they are fired", beside, "ms"),
        Figure("submit p99, idle", quiet, "ms"),
    ]
    return Part("Schedules", text, figures)


def _schedule(first: float, plan: Plan) -> bytes:
    body = {
        "name": "bench",
        "everySeconds": plan.firing_every_seconds,
        "startAt": datetime.fromtimestamp(first).astimezone().isoformat(),
        "overlap": "allow",
        "job": {"target": "any", "label": "fired", "spec": {"run": "true"}},
    }
    return request("POST", "/schedules", HEAD, msgspec.json.encode(body))


async def _submits(clients: Clients, seconds: float) -> list[float]:
    """Submit evenly; return how long each took (s) from when it was due.

    Raises:
        LoadFailed
    """
    loop, count = asyncio.get_running_loop(), int(RATE * seconds)
    free, late = deque(clients.connections), deque[tuple[float, bytes]]()
    sent: dict[int, float] = {}
    found: list[float] = []
    done = loop.create_future()

    def answered(connection: Connection, status: int, body: bytes) -> None:
        if status != 201 and not done.done():
            done.set_exception(LoadFailed(f"a submit was answered {status}: {body[:200]!r}"))
        found.append(time.perf_counter() - sent.pop(id(connection)))
        if late:
            _send(connection, *late.popleft())
        else:
            free.append(connection)
        if len(found) == count and not done.done():
            done.set_result(None)

    def _send(connection: Connection, due: float, data: bytes) -> None:
        sent[id(connection)] = due
        connection.send(data)

    def submit() -> None:
        item = time.perf_counter(), request("POST", "/jobs", HEAD, b'{"target":"any","spec":1}')
        if free:
            _send(free.popleft(), *item)
        else:
            late.append(item)

    for connection in clients.connections:
        connection.on_answer = answered
    begun = loop.time()
    for n in range(count):
        loop.call_at(begun + n / RATE, submit)
    await asyncio.wait_for(done, seconds + 30)
    return found


async def _until_fired(clients: Clients, due: float, plan: Plan) -> float:
    """Return how long after the due time the last of its jobs was made (s)."""
    since = datetime.fromtimestamp(due - 0.05).astimezone().isoformat().replace("+", "%2B")
    asked = request("GET", f"/jobs?label=fired&since={since}&limit=10000", HEAD)
    async with asyncio.timeout(30):
        while True:
            (body,) = (await clients.drive([asked], 200)).bodies
            jobs = msgspec.json.decode(body)["jobs"]
            if len(jobs) >= plan.schedules:
                return max(datetime.fromisoformat(job["createdAt"]).timestamp() for job in jobs) - due
            await asyncio.sleep(0.1)
