"""Claims of a store with few jobs against those of stores with a million: claimable, not for this claw, or parked."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, Gate, Part, percentile
from tests.bench.load import Clients, request
from tests.bench.plan import Plan
from tests.bench.servers import HEAD, Server
from tests.bench.stores import filled
from tests.bench.verbs import CLAIM, SPEC

CLIENTS = 4
P99 = Gate("at most", 2.0)
LIST_MOST = 1000
TEXT = """Four stores, each with a server of its own; {clients} claws that claim one job after another, {claims} claims
a round on each store in turn. Every store holds {few} jobs that these claws can take. In three of them stand {many}
more, and older ones: just as claimable, or with a capability in `requires` that these claws lack, or with one
`concurrencyKey` whose only slot is taken. Jobs that were claimed are made up for between the rounds."""


async def depth(plan: Plan, folder: Path, say: Callable[[str], None]) -> Part:
    """Measure, and return the figures."""
    stores: dict[str, tuple[int, int, str, str | None]] = {
        "few": (plan.few, 0, "[]", None),
        "many claimable": (plan.few, plan.many, "[]", None),
        "many with unmatched `requires`": (plan.few, plan.many, '["gpu"]', None),
        "many behind one full key": (plan.few, plan.many, "[]", "full"),
    }
    refill = request("POST", "/jobs", HEAD, b"[" + b",".join([b'{"spec":%s}' % SPEC] * plan.depth_claims) + b"]")
    assert plan.depth_claims <= min(plan.few, LIST_MOST)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
    with ExitStack() as stack:
        clients = {}
        for n, (name, (few, many, requires, key)) in enumerate(stores.items()):
            say(f"filling a store: {few + many:,} jobs, {name}")
            store = filled(folder / f"fill-{n}.db", few, many, requires, key)
            server = Server(folder / f"depth-{n}", store)
            stack.callback(server.close)
            clients[name] = await Clients.connect(server.port, CLIENTS)
            stack.callback(clients[name].close)
        for n in range(plan.depth_rounds + 1):
            for name, those in clients.items():
                found = await those.drive([CLAIM] * plan.depth_claims, 200)
                await those.drive([refill], 201)
                if n:  # the first round warms up
                    taken[name].append((percentile(found.latencies, 0.5), percentile(found.latencies, 0.99)))
            if n:
                told = {name: f"{found[-1][0] * 1e3:.2f}/{found[-1][1] * 1e3:.2f}" for name, found in taken.items()}
                say(f"round {n} of {plan.depth_rounds}, claim p50/p99 in ms: {told}")
    words = {"few": f"{plan.few:,}", "many": f"{plan.many:,}"}
    figures = []
    for name in list(stores)[1:]:
        ratios = [much[1] / few[1] for much, few in zip(taken[name], taken["few"], strict=True)]
        figures.append(Figure(f"claim p99, {_said(name, words)} : {words['few']}", ratios, gate=P99))
    for name, pairs in taken.items():
        figures.append(Figure(f"claim p50, {_said(name, words)}", [p50 * 1e3 for p50, _ in pairs], "ms"))
        figures.append(Figure(f"claim p99, {_said(name, words)}", [p99 * 1e3 for _, p99 in pairs], "ms"))
    return Part("Depth", TEXT.format(clients=CLIENTS, claims=plan.depth_claims, **words), figures)


def _said(name: str, words: dict[str, str]) -> str:
    first, _, rest = name.partition(" ")
    return f"{words[first]} {rest}".strip()
