"""Submit, claim and complete against a plain GET, and beside other queues: all in turn, round after round."""

import itertools
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, Gate, Part, percentile
from tests.bench.floor import Floor
from tests.bench.load import Clients, Round, request
from tests.bench.others import Others
from tests.bench.plan import Plan
from tests.bench.servers import CLAW, HEAD, Server

WORKER = {"x_worker_id": "w1"}
SPEC = b'{"run":"make test"}'
SUBMIT = request("POST", "/jobs", HEAD, b'{"spec":%s}' % SPEC)
CLAIM = request("POST", "/jobs/claim", CLAW, b"{}", **WORKER)
HEALTH = request("GET", "/health", HEAD)
LEASE = request("GET", "/leases/bench", CLAW)
TAKE = request("POST", "/leases/bench/take", CLAW, b'{"holder":"bench","ttlSeconds":86400}')
VERBS = ("submit", "claim", "complete")
BASELINES = {"GET /leases/:name": LEASE, "GET /health": HEALTH}
RATIO = Gate("at least", 0.30, goal=0.50)
_JOB = re.compile(rb'"id":"([0-9a-z]+)".*"fence":(\d+)')
_numbers = itertools.count()

TEXT = """{clients} connections, each with one call under way; {calls} calls a round of each kind, in turn. A job is
`{{"spec":{spec}}}`; every answer is the whole job. No `Idempotency-Key` is sent, save where it says so.

There are two baselines, because no route that asks for a token answers without the store: `GET /leases/:name` checks
the token and reads one row; `GET /health` goes through the same layers and middleware, but asks for no token and reads
nothing, which makes it the harder one.

The load generator has a process of its own. Against a server that answers without a thought it makes {ceiling} calls a
second; in these rounds it used {own} of one core, the server {server}: it is not what is measured."""


def complete_of(answer: bytes) -> bytes:
    """Return the request that completes the job in a claim's answer."""
    found = _JOB.search(answer)
    assert found is not None, answer[:300]
    job_id, fence = found[1].decode(), found[2]
    return request("POST", f"/jobs/{job_id}/complete", CLAW, b'{"fence":%s,"result":{"exit":0}}' % fence, **WORKER)


def keyed_submit() -> bytes:
    """Return a submit with an Idempotency-Key that was not used before."""
    return request("POST", "/jobs", HEAD, b'{"spec":%s}' % SPEC, idempotency_key=f"bench-{next(_numbers)}")


class Verbs:
    """The rounds. `say` is told how they go."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        self._rounds: dict[str, list[Round]] = {}
        self._cpu: dict[str, list[float]] = {}

    async def run(self) -> list[Part]:
        """Measure, and return the figures."""
        plan = self._plan
        ceiling = await self._ceiling()
        self._say(f"the load generator makes {ceiling:,.0f} calls a second against a server that does nothing")
        with ExitStack() as stack:
            self._server = Server(self._folder / "verbs")
            stack.callback(self._server.close)
            self._clients = await Clients.connect(self._server.port, plan.clients)
            stack.callback(self._clients.close)
            others = Others(plan, self._folder, stack)
            await others.start()
            await self._clients.drive([TAKE], 200)
            await self._round()
            self._rounds.clear()  # the first one warms up: statements, pages, code
            self._cpu.clear()
            for n in range(plan.rounds):
                await self._round()
                await others.round(SPEC)
                told = {name: f"{found[-1].rate:,.0f}" for name, found in self._rounds.items()}
                told |= {name: f"{rates[-1]:,.0f}" for name, rates in others.rates.items()}
                self._say(f"round {n + 1} of {plan.rounds}, calls a second: {told}")
        both = zip(self._rounds["claim"], self._rounds["complete"], strict=True)
        finished = [len(claim.latencies) / (claim.seconds + complete.seconds) for claim, complete in both]
        beside = others.figures(self._rates("submit"), self._rates("claim"), finished)
        return [Part("Verbs", self._text(ceiling), self._figures()), Part("Other queues", others.text(), beside)]

    async def _ceiling(self) -> float:
        """Return how many calls a second the load generator makes when the server does nothing."""
        with ExitStack() as stack:
            floor = Floor()
            stack.callback(floor.close)
            clients = await Clients.connect(floor.port, self._plan.clients)
            stack.callback(clients.close)
            return max([(await clients.drive([HEALTH] * 4 * self._plan.calls, 200)).rate for _ in range(3)])

    async def _round(self) -> None:
        count = self._plan.calls
        for name, call in BASELINES.items():
            await self._take(name, [call] * count, 200)
        await self._take("submit", [SUBMIT] * count, 201)
        claimed = await self._take("claim", [CLAIM] * count, 200)
        await self._take("complete", [complete_of(answer) for answer in claimed.bodies], 200)
        await self._take("submit with a key", [keyed_submit() for _ in range(count)], 201)
        claimed = await self._clients.drive([CLAIM] * count, 200)
        await self._clients.drive([complete_of(answer) for answer in claimed.bodies], 200)

    async def _take(self, name: str, requests: list[bytes], expect: int) -> Round:
        before = self._server.cpu()
        found = await self._clients.drive(requests, expect)
        self._cpu.setdefault(name, []).append(self._server.cpu() - before)
        self._rounds.setdefault(name, []).append(found)
        return found

    # --- the page --------------------------------------------------------------------------------------------------

    def _rates(self, name: str) -> list[float]:
        return [found.rate for found in self._rounds[name]]

    def _ratio(self, name: str, baseline: str) -> list[float]:
        return [a / b for a, b in zip(self._rates(name), self._rates(baseline), strict=True)]

    def _figures(self) -> list[Figure]:
        figures = [Figure(f"{v} : {b}", self._ratio(v, b), gate=RATIO) for b in BASELINES for v in VERBS]
        for name, found in self._rounds.items():
            figures.append(Figure(f"{name}, calls a second", [r.rate for r in found]))
            p99 = [percentile(r.latencies, 0.99) * 1e3 for r in found]
            figures.append(Figure(f"{name}, p99", p99, "ms"))
            each = [seconds / self._plan.calls * 1e6 for seconds in self._cpu[name]]
            figures.append(Figure(f"{name}, server's CPU a call", each, "µs"))
        return figures

    def _text(self, ceiling: float) -> str:
        every = [found for rounds in self._rounds.values() for found in rounds]
        seconds = sum(found.seconds for found in every)
        return TEXT.format(
            clients=self._plan.clients,
            calls=f"{self._plan.calls:,}",
            spec=SPEC.decode(),
            ceiling=f"{ceiling:,.0f}",
            own=f"{sum(found.own_cpu for found in every) / seconds:.0%}",
            server=f"{sum(sum(spent) for spent in self._cpu.values()) / seconds:.0%}",
        )
