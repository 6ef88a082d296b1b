"""What a killed session leaves on the engine is removed by the next one, and a session that runs keeps its own."""

import subprocess
import uuid

import docker
import pytest
from docker.models.containers import Container
from tests.support.engine import LABEL, OWNER, START, labels, sweep

pytestmark = pytest.mark.docker


def test_only_what_the_dead_have_left_is_swept(engine: docker.DockerClient, image_tag: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait(10)
    name = f"spine-test-{uuid.uuid4().hex[:8]}"
    found = {}
    # Sessions beside this one sweep too, at any moment, what has the label of all.
    label = f"{LABEL}.{name}"
    mine = {label if mark == LABEL else mark: value for mark, value in labels().items()}
    owners = {
        "dead": mine | {OWNER: str(ended.pid)},
        "earlier": mine | {START: "an earlier process of this number"},
        "nobody": {label: "1"},
        "living": mine,
        "other": {},
    }
    try:
        for owner, marks in owners.items():
            engine.volumes.create(f"{name}-{owner}", labels=marks)
            engine.networks.create(f"{name}-{owner}", labels=marks, internal=True)
            found[owner] = engine.containers.create(
                f"spinal-cord/head:{image_tag}", name=f"{name}-{owner}", labels=marks, network=f"{name}-{owner}"
            )
        found["dead"].start()
        sweep(engine, label)
        assert left(engine, name) == {f"{name}-{owner}" for owner in ("living", "other")}
    finally:
        for container in engine.containers.list(all=True, filters={"name": name}):
            container.remove(force=True)
        for network in engine.networks.list(names=[name]):
            network.remove()
        for volume in engine.volumes.list(filters={"name": name}):
            volume.remove()
    assert left(engine, name) == set()


def left(engine: docker.DockerClient, name: str) -> set[str | None]:
    """Return the names under which a container, a network and a volume are there; all three or none is expected."""
    containers: list[Container] = engine.containers.list(all=True, filters={"name": name})
    kinds = [
        {container.name for container in containers},
        {network.name for network in engine.networks.list(names=[name])},
        {volume.name for volume in engine.volumes.list(filters={"name": name})},
    ]
    assert kinds[0] == kinds[1] == kinds[2]
    return kinds[0]
