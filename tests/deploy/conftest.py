"""Containers for the deployment tests: labelled, swept once their session is gone, fed from a wheelhouse."""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from tests.support.engine import labels, opened

ROOT = Path(__file__).resolve().parents[2]

Start = Callable[..., Container]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, after removing what killed sessions have left."""
    with opened() as client:
        yield client


@pytest.fixture(scope="session")
def start_container(engine: docker.DockerClient) -> Iterator[Start]:
    """Start a container that idles; every one is removed by its id at the end."""
    started: list[Container] = []

    def start(image: str, **options: Any) -> Container:
        container = engine.containers.run(
            image, ["sleep", "infinity"], detach=True, init=True, labels=labels(), **options
        )
        started.append(container)
        return container

    yield start
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """The locked packages as files, so that a container without network or certificates can install them.

    Kept beside the environment under the digest of the lock, since it is the same until the lock changes.
    """
    lock = ROOT / "requirements" / "dev.txt"
    house = ROOT / ".venv" / "wheelhouse" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    stamp = house / ".complete"
    house.mkdir(parents=True, exist_ok=True)
    with (house / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # tests of several processes may want it at once
        if not stamp.exists():
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "download"]
            subprocess.run([*pip, "--require-hashes", "-r", str(lock), "--dest", str(house)], check=True, timeout=600)
            stamp.touch()
    return house
