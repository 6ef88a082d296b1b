"""How a node ends where the store is away, and how one goes on with another address of the same store."""

import signal
import time

import pytest
from tests.integration.cluster.conftest import StartNode
from tests.support.cluster_world import World, await_leader
from tests.support.eventually import eventually
from tests.support.spine_process import TOKENS, SpineProcess, free_port

from cluster.backend import Away, Backend, Refused
from cluster.spine_backend import SpineBackend


def test_a_node_ends_soon_also_where_the_store_does_not_answer(
    world: World, backend: Backend, start_node: StartNode
) -> None:
    with world.proxy() as proxy:
        node = start_node("n1", proxy=proxy)
        await_leader(backend)
        proxy.stall()
        node.signal(signal.SIGTERM)
        begun = time.monotonic()
        assert node.wait() == 0
        assert time.monotonic() - begun < 10
    assert "Traceback" not in node.log()


def test_another_address_of_the_spine_is_asked_where_one_does_not_answer(cluster_spine: SpineProcess) -> None:
    backend = SpineBackend([f"http://127.0.0.1:{free_port()}", cluster_spine.url], TOKENS["HEAD_TOKEN"])

    def looked() -> bool:
        try:
            backend.nodes()
        except Away:
            return False
        return True

    eventually(looked)
    backend.close()
    with pytest.raises(Away):
        backend.nodes()


def test_a_token_that_the_spine_does_not_know_is_refused(cluster_spine: SpineProcess) -> None:
    with pytest.raises(Refused, match="not known"):
        SpineBackend(cluster_spine.url, "wrong-token-0001").nodes()
