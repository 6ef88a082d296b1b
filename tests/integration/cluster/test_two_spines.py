"""A cluster on two spines that share a database: either of them may be killed, and what one is told the other knows."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cluster_world import NodeProcess, await_leader
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.spine_process import TOKENS, SpineProcess

from cluster.backend import Backend, Node
from cluster.spine_backend import SpineBackend

pytestmark = pytest.mark.docker


class TwoSpinesWorld:
    """The store is a database that two spines serve; nodes know both."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.spines = [SpineProcess(folder / name, {"SPINE_DATABASE_URL": url}).start() for name in ("a", "b")]

    def env(self, proxy: Proxy | None = None) -> dict[str, str]:
        return {"SPINE_BASE_URL": ",".join(spine.url for spine in self.spines), "SPINE_TOKEN": TOKENS["HEAD_TOKEN"]}

    def open(self, first: int) -> Backend:
        return SpineBackend(self.spines[first].url, TOKENS["HEAD_TOKEN"])


@pytest.fixture
def spines(postgres: PostgresServer, tmp_path: Path) -> Iterator[TwoSpinesWorld]:
    database = postgres.create()
    world = TwoSpinesWorld(tmp_path, postgres.url(database))
    yield world
    for spine in world.spines:
        spine.kill9()
    postgres.drop(database)


def test_nodes_go_on_when_one_of_two_spines_is_killed(spines: TwoSpinesWorld) -> None:
    nodes = [NodeProcess(spines, name) for name in ("n1", "n2")]  # type: ignore[arg-type]
    try:
        for node in nodes:
            node.start()
        at_a, at_b = spines.open(0), spines.open(1)
        before = await_leader(at_a)
        assert await_leader(at_b).token == before.token

        at_a.join(Node("reader", "test"), 60)
        sending = threading.Timer(0.5, lambda: at_a.send("reader", ["hello"]))
        sending.start()
        begun = time.monotonic()
        assert [message.body for message in at_b.receive("reader", 10, 20).messages] == ["hello"]
        assert time.monotonic() - begun < 10
        sending.join()

        spines.spines[0].kill9()
        after = await_leader(at_b)
        assert after.token >= before.token
        cursor = at_b.events(None, 1, 0).cursor
        eventually(lambda: [n.state for n in at_b.nodes() if n.node_id != "reader"] == ["online", "online"])
        nodes[1].kill9()
        eventually(lambda: "n2" in [event.payload["node_id"] for event in at_b.events(cursor, 100, 0).events])
        assert await_leader(at_b).node_id == "n1"
    finally:
        for node in nodes:
            node.kill9()
