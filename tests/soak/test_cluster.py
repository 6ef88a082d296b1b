"""The leader of a cluster is killed again and again; how long nobody led is written to docs/reference/soak.md."""

import statistics
import time

import pytest
from tests.integration.cluster.conftest import StartNode, backend, cluster_spine, start_node, world  # noqa: F401 - fixtures
from tests.integration.cluster.test_leading import killed_leader_is_followed
from tests.support import soak
from tests.support.cluster_world import LEASE_SECONDS

from cluster.backend import Backend

pytestmark = pytest.mark.soak

ROUNDS = 20
TEXT = """Three nodes with a lease of {lease:g} s. In each of {rounds} rounds the leader is killed with `kill -9`, and
started again when another one leads. From the kill until the store named another leader, with a greater token:

| | s |
|---|--:|
| shortest | {least:.2f} |
| median | {median:.2f} |
| longest | {most:.2f} |
| promised | {bound:.2f} |
"""


def test_twenty_leaders_are_killed(
    request: pytest.FixtureRequest,
    backend: Backend,  # noqa: F811
    start_node: StartNode,  # noqa: F811
) -> None:
    nodes = {name: start_node(name) for name in ("n1", "n2", "n3")}
    gaps: list[float] = []
    for _ in range(ROUNDS):
        if soak.seconds_left() < 30:
            break
        gaps.append(killed_leader_is_followed(backend, nodes))
        print(f"{len(gaps):3}/{ROUNDS} {time.strftime('%X')} {gaps[-1]:.2f} s", flush=True)
    bound = LEASE_SECONDS + 2
    found = {"least": min(gaps), "median": statistics.median(gaps), "most": max(gaps)}
    text = TEXT.format(lease=LEASE_SECONDS, rounds=len(gaps), bound=bound, **found)
    kind = request.node.callspec.params["world"]
    soak.record(f"A cluster whose leader is killed, on {'a spine' if kind == 'spine' else 'Redis'}", text)
    assert max(gaps) <= bound
    assert len(gaps) == ROUNDS
