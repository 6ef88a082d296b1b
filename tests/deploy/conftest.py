"""Containers for the deployment tests: labelled, swept once their session is gone, fed from a wheelhouse."""

import fcntl
import hashlib
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from tests.support.engine import labels, opened
from tests.support.systemd_host import Host, Hosts

ROOT = Path(__file__).resolve().parents[2]

Start = Callable[..., Container]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count a test's time without that of its fixtures, which fetch and build, and have bounds of their own."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300, func_only=True))


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

    Kept beside the environment under the digest of the locks, since it is the same until one changes.
    """
    lock, *roles = (ROOT / "requirements" / f"{name}.txt" for name in ("dev", "spine", "claw", "head", "chat"))
    made_of = b"".join(path.read_bytes() for path in (lock, *roles))
    house = ROOT / ".venv" / "wheelhouse" / hashlib.sha256(made_of).hexdigest()[:16]
    stamp = house / ".complete"
    house.mkdir(parents=True, exist_ok=True)
    with (house / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # tests of several processes may want it at once
        if not stamp.exists():
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "download"]
            pip += ["--require-hashes", "--dest", str(house)]
            subprocess.run([*pip, "-r", str(lock)], check=True, timeout=600)
            # A release is made for older systems too; of a package there may be another file for those.
            older = ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
            older += ["--platform=manylinux_2_28_x86_64", "--platform=manylinux_2_17_x86_64"]
            for_python = runpy.run_path(str(ROOT / "ansible" / "controller.py"))["for_python"]
            for role in roles:
                copy = house / role.name
                copy.write_text(for_python(role.read_text(encoding="utf-8"), "3.11"))
                subprocess.run([*pip, *older, "-r", str(copy)], check=True, timeout=600)
                copy.unlink()
            stamp.touch()
    return house


@pytest.fixture(scope="session")
def hosts(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A network for machines with systemd, each started when a test asks for it; all are removed at the end."""
    made = Hosts(engine, tmp_path_factory.mktemp("hosts"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def project_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this project as a wheel, built from a copy: setuptools leaves things behind where it builds."""
    folder = tmp_path_factory.mktemp("dist")
    copy = folder / "source"
    shutil.copytree(ROOT / "services", copy / "services", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "wheel"]
    build = [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(build, check=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def machine(hosts: Hosts, wheelhouse: Path, project_wheel: Path) -> Host:
    """One machine with systemd for the whole session; what a test leaves there, the next one finds.

    It has no way to a registry: packages are in /wheels, this project in /dist, the checkout in /checkout.
    """
    return hosts.start("machine", read_only={"/wheels": wheelhouse, "/dist": project_wheel, "/checkout": ROOT})
