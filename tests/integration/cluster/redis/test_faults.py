"""A Redis that drops connections, is cut off, frozen, restarted or emptied; one that asks who comes."""

import re
import shlex
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from structlog.testing import capture_logs
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.redis_server import Connect, RedisServer
from tests.support.spine_process import REPO

from cluster.backend import Away, Beat, ClusterError, Holder, Node, Received, Refused
from cluster.node import ClusterNode

pytestmark = pytest.mark.docker

US = Holder("ours", "1")


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(6379, server.address) as between:
        yield between


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


class Waiting:
    """A call in a thread of its own."""

    def __init__(self, call) -> None:
        self.answer: object = None

        def run() -> None:
            try:
                self.answer = call()
            except ClusterError as e:
                self.answer = e

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def join(self) -> object:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.answer


def blocked(server: RedisServer) -> bool:
    return int(server.client.info("clients")["blocked_clients"]) > 0


def test_a_dropped_connection_costs_no_call(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = backend.take(US, 30)
    assert grant
    for _ in range(20):
        assert server.drop_connections() >= 1
        assert backend.renew(grant)


def test_who_waits_goes_on_after_a_dropped_connection(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("ours", "1"), 30)
    waiting = Waiting(lambda: backend.receive("ours", 10, 20))
    eventually(lambda: blocked(server))
    server.drop_connections()
    eventually(lambda: blocked(server))
    backend.send("other", ["hällo"])
    answer = waiting.join()
    assert isinstance(answer, Received)
    assert [message.body for message in answer.messages] == ["hällo"]


def test_whose_answer_was_lost_has_its_effect_once(server: RedisServer, connect: Connect, proxy: Proxy) -> None:
    backend, clean = connect(through(proxy)), connect()

    def lose() -> None:
        backend.leader()  # there is a connection, so that the next bytes are the call's
        proxy.lose_answer("*")

    lose()
    grant = backend.take(US, 30)
    assert grant
    lose()
    backend.join(Node("ours", "1"), 30)
    lose()
    backend.beat(Beat("ours", "1", True, "ours"))
    lose()
    ids = backend.send("ours", [1, 2])
    lose()
    cursor = backend.emit("cluster.x", {}, grant)
    clean.join(Node("gone", "1"), 0.001)
    lose()
    assert backend.sweep(grant) == ["gone"]
    assert len(proxy.lost) == 6
    kinds = [event.type for event in clean.events("0-0", 100, 0).events]
    assert kinds == [
        "cluster.leader_elected", "cluster.node_joined", "cluster.x", "cluster.node_joined", "cluster.node_left",
    ]  # fmt: skip
    assert clean.events("0-0", 3, 0).cursor == cursor
    assert len(clean.history(10)) == 1
    assert len(ids) == 2
    assert [message.cursor for message in clean.receive("gone", 10, 0).messages] == []
    assert [message.body for message in clean.receive("ours", 10, 0).messages] == [1, 2]


def test_a_network_that_is_cut_is_away_and_comes_back(server: RedisServer, connect: Connect, proxy: Proxy) -> None:
    backend = connect(through(proxy))
    grant = backend.take(US, 30)
    assert grant
    with proxy.away():
        with pytest.raises(Away) as caught:
            backend.renew(grant)
        assert str(caught.value).startswith(f"Redis at redis://127.0.0.1:{proxy.port}/0 cannot be reached: ")
    assert backend.renew(grant)


def test_a_server_that_does_not_answer_is_away_in_time(server: RedisServer, connect: Connect, proxy: Proxy) -> None:
    backend = connect(through(proxy), call_seconds=1)
    backend.join(Node("ours", "1"), 30)
    proxy.stall()
    begin = time.monotonic()
    with pytest.raises(Away):
        backend.leader()
    assert 1 <= time.monotonic() - begin < 4.8  # and not the five seconds of others
    proxy.mend()
    assert backend.leader() is None
    waiting = Waiting(lambda: backend.receive("ours", 10, 20))
    eventually(lambda: blocked(server))
    proxy.stall()
    assert isinstance(waiting.join(), Away)
    proxy.mend()


def test_what_was_written_is_there_after_a_restart(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = backend.take(US, 30)
    assert grant
    backend.join(Node("ours", "1"), 30)
    backend.send("ours", ["before"])
    server.restart()
    assert backend.renew(grant)
    assert [node.node_id for node in backend.nodes()] == ["ours"]
    assert [message.body for message in backend.receive("ours", 10, 0).messages] == ["before"]


def test_a_server_that_was_emptied_tells_its_readers_of_a_gap(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("ours", "1"), 30)
    backend.emit("cluster.x", {}, None)
    cursor = backend.events("0-0", 100, 0).cursor
    server.client.flushall()
    page = backend.events(cursor, 100, 0)
    assert (page.events, page.cursor, page.gap) == ([], "0-0", True)
    backend.emit("cluster.y", {}, None)
    page = backend.events(cursor, 100, 0)
    assert ([event.type for event in page.events], page.gap) == (["cluster.y"], True)
    page = backend.events(page.cursor, 100, 0)
    assert (page.events, page.gap) == ([], False)


def test_a_cursor_of_messages_that_the_server_lost_is_no_obstacle(server: RedisServer, connect: Connect) -> None:
    """A replica that took over may know a cursor, of a clock that was ahead, and not the messages."""
    backend = connect()
    backend.join(Node("ours", "1"), 30)
    server.client.hset("openclaw:cluster:spine:cursors", "ours", "4000000000000-0")
    page = backend.receive("ours", 10, 0)
    assert (page.messages, page.cursor, page.gap) == ([], "0-0", True)
    backend.acknowledge("ours", page.cursor)
    assert backend.receive("ours", 10, 0).gap is False
    (first,) = backend.send("x", ["new"])
    # An acknowledgement of what this server never had moves nothing.
    backend.acknowledge("ours", "4000000000000-0")
    assert [message.cursor for message in backend.receive("ours", 10, 0).messages] == [first]


def test_a_sync_passes_over_a_gap_once(server: RedisServer, connect: Connect) -> None:
    node = ClusterNode(connect(), "ours")
    node.member.join()
    server.client.hset("openclaw:cluster:spine:cursors", "ours", "4000000000000-0")
    assert [node.sync([]).gap, node.sync([]).gap] == [True, False]


def test_a_reader_behind_the_bound_is_told(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("slow", "1"), 30)
    for i in range(103):
        backend.send("x", [i] * 100)
    kept = server.client.xlen("openclaw:cluster:spine:messages")
    assert 10_000 <= kept < 10_200
    page = backend.receive("slow", 100, 0)
    assert (page.gap, len(page.messages)) == (True, 100)
    backend.acknowledge("slow", page.cursor)
    assert backend.receive("slow", 100, 0).gap is False


def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = backend.take(US, 30)
    assert grant
    server.client.script_flush()
    assert backend.renew(grant)


def test_whoever_waits_is_let_go_when_the_backend_is_closed(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    waiting = Waiting(lambda: backend.events(None, 10, 20))
    eventually(lambda: blocked(server))
    backend.close()
    assert str(waiting.join()) == "the connection to Redis is closed"


def test_a_server_that_is_full_is_away_and_nothing_changed(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.leader()
    server.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Away) as caught:
            backend.take(US, 30)
        assert "takes nothing now" in str(caught.value)
    finally:
        server.client.config_set("maxmemory", "0")
    assert backend.leader() is None


def test_a_primary_that_may_not_write_without_a_replica_is_away(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    server.client.config_set("min-replicas-to-write", "1")
    try:
        with pytest.raises(Away, match="takes nothing now: NOREPLICAS"):
            backend.take(US, 30)
        assert backend.leader() is None
    finally:
        server.client.config_set("min-replicas-to-write", "0")


def test_a_replica_is_told_from_the_primary(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    server.client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Away) as caught:
            backend.take(US, 30)
        assert str(caught.value).endswith(" takes nothing now: You can't write against a read only replica")
    finally:
        server.client.replicaof("NO", "ONE")


def test_a_user_needs_no_more_than_what_the_documents_say(server: RedisServer, connect: Connect) -> None:
    page = (REPO / "docs" / "howto" / "migrate-from-clawster.md").read_text(encoding="utf-8")
    said = re.search("redis-cli (ACL SETUSER node .*)", page)
    assert said
    server.client.execute_command(*shlex.split(said[1].replace("the-password", "p@ss")))
    try:
        backend = connect(f"redis://node:p%40ss@{server.address}:6379/0")
        grant = backend.take(US, 30)
        assert grant
        backend.join(Node("ours", "1"), 30)
        backend.beat(Beat("ours", "1", True, "ours"))
        backend.sweep(grant)
        backend.send("ours", ["x"])
        received = backend.receive("ours", 10, 0)
        backend.acknowledge("ours", received.cursor)
        assert backend.receive("ours", 10, 0.1).messages == []
        assert len(backend.history(10)) == 1
        backend.forget_history(grant, 1)
        assert [node.node_id for node in backend.nodes()] == ["ours"]
        backend.leave("ours", "1")
        backend.release(grant)
        with pytest.raises(Refused) as caught:
            connect(f"redis://node:wrong-word@{server.address}:6379/0").leader()
        assert str(caught.value).startswith(f"Redis at redis://{server.address}:6379/0 does not let us in: ")
        assert "wrong-word" not in str(caught.value)
        with server.password("sesame"), pytest.raises(Refused, match="does not let us in: it asks for a password;"):
            connect(server.url).leader()
        server.client.execute_command("ACL", "SETUSER", "node", "-time")
        with pytest.raises(Refused, match=r"does not let us in: The user executing the script can't [a-z ]+; see user"):
            connect(f"redis://node:p%40ss@{server.address}:6379/0").leader()
        server.client.execute_command("ACL", "SETUSER", "node", "resetkeys", "~other:*")
        with pytest.raises(Refused, match="does not let us in"):
            connect(f"redis://node:p%40ss@{server.address}:6379/0").leader()
    finally:
        server.client.execute_command("ACL", "DELUSER", "node")


def test_a_redis_cluster_is_named_as_what_it_is(server: RedisServer, connect: Connect) -> None:
    # Redis answers so for keys of several slots; a server that is one already cannot be made one of a Redis Cluster.
    def crossed() -> None:
        raise redis.exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot")

    with pytest.raises(Refused, match=r"is a Redis Cluster, .* name a single server, or Sentinels"):
        connect()._link._attempt(crossed)


def test_a_server_that_may_drop_the_lease_is_told_of(server: RedisServer, connect: Connect) -> None:
    server.client.config_set("maxmemory", "100mb")
    try:
        with capture_logs() as said:
            connect().join(Node("n1", "1"), 30)
            server.client.config_set("maxmemory-policy", "volatile-lru")
            connect().join(Node("n1", "1"), 30)
    finally:
        server.client.config_set("maxmemory", "0")
        server.client.config_set("maxmemory-policy", "noeviction")
    assert [(line["event"], line["policy"]) for line in said] == [("cluster.may_evict", "volatile-lru")]
