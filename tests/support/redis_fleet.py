"""A Redis primary with a replica and three Sentinels, in containers: what a fleet runs that is to survive a machine."""

import docker
import redis
from docker.models.containers import Container
from tests.support.engine import freeze
from tests.support.eventually import eventually
from tests.support.redis_server import LASTING, SERVE, RedisNet

NAME = "mymaster"
DOWN_MS = 1000
"""How long the primary is silent until a Sentinel takes it for dead."""


class RedisFleet:
    """Started at once, and complete when it is made; `stop` removes all."""

    def __init__(self, client: docker.DockerClient, *options: str) -> None:
        self._net = RedisNet(client, "redis-fleet")
        serve = [*SERVE, *LASTING, "--repl-diskless-sync-delay", "0", *options]
        self.servers: dict[str, Container] = {}
        try:
            container, first = self._net.start(serve)
            self.servers[first] = container
            container, second = self._net.start([*serve, "--replicaof", first, "6379"])
            self.servers[second] = container
            watch = ["/start-sentinel", NAME, first, "2", str(DOWN_MS)]
            self._sentinels = [self._net.start(watch)[1] for _ in range(3)]
            self.url = f"redis+sentinel://{','.join(self._sentinels)}/{NAME}/0"
            self.await_whole()
        except BaseException:
            self.stop()
            raise

    def client(self, address: str, port: int = 6379) -> redis.Redis:
        """Return a client of one server or Sentinel."""
        return redis.Redis(host=address, port=port, decode_responses=True, socket_timeout=5, socket_connect_timeout=1)

    def primary(self) -> str:
        """Return the address of the primary, as a Sentinel has it."""
        with self.client(self._sentinels[0], 26379) as sentinel:
            return str(sentinel.sentinel_get_master_addr_by_name(NAME)[0])

    def kill(self) -> str:
        """Kill the primary; return its address."""
        address = self.primary()
        self.servers[address].kill()
        return address

    def mend(self, address: str) -> None:
        """Start or thaw a server, and wait until it is the other's replica."""
        container = self.servers[address]
        container.reload()
        if container.status == "paused":
            container.unpause()
        else:
            container.start()
        self.await_whole()

    def freeze(self) -> str:
        """Let the primary stand still, with its connections open; return its address."""
        address = self.primary()
        freeze(self.servers[address])
        return address

    def await_whole(self) -> None:
        """Wait until all Sentinels know each other and the primary, which has its replica in step."""
        eventually(self._whole, 60, every=0.1, what="primary, replica and three Sentinels")

    def _whole(self) -> bool:
        primaries = set()
        try:
            for address in self._sentinels:
                with self.client(address, 26379) as sentinel:
                    state = sentinel.sentinel_master(NAME)
                if (state["flags"], state["num-slaves"], state["num-other-sentinels"]) != ("master", 1, 2):
                    return False
                primaries.add(state["ip"])
            with self.client(primaries.pop()) as server:
                told = server.info("replication")
        except redis.RedisError:
            return False
        in_step = told.get("slave0", {}).get("state") == "online"
        return not primaries and told["role"] == "master" and in_step

    def stop(self) -> None:
        """Remove everything."""
        self._net.stop()
