"""What tests build and leave on a Docker Engine: all labelled with their session, and swept once it is gone."""

import contextlib
import fcntl
import hashlib
import ipaddress
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from claw.process.identity import start_mark

LABEL = "spine.test"
OWNER = "spine.test.pid"
ONE_STREAM = "exec 2>&1\n"
"""Before a shell's script: of two streams the engine may hand on first what was printed last."""
# A pid is soon given to another process.
START = "spine.test.start"
_FREEZE_TRIES = _NET_TRIES = 5
# Reserved for tests of networks, so that no real one is hidden.
NETS = [f"198.18.{n}" for n in range(1, 255)]


def labels() -> dict[str, str]:
    """Return the labels of whatever this session makes."""
    return {LABEL: "1", OWNER: str(os.getpid()), START: start_mark(os.getpid()) or ""}


@contextmanager
def opened() -> Iterator[docker.DockerClient]:
    """Give a client of the engine, after a sweep."""
    client = docker.from_env(timeout=120)
    try:
        sweep(client)
        yield client
    finally:
        client.close()


def sweep(client: docker.DockerClient, label: str = LABEL) -> None:
    """Remove what killed sessions have left; a session that still runs keeps its own."""
    marked = {"label": f"{label}=1"}
    for container in client.containers.list(all=True, filters=marked, ignore_removed=True):
        if _abandoned(container.labels):
            with contextlib.suppress(APIError):  # another session may be sweeping too
                container.remove(force=True, v=True)
    for network in client.networks.list(filters=marked):
        if _abandoned(network.attrs["Labels"]):
            with contextlib.suppress(APIError):
                network.remove()
    for volume in client.volumes.list(filters=marked):
        if _abandoned(volume.attrs["Labels"]):
            with contextlib.suppress(APIError):
                volume.remove(force=True)


def run_in(container: Container, words: list[str], **how: Any) -> tuple[int, bytes]:
    """Run a command in a container; return its exit code and all that it printed. `how` is as `exec_create` has it.

    In the place of `exec_run`, which reads from the socket itself: what the engine sent together with the head of its
    answer is in a buffer by then, and lost. On a busy machine that is now and then all that a command printed.
    """
    api = container.client.api
    made = api.exec_create(container.id, words, **how)["Id"]
    url = f"{api.base_url}/v{api.api_version}/exec/{made}/start"
    with api.post(url, json={"Detach": False, "Tty": False}, stream=True, timeout=(60, None)) as answer:
        answer.raise_for_status()
        framed = answer.raw.read()
    output, at = bytearray(), 0
    while at < len(framed):  # one byte that says which stream, three of nothing, four that say how much
        start = at + 8
        at = start + int.from_bytes(framed[at + 4 : start], "big")
        output += framed[start:at]
    return api.exec_inspect(made)["ExitCode"], bytes(output)


def free_net(client: docker.DockerClient) -> str:
    """Return the first three numbers of a /24 that no network of this engine uses, another one for each process."""
    taken = []
    for network in client.networks.list():
        for config in (network.attrs["IPAM"] or {}).get("Config") or []:
            taken.append(ipaddress.ip_network(config["Subnet"]))
    start = os.getpid() * 61 % len(NETS)  # far from those of processes that were started together with this one
    for net in NETS[start:] + NETS[:start]:
        if not any(ipaddress.ip_network(f"{net}.0/24").overlaps(other) for other in taken):
            return net
    raise AssertionError("no free network is left")


def made_net(client: docker.DockerClient, name: str) -> tuple[Network, str]:
    """Make a network; return it and the first three numbers of its addresses.

    Raises:
        APIError
    """
    for left in reversed(range(_NET_TRIES)):
        net = free_net(client)
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=f"{net}.0/24")])
        try:
            return client.networks.create(name, driver="bridge", ipam=pool, labels=labels()), net
        except APIError as e:
            if "overlaps" not in str(e) or not left:  # another process may have taken it meanwhile
                raise
    raise AssertionError("unreachable")


def image(client: docker.DockerClient, context: Path) -> str:
    """Return the name of a folder's image, built when it is not there; it is named by what it is made of."""
    digest = hashlib.sha256()
    for path in sorted(context.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    name = f"spinal-cord/{context.name}:{digest.hexdigest()[:12]}"
    # One process builds, the others wait for it: a file of the machine's, since they share its engine.
    with (Path(tempfile.gettempdir()) / f"spine-test-{name.rpartition(':')[2]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            # The command line, because its output is what a person wants to read when a build fails.
            subprocess.run(["docker", "build", "--quiet", "--tag", name, str(context)], check=True, timeout=600)
    return name


def freeze(container: Container) -> None:
    """Pause a container; the engine gives up where one forks faster than it is frozen, and is asked again.

    Raises:
        APIError
    """
    for left in reversed(range(_FREEZE_TRIES)):
        try:
            container.pause()
            return
        except APIError as e:
            if "unable to freeze" not in str(e) or not left:
                raise


def _abandoned(found: Mapping[str, str]) -> bool:
    owner = found.get(OWNER, "")
    return not owner.isdecimal() or start_mark(int(owner)) != found.get(START)
