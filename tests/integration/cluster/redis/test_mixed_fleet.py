"""Nodes of clawster and of ours at one Redis, as during a migration: one leader at any time, whoever dies."""

import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.cluster_world import NodeProcess, RedisWorld, await_leader
from tests.support.eventually import eventually
from tests.support.old_clawster import OldNode, Reign
from tests.support.redis_server import Connect, RedisServer

from cluster.backend import Backend, Grant, Holder
from contract.clock import since_boot

pytestmark = pytest.mark.docker

LEASE = 2.0


class OurNode:
    """Takes the lease and renews it three times in its length, until it is killed: then it does nothing any more."""

    def __init__(self, backend: Backend, node_id: str) -> None:
        self.node_id = node_id
        self._backend = backend
        self._reigns: list[Reign] = []
        self._killed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        held: Grant | None = None
        while not self._killed.is_set():
            before = held
            held = self._backend.renew(held) if held else self._backend.take(Holder(self.node_id, "1"), LEASE)
            if held:
                # Whatever becomes of the node: so long it may believe.
                begin = self._reigns.pop().begin if before else since_boot()
                self._reigns.append(Reign(self.node_id, begin, held.started + LEASE))
            self._killed.wait(LEASE / 3 if held else 0.05)

    def led(self) -> bool:
        """Whether it has learned by now that it leads."""
        return bool(self._reigns)

    def kill(self) -> list[Reign]:
        """End it; return when it may have believed that it leads."""
        self._killed.set()
        self._thread.join(10)
        return self._reigns


def test_old_and_new_nodes_have_one_leader_at_any_time(server: RedisServer, connect: Connect) -> None:
    looking = connect()

    def leader_is(node: OldNode | OurNode) -> bool:
        found = looking.leader()
        ours = isinstance(node, OurNode)
        # The store knows before the node does: one that is killed in between would have no reign.
        return found is not None and found.node_id == node.node_id and bool(found.token) == ours and node.led()

    nodes: list[OldNode | OurNode] = []
    reigns: list[Reign] = []
    try:
        nodes.append(OldNode(server.address, "old-1", int(LEASE)))
        eventually(lambda: leader_is(nodes[0]), 30)
        for candidate in (
            lambda: OurNode(connect(), "our-1"),
            lambda: OldNode(server.address, "old-2", int(LEASE)),
        ):
            nodes.append(candidate())
            # The one that leads goes on as long as it lives.
            begin = since_boot()
            eventually(lambda begin=begin: since_boot() > begin + 1.25 * LEASE)
            assert leader_is(nodes[0])
            reigns += nodes.pop(0).kill()
            eventually(lambda: leader_is(nodes[0]), 30, what="the next leader")
    finally:
        for node in nodes:
            reigns += node.kill()
    reigns.sort(key=lambda reign: reign.begin)
    # On a busy machine one may lose the lease and take it again.
    assert list(dict.fromkeys(reign.who for reign in reigns)) == ["old-1", "our-1", "old-2"]
    assert [(a, b) for a, b in pairwise(reigns) if b.begin < a.end] == []


def test_real_nodes_take_over_from_an_old_one_and_give_way_to_one(server: RedisServer, tmp_path: Path) -> None:
    world = RedisWorld(tmp_path, server)
    backend = world.open()
    old = OldNode(server.address, "old-1", int(LEASE))
    ours = NodeProcess(world, "our-1")
    try:
        await_leader(backend, lambda leader: leader.node_id == "old-1")
        ours.start()
        old.kill()
        killed = since_boot()
        assert await_leader(backend, lambda leader: leader.node_id == "our-1").token > 0
        assert since_boot() - killed < LEASE + 2
        old = OldNode(server.address, "old-2", int(LEASE))
        ours.signal(signal.SIGTERM)
        await_leader(backend, lambda leader: leader.node_id == "old-2", 2)
        assert ours.wait() == 0
    finally:
        old.kill()
        ours.kill9()
        backend.close()
