"""What tests of the cluster begin with: a store of each kind, a backend to it, and nodes that are ended for sure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.cluster_world import NodeProcess, RedisWorld, SpineWorld, World

from cluster.backend import Backend

StartNode = Callable[..., NodeProcess]


@pytest.fixture(params=["spine", pytest.param("redis", marks=pytest.mark.docker)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A store of the cluster, without a node."""
    redis = request.param == "redis"
    found = RedisWorld(tmp_path, request.getfixturevalue("redis_server")) if redis else SpineWorld(tmp_path)
    yield found
    found.close()


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
