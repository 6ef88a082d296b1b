"""A Redis server in a container, on a network of its own; what it took is there again after a restart."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker
import redis
from docker.models.containers import Container
from tests.support.engine import image, labels, made_net
from tests.support.eventually import eventually

from cluster.redis_backend import RedisBackend

Connect = Callable[..., RedisBackend]
"""What the fixture `connect` gives."""
CONTEXT = Path(__file__).parent / "redis"
SERVE = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
LASTING = ["--appendonly", "yes", "--appendfsync", "always"]


class RedisNet:
    """A network for Redis servers, with names of its own; `stop` removes all that was started on it."""

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        self._client, self._name = client, f"spine-test-{name}-{os.getpid()}"
        self._network, self.net = made_net(client, self._name)
        self._image = image(client, CONTEXT)
        self.containers: list[Container] = []

    def start(self, command: list[str], files: Mapping[str, bytes] | None = None) -> tuple[Container, str]:
        """Run a command in a container of its own, with files in /data; return it with its address, which it keeps."""
        address = f"{self.net}.{len(self.containers) + 2}"
        container: Container = self._client.containers.create(
            self._image, command, name=f"{self._name}-{len(self.containers)}", labels=labels(),
            network=self._name,
            networking_config={self._name: self._client.api.create_endpoint_config(ipv4_address=address)},
        )  # fmt: skip
        self.containers.append(container)
        if files:
            container.put_archive("/data", _archive(files))
        container.start()
        return container, address

    def stop(self) -> None:
        """Remove the servers and the network."""
        for container in self.containers:
            container.remove(force=True, v=True)
        self._network.remove()


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class RedisServer:
    """One server, started at once."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._net = RedisNet(client, "redis")
        self.container, self.address = self._net.start([*SERVE, *LASTING])
        self.url = f"redis://{self.address}:6379/0"
        self.client = redis.Redis(host=self.address, decode_responses=True, socket_timeout=10, socket_connect_timeout=2)
        self._await()

    def _await(self) -> None:
        eventually(self.answers, 30, every=0.05, what="the Redis server")

    def answers(self) -> bool:
        """Return whether it serves."""
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def empty(self) -> None:
        """Take away all keys and all scripts."""
        self.client.flushall()
        self.client.script_flush()

    @contextmanager
    def password(self, word: str) -> Iterator[None]:
        """Ask newcomers for a password, a while."""
        self.client.config_set("requirepass", word)
        try:
            yield
        finally:
            self.client.config_set("requirepass", "")

    def drop_connections(self) -> int:
        """Hang up on everybody but this test's own client; return on how many."""
        return int(self.client.client_kill_filter(_type="normal", skipme=True))

    def restart(self) -> None:
        """Kill it and start it again, with all that it had written."""
        self.container.kill()
        self.container.start()
        self._await()

    def stop(self) -> None:
        """Remove the server."""
        self.client.close()
        self._net.stop()
