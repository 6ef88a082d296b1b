"""Claws that wait: how soon one runs a job that was just submitted, and what thousands cost that have nothing to do."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, Gate, Part, percentile
from tests.bench.load import Clients, Connection, LoadFailed, request
from tests.bench.plan import Plan
from tests.bench.servers import HEAD, Server

WAIT = 30
SUBMITTERS = 16
TAKEN_SECONDS = 60.0  # after the last submit, until a claw has each job
_TAG = re.compile(rb'"spec":(\d+)')

LATENCY = """{claws} claws, each a machine with a token and a name of its own, wait with `wait` {wait}; a head submits
{rate} jobs a second for `any`, evenly, whatever becomes of the ones before. From the moment at which a submit was due
until the claim's answer is back at a claw, the job running and on disk. That claw waits again at once. {seconds:g} s a
round."""
IDLE = """{idle} claws wait, and no job comes. Memory and CPU time of the serving process while nothing happens
({seconds:g} s a value). Beside it, without a gate, the {wait} s in which each of them asks once more, because its wait
is over: that is what such a fleet costs as long as it has nothing to do."""


class Fleet:
    """Claws of names of their own, and a server that knows their tokens."""

    def __init__(self, folder: Path, count: int, **env: str) -> None:
        folder.mkdir(parents=True)
        self.tokens = {f"c{n}": f"claw-token-{n:06}" for n in range(count)}
        listed = folder / "tokens"  # one variable of the environment would be too small for thousands
        listed.write_text(",".join(f"{name}={token}" for name, token in self.tokens.items()))
        listed.chmod(0o600)
        self.server = Server(folder, CLAW_TOKENS_FILE=str(listed), SPINE_WAITERS_MAX=str(count + 1), **env)

    def claims(self) -> list[bytes]:
        """Return each claw's waiting claim."""
        body = b'{"wait":%d}' % WAIT
        return [request("POST", "/jobs/claim", token, body, x_worker_id=name) for name, token in self.tokens.items()]


class Claws:
    """The connections of claws that wait again and again."""

    def __init__(self, clients: Clients, claims: list[bytes], on_job: Callable[[bytes], None]) -> None:
        self._clients, self._on_job = clients, on_job
        self._again = {id(c): claim for c, claim in zip(clients.connections, claims, strict=True)}
        self.renewed = 0
        self.fault: str | None = None

    def start(self) -> None:
        """Let all of them wait."""
        for connection in self._clients.connections:
            connection.on_answer = self._answered
            connection.send(self._again[id(connection)])

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        if status == 200:
            self._on_job(body)
        elif status == 204:
            self.renewed += 1
        else:
            self.fault = f"a claim was answered {status}: {body[:200]!r}"
        connection.send(self._again[id(connection)])

    def check(self) -> None:
        """Raise when a claim was refused.

        Raises:
            LoadFailed
        """
        if self.fault is not None:
            raise LoadFailed(self.fault)


async def latency(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure from submit to running."""
    with ExitStack() as stack:
        fleet = Fleet(folder / "waiting", plan.claws)
        stack.callback(fleet.server.close)
        heads = await Clients.connect(fleet.server.port, SUBMITTERS)
        stack.callback(heads.close)
        halves, ends = await rounds(plan, fleet, heads, heads, stack, say)
    text = LATENCY.format(claws=f"{plan.claws:,}", wait=WAIT, rate=plan.rate, seconds=plan.waiting_seconds)
    figures = [
        Figure("submit → running, p50", halves, "ms", Gate("at most", 10)),
        Figure("submit → running, p99", ends, "ms", Gate("at most", 50)),
    ]
    return Part("Waiting claws", text, figures)


async def rounds(
    plan: Plan, fleet: Fleet, heads: Clients, watcher: Clients, stack: ExitStack, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Let all claws of a fleet wait, and submit by `heads`, wherever they are connected; return p50 and p99 in ms.

    `watcher` is connected to the fleet's server; the claws hang up when the stack is closed.
    """
    due_at: dict[int, float] = {}
    found: list[float] = []

    def got(body: bytes) -> None:
        tag = _TAG.search(body)
        assert tag is not None, body[:200]
        found.append(time.perf_counter() - due_at[int(tag[1])])

    claims = fleet.claims()
    clients = await Clients.connect(fleet.server.port, len(claims))
    stack.callback(clients.close)
    claws = Claws(clients, claims, got)
    claws.start()
    await fleet.server.until_waiting(watcher, len(claims))
    halves, ends = [], []
    for n in range(plan.waiting_rounds):
        found.clear()
        count = await _submit_evenly(heads, plan, due_at)
        async with asyncio.timeout(TAKEN_SECONDS):
            while len(found) < count:
                await asyncio.sleep(0.01)
                claws.check()
        halves.append(percentile(found, 0.5) * 1e3)
        ends.append(percentile(found, 0.99) * 1e3)
        say(f"round {n + 1} of {plan.waiting_rounds}: {len(found)} jobs, p50 {halves[-1]:.2f} p99 {ends[-1]:.2f} ms")
    return halves, ends


async def _submit_evenly(heads: Clients, plan: Plan, due_at: dict[int, float]) -> int:
    """Submit at the plan's rate, each at its time; return how many, once every submit has been answered."""
    free, late = deque(heads.connections), deque[bytes]()
    loop, count = asyncio.get_running_loop(), int(plan.rate * plan.waiting_seconds)
    left, first, done = count, len(due_at), loop.create_future()

    def answered(connection: Connection, status: int, body: bytes) -> None:
        nonlocal left
        if status != 201 and not done.done():
            done.set_exception(LoadFailed(f"a submit was answered {status}: {body[:200]!r}"))
        left -= 1
        if late:
            connection.send(late.popleft())
        else:
            free.append(connection)
        if not left and not done.done():
            done.set_result(None)

    def submit(tag: int) -> None:
        data = request("POST", "/jobs", HEAD, b'{"target":"any","spec":%d}' % tag)
        if free:
            free.popleft().send(data)
        else:
            late.append(data)

    for connection in heads.connections:
        connection.on_answer = answered
    begun, clock = loop.time() + 0.05, time.perf_counter() + 0.05
    for n in range(count):
        due_at[first + n] = clock + n / plan.rate
        loop.call_at(begun + n / plan.rate, submit, first + n)
    await asyncio.wait_for(done, plan.waiting_seconds + 30)
    return count


async def idle(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure what waiting costs."""
    with ExitStack() as stack:
        fleet = Fleet(folder / "idle", plan.idle)
        server = fleet.server
        stack.callback(server.close)
        empty = server.rss_mib()
        clients = await Clients.connect(server.port, plan.idle)
        stack.callback(clients.close)
        claws = Claws(clients, fleet.claims(), lambda _job: None)
        claws.start()
        watcher = await Clients.connect(server.port, 1)
        stack.callback(watcher.close)
        await server.until_waiting(watcher, plan.idle)
        await asyncio.sleep(plan.settle_seconds)
        memory, share, renewing = [], [], []
        for _ in range(plan.idle_windows):
            before = server.cpu()
            await asyncio.sleep(plan.idle_seconds)
            share.append((server.cpu() - before) / plan.idle_seconds * 100)
            memory.append(server.rss_mib())
        say(f"{plan.idle:,} claws: {memory[-1]:.0f} MiB ({empty:.0f} before they came), {share[-1]:.2f} % of a core")
        if plan.renewals:
            for _ in range(2):
                before, seen = server.cpu(), claws.renewed
                await asyncio.sleep(WAIT)
                renewing.append((server.cpu() - before) / WAIT * 100)
                memory.append(server.rss_mib())
                say(f"{claws.renewed - seen:,} claims renewed: {renewing[-1]:.2f} % of a core, {memory[-1]:.0f} MiB")
        claws.check()
    text = IDLE.format(idle=f"{plan.idle:,}", seconds=plan.idle_seconds, wait=WAIT)
    figures = [
        Figure(f"{plan.idle:,} idle claws, memory", memory, "MiB", Gate("at most", 200)),
        Figure(f"{plan.idle:,} idle claws, share of a core", share, "%", Gate("at most", 2)),
        Figure(f"{plan.idle:,} idle claws that ask anew, share of a core", renewing, "%", missing="a short run"),
    ]
    return Part("Idle claws", text, figures)
