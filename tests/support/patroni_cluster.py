"""Three PostgreSQL members under Patroni, with an etcd that says who leads: nobody promotes by hand.

The leader may be killed, frozen or cut off the network; Patroni promotes the synchronous standby when the leader's
lock has lapsed, and makes the old leader a standby when it is there again.
"""

import contextlib
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from tests.support.engine import freeze, image, labels, made_net
from tests.support.eventually import eventually
from tests.support.failover import CUT_OFF, FROZEN, KILLED, Load, Striking
from tests.support.postgres_pair import DATABASE, Node

CONTEXT = Path(__file__).parent / "patroni"
MEMBERS = 3
TTL_SECONDS = 20
"""As in patroni/patroni.yml: how long a leader that says nothing more is believed."""
# The lock lapses, the race for it, the promotion; on a machine with other work.
PROMOTED_SECONDS = 3 * TTL_SECONDS
# A start with what the log holds, pg_rewind, and the standby caught up.
WHOLE_SECONDS = 120.0
_FOLLOWS = {"running", "streaming"}


class PatroniCluster:
    """Started at once, and whole when it is made; `stop` removes it."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client, self._name = client, f"spine-test-patroni-{os.getpid()}"
        self._network, net = made_net(client, self._name)
        self._image = image(client, CONTEXT)
        self._containers: list[Container] = []
        self.members: dict[str, Node] = {}
        try:
            etcd = f"{net}.2"
            here = f"http://{etcd}:2379"
            listens = ["--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", here]
            self._run("etcd", etcd, ["etcd", "--data-dir", "/data/etcd", *listens], {})
            for number in range(MEMBERS):
                name, address = f"member-{number}", f"{net}.{number + 3}"
                env = {"PATRONI_NAME": name, "PATRONI_ETCD3_HOSTS": f"{etcd}:2379"}
                self.members[name] = Node(address, self._run(name, address, ["/start-patroni"], env))
            self.await_whole()
            self.leader().run(f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.stop()
            raise

    def _run(self, name: str, address: str, command: list[str], env: dict[str, str]) -> Container:
        container: Container = self._client.containers.create(
            self._image,
            command,
            name=f"{self._name}-{name}",
            labels=labels(),
            environment=env,
            init=True,
            network=self._name,
            networking_config={self._name: self._client.api.create_endpoint_config(ipv4_address=address)},
        )
        self._containers.append(container)
        container.start()
        return container

    def url(self) -> str:
        """Return the database's address with all hosts."""
        places = ",".join(f"{node.address}:5432" for node in self.members.values())
        return f"postgresql://postgres@{places}/{DATABASE}?target_session_attrs=read-write"

    def view(self) -> list[dict[str, Any]]:
        """Return the members as the first one that answers has them from etcd: `name`, `role`, `state`, `timeline`."""
        for node in self.members.values():
            try:
                with urllib.request.urlopen(f"http://{node.address}:8008/cluster", timeout=2) as answer:
                    found: list[dict[str, Any]] = json.load(answer)["members"]
            except OSError:  # it was struck, or has not begun
                continue
            if any(member["role"] == "leader" for member in found):
                return found
        return []

    def leader(self) -> Node:
        """Return who holds the lock of the leader.

        Raises:
            AssertionError: nobody does
        """
        names = [member["name"] for member in self.view() if member["role"] == "leader"]
        assert len(names) == 1, f"the leaders are {names}"
        return self.members[names[0]]

    def await_whole(self) -> None:
        """Wait until all follow one leader on its timeline, and a commit there waits for a synchronous standby."""
        eventually(self._whole, WHOLE_SECONDS, every=0.2, what="a leader, a synchronous standby and another one")

    def _whole(self) -> bool:
        found = self.view()
        roles = sorted(member["role"] for member in found)
        assert roles == ["leader", "replica", "sync_standby"], found
        assert all(member["state"] in _FOLLOWS for member in found), found
        assert len({member.get("timeline") for member in found}) == 1, found
        streams = self.leader().run("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
        assert sorted(streams) == [("async",), ("sync",)], streams
        return True

    def await_other(self, old: Node) -> Node:
        """Wait until Patroni has given the lock to another member, and that one takes writes; return it."""

        def other() -> Node | None:
            node = self.leader()
            return node if node is not old and node.run("SELECT pg_is_in_recovery()") == [(False,)] else None

        return eventually(other, PROMOTED_SECONDS, every=0.1, what="another leader")

    def kill(self) -> Node:
        """Kill the leader's container, Patroni and PostgreSQL, with `kill -9`; return it."""
        node = self.leader()
        node.container.kill()
        return node

    def freeze(self) -> Node:
        """Let the leader stand still, with its connections open; return it."""
        node = self.leader()

        def frozen() -> bool:
            with contextlib.suppress(APIError):  # a process that waits for a busy disk cannot be frozen at once
                freeze(node.container)
            node.container.reload()
            return bool(node.container.status == "paused")

        eventually(frozen, 30, every=0.1, what="a leader that stands still")
        return node

    def cut_off(self) -> Node:
        """Take the leader off the network: nothing comes back from there; return it."""
        node = self.leader()
        self._network.disconnect(node.container)
        return node

    def bring_back(self, node: Node) -> None:
        """Start, thaw or connect a member that was struck."""
        node.container.reload()
        if node.container.status == "paused":
            node.container.unpause()
        elif node.container.status != "running":
            node.container.start()
        else:
            self._network.connect(node.container, ipv4_address=node.address)

    def stop(self) -> None:
        """Remove everything."""
        for container in self._containers:
            container.remove(force=True, v=True)
        self._network.remove()


class Takeovers(Striking):
    """A cluster whose leader is struck, and in which Patroni promotes another member."""

    def __init__(self, cluster: PatroniCluster, load: Load) -> None:
        super().__init__(load)
        self._cluster = cluster

    def befall(self, blow: str) -> list[str]:
        """Strike the leader, wait until another one leads, let the old one come back beside it."""
        strike = {KILLED: self._cluster.kill, FROZEN: self._cluster.freeze, CUT_OFF: self._cluster.cut_off}
        old = strike[blow]()
        self._cluster.await_other(old)
        self.load.await_more(20)
        self._cluster.bring_back(old)
        self.load.await_more(40)
        return []

    def renew(self) -> None:
        """Wait until there is a synchronous standby again, and the old leader follows."""
        self._cluster.await_whole()
