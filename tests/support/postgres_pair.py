"""A primary and a synchronous standby in containers of their own, which take turns: one is killed, the other promoted.

Data lives in the containers and not in memory, so that a primary that was killed can come back as it was.
"""

import os

import docker
from docker.models.containers import Container
from tests.support.engine import freeze, image, labels, made_net, run_in
from tests.support.eventually import eventually
from tests.support.postgres_server import CONTEXT, PostgresAt

DATABASE = "spine"
# A standby that comes a moment after its copy was made needs what was written since. What a killed process has written
# is there without fsync, too, as long as the machine goes on.
_COMMAND = ["/start-postgres", "-c", "wal_keep_size=512MB", "-c", "fsync=off"]


class Node(PostgresAt):
    """One of the two places, with the container that is there now."""

    def __init__(self, address: str, container: Container) -> None:
        super().__init__(address)
        self.container = container


class PostgresPair:
    """Both, started at once; `stop` removes them.

    `primary` and `standby` say who is which now; `old` is the primary that another has taken the place of, until a new
    standby has taken its place.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        self._client, self._name = client, f"spine-test-pair-{os.getpid()}"
        self._network, net = made_net(client, self._name)
        self._image = image(client, CONTEXT)
        self._addresses = [f"{net}.2", f"{net}.3"]
        self.primary = self._start(self._addresses[0], None)
        self.primary.run(f"CREATE DATABASE {DATABASE}")
        self.standby = self._start(self._addresses[1], self.primary)
        self.old: Node | None = None
        self._await_copy()

    def url(self, *first: Node) -> str:
        """Return the database's address with both hosts, in the order of their numbers or with one of them first."""
        hosts = [node.address for node in first]
        hosts += [address for address in self._addresses if address not in hosts]
        places = ",".join(f"{host}:5432" for host in hosts)
        return f"postgresql://postgres@{places}/{DATABASE}?target_session_attrs=read-write"

    def _start(self, address: str, source: Node | None) -> Node:
        container: Container = self._client.containers.create(
            self._image,
            _COMMAND,
            name=f"{self._name}-{address.rpartition('.')[2]}",
            labels=labels(),
            environment={} if source is None else {"COPY_OF": source.address},
            network=self._name,
            networking_config={self._name: self._client.api.create_endpoint_config(ipv4_address=address)},
        )
        container.start()
        node = Node(address, container)
        eventually(node.answers, 30, every=0.05, what=f"the database server at {address}")
        return node

    def _await_copy(self) -> None:
        """Wait until the standby has all, and then until no commit is answered that it does not have."""
        streams = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        eventually(lambda: self.primary.run(streams), 30, what="a standby that has caught up")
        self.primary.await_standbys("*")
        freeze(self.standby.container)
        try:
            eventually(self.primary.commits_wait, what="a commit that waits for the standby")
        finally:
            self.standby.container.unpause()
        in_sync = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        eventually(lambda: self.primary.run(in_sync), what="a synchronous standby")

    def promote(self) -> Node:
        """Make the standby the primary, whatever the other one does; return the old primary.

        The new one waits for no standby until `renew` has given it one.
        """
        code, output = run_in(self.standby.container, ["pg_ctl", "promote"])
        assert code == 0, output
        self.old, self.primary = self.primary, self.standby
        return self.old

    def cut_off(self) -> None:
        """Take the primary off the network: nothing comes back from there, not even a refusal."""
        self._network.disconnect(self.primary.container)

    def join_again(self) -> None:
        """Bring the old primary back to the network, at its address."""
        assert self.old is not None
        self._network.connect(self.old.container, ipv4_address=self.old.address)
        eventually(self.old.answers, 30, every=0.05, what="the old primary")

    def await_left(self, seconds: float) -> None:
        """Wait until no spine has a session with the old primary; to ask who it is takes them a moment now and then.

        One that waited for its standby inside a COMMIT never learns that nobody waits for it any more.
        """
        assert self.old is not None
        stays = (
            "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = 'spine' "
            "AND backend_start < clock_timestamp() - interval '2 s' AND wait_event IS DISTINCT FROM 'SyncRep'"
        )
        old = self.old

        def left() -> bool:
            assert old.run(stays) == []
            return True

        eventually(left, seconds, every=0.1, what="the end of all sessions with the old primary")

    def wake(self) -> None:
        """Start the old primary that was killed: it takes sessions and writes, and knows nothing of the new one."""
        assert self.old is not None
        self.old.container.start()
        eventually(self.old.answers, 30, every=0.05, what="the old primary")
        assert self.old.run("SELECT pg_is_in_recovery()") == [(False,)]

    def renew(self) -> None:
        """Put a new synchronous standby in the place of an old primary, if there is one."""
        if self.old is not None:
            self.old.container.remove(force=True, v=True)
            self.standby, self.old = self._start(self.old.address, self.primary), None
            self._await_copy()

    def stop(self) -> None:
        """Remove both."""
        for container in self._client.containers.list(all=True, filters={"name": f"{self._name}-"}):
            container.remove(force=True, v=True)
        self._network.remove()
