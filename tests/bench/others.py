"""The other queues, beside the verbs in every round: beanstalkd and Huey, as many producers and consumers."""

import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import beanstalk, huey_side
from tests.bench.beanstalk import Beanstalk
from tests.bench.figures import Figure, Gate
from tests.bench.load import Clients
from tests.bench.plan import Plan

AHEAD = Gate("at least", 1.0)
TEXT = """Beside them, in the same rounds, with {clients} producers and consumers: beanstalkd with an fsync at every
write (`-b DIR -f 0`), Huey on SQLite with `synchronous=FULL`. Neither speaks HTTP or asks for a token, and both are
given the bytes of the spec alone.

A *dequeue* is one job handed out: a claim here, which is on disk; `reserve` and `delete` at beanstalkd, of which the
second is; at Huey one write, after which it has forgotten the task. To *take and finish* is a claim and a complete
here, two writes to the disk, beside the same of the others. An fsync on this disk takes {fsync:.2f} ms (median): group
commit pays the more, the longer it takes."""


class Others:
    """Both, for as long as the rounds go on; `close` by the stack that is given."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self._plan, self._folder = plan, folder
        self.rates: dict[str, list[float]] = {}
        self._missing: dict[str, str] = {}
        self._beanstalk: tuple[Beanstalk, Clients] | None = None
        self._stack = stack

    async def start(self) -> None:
        """Start what is installed."""
        if beanstalk.is_installed():
            server = Beanstalk(self._folder / "beanstalkd")
            self._stack.callback(server.close)
            clients = await server.connect(self._plan.clients)
            self._stack.callback(clients.close)
            self._beanstalk = server, clients
        else:
            self._missing["beanstalkd"] = beanstalk.MISSING
        if not huey_side.is_installed():
            self._missing["Huey"] = huey_side.MISSING

    async def round(self, spec: bytes) -> None:
        """Enqueue and dequeue with each of them."""
        plan = self._plan
        if self._beanstalk is not None:
            server, clients = self._beanstalk
            self._note("beanstalkd enqueue", (await server.enqueue(clients, spec, plan.calls)).rate)
            self._note("beanstalkd dequeue", (await server.dequeue(clients, plan.calls)).rate)
        if "Huey" not in self._missing:
            count = max(1, plan.calls // 2 // plan.clients) * plan.clients
            put, got = huey_side.measure(self._folder / "huey", plan.clients, count)
            self._note("Huey enqueue", count / put)
            self._note("Huey dequeue", count / got)

    def _note(self, name: str, rate: float) -> None:
        self.rates.setdefault(name, []).append(rate)

    def text(self) -> str:
        """Return what the page says of them."""
        return TEXT.format(clients=self._plan.clients, fsync=_fsync_seconds(self._folder) * 1e3)

    def figures(self, submits: list[float], claims: list[float], finished: list[float]) -> list[Figure]:
        """Hold our rates against theirs."""
        ours = (
            ("enqueue", "enqueue", submits, AHEAD),
            ("dequeue", "dequeue", claims, AHEAD),
            ("take and finish", "dequeue", finished, None),
        )
        figures = []
        for other in ("beanstalkd", "Huey"):
            for name, theirs_name, mine, gate in ours:
                theirs = self.rates.get(f"{other} {theirs_name}", [])
                ratio = [a / b for a, b in zip(mine, theirs, strict=False)]
                figures.append(Figure(f"{name} : {other}", ratio, gate=gate, missing=self._missing.get(other, "")))
        figures.append(Figure("take and finish, jobs a second", finished))
        return figures + [Figure(f"{name}, jobs a second", rates) for name, rates in self.rates.items()]


def _fsync_seconds(folder: Path) -> float:
    """Return how long it takes to append a page to a file and have it on disk (median)."""
    taken = []
    with (folder / "fsync").open("wb", buffering=0) as out:
        for _ in range(200):
            out.write(b"x" * 4096)
            begun = time.perf_counter()
            os.fdatasync(out.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
