"""What tests of the cluster begin with: a store of each kind, a backend to it, and nodes that are ended for sure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.cluster_world import NodeProcess, RedisWorld, SpineWorld, World
from tests.support.spine_process import SpineProcess

from cluster.backend import Backend

StartNode = Callable[..., NodeProcess]


@pytest.fixture(scope="session")
def cluster_spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    """A spine that the tests of the cluster share: to start one takes longer than most of them."""
    spine = SpineProcess(tmp_path_factory.mktemp("cluster-spine")).start()
    yield spine
    spine.stop()
    assert spine.faults() == []


@pytest.fixture(params=["spine", pytest.param("redis", marks=pytest.mark.docker)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A store of the cluster, without a node."""
    if request.param == "redis":
        return RedisWorld(tmp_path, request.getfixturevalue("redis_server"))
    return SpineWorld(tmp_path, request.getfixturevalue("cluster_spine"))


@pytest.fixture
def backend(world: World) -> Iterator[Backend]:
    """A backend of the test's own."""
    found = world.open()
    yield found
    found.close()


@pytest.fixture
def start_node(world: World) -> Iterator[StartNode]:
    """Start nodes by their ids; they are killed in the end."""
    made: list[NodeProcess] = []

    def start(node_id: str, **more: object) -> NodeProcess:
        made.append(NodeProcess(world, node_id, **more))  # type: ignore[arg-type]
        return made[-1].start()

    yield start
    for node in made:
        node.kill9()
