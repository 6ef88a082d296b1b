"""A store of a cluster, of either kind, and nodes of it as processes: killed, stopped, cut off, and what they print."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.spine_process import REPO, TOKENS, SpineProcess

from cluster.backend import Backend, Leader
from cluster.redis_address import read_url
from cluster.redis_backend import RedisBackend
from cluster.spine_backend import SpineBackend
from contract import wire
from contract.cluster_client import ClusterClient
from contract.errors import StaleFence

LEASE_SECONDS = 2.0
CONFIG = {
    "node": {"heartbeat_interval": 1.0, "heartbeat_ttl": 3.0, "retry_count": 2, "retry_delay": 0.1},
    "election": {"lock_ttl": LEASE_SECONDS},
}


class World(Protocol):
    """A store. `env` leads a node to it, or to a proxy before it."""

    folder: Path

    def env(self, proxy: Proxy | None = None) -> dict[str, str]:
        """Return the settings of a node."""

    def proxy(self) -> Proxy:
        """Return a proxy before the store."""

    def open(self) -> Backend:
        """Return a backend of the test's own."""

    def restart(self) -> None:
        """Kill the store and start it again, with all that it had acknowledged."""


class SpineWorld:
    """The store is a spine with an embedded store, which the session's tests share: it is emptied."""

    def __init__(self, folder: Path, spine: SpineProcess) -> None:
        self.folder, self.spine = folder, spine
        self._empty()

    def _empty(self) -> None:
        head = ClusterClient(self.spine.url, TOKENS["HEAD_TOKEN"])
        found = head.cluster()
        if found.leader is not None:
            with contextlib.suppress(StaleFence):  # of a node that was killed: it may have run out since the look
                head.release_lease(wire.CLUSTER_LEASE, found.leader.token)
        for node in found.nodes:
            head.join_cluster(node.node_id, {"instance": "test"})
            head.leave_cluster(node.node_id, "test")
        fence = head.take_lease(wire.CLUSTER_LEASE, "nobody:test", 10).fence
        head.forget_cluster_history(fence, 0)
        head.release_lease(wire.CLUSTER_LEASE, fence)

    def env(self, proxy: Proxy | None = None) -> dict[str, str]:
        return {"SPINE_BASE_URL": proxy.url if proxy else self.spine.url, "SPINE_TOKEN": TOKENS["HEAD_TOKEN"]}

    def proxy(self) -> Proxy:
        return Proxy(self.spine.port)

    def open(self) -> Backend:
        return SpineBackend(self.spine.url, TOKENS["HEAD_TOKEN"])

    def restart(self) -> None:
        self.spine.kill9()
        self.spine.start()


class RedisWorld:
    """The store is a Redis, which the session's tests share: it is emptied."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder, self._server = folder, server
        server.empty()

    def env(self, proxy: Proxy | None = None) -> dict[str, str]:
        return {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0" if proxy else self._server.url}

    def proxy(self) -> Proxy:
        return Proxy(6379, self._server.address)

    def open(self) -> Backend:
        return RedisBackend(read_url(self._server.url))

    def restart(self) -> None:
        self._server.restart()


class NodeProcess:
    """One `spine-cluster start`."""

    def __init__(self, world: World, node_id: str, proxy: Proxy | None = None, messages: bool = False) -> None:
        self.node_id, self._world, self._proxy, self._messages = node_id, world, proxy, messages
        self.folder = world.folder / node_id
        (self.folder / "config").mkdir(parents=True, exist_ok=True)
        (self.folder / "config" / "config.json").write_text(json.dumps(CONFIG))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "NodeProcess":
        """Start, and wait until it has joined."""
        joined = self.log().count("member.joined")
        words = [sys.executable, "-m", "cluster.cli", "start", self.node_id, *["--messages"][: self._messages]]
        with (self.folder / "log").open("ab") as log, (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                words,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services"), **self._world.env(self._proxy)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        process = self.process
        try:
            eventually(lambda: self.log().count("member.joined") > joined or process.poll() is not None, 60)
            assert process.poll() is None, f"it ended with {process.returncode}"
        except AssertionError as e:
            raise AssertionError(f"{self.node_id} has not joined: {e}; it says:\n{self.log()}") from e
        return self

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill9(self) -> None:
        """Kill it, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(10)

    def wait(self, seconds: float = 20) -> int:
        """Wait for its end; return the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def log(self) -> str:
        """All that it has logged."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def messages(self) -> list[dict[str, Any]]:
        """The messages that it has printed so far, whole lines alone."""
        text = (self.folder / "out").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def await_leader(backend: Backend, fits: Callable[[Leader], bool] = lambda found: True, seconds: float = 20) -> Leader:
    """Wait until somebody leads, of whom a test says that it fits."""

    def look() -> Leader | None:
        found = backend.leader()
        return found if found is not None and fits(found) else None

    return eventually(look, seconds, what="a leader")
