"""What stands in Redis, for clawster's readers and from its writers, to the letter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from tests.support.eventually import eventually
from tests.support.redis_server import Connect, RedisServer
from tests.support.spine_process import REPO

from cluster.backend import Beat, Grant, Holder, Node, NodeState, Refused, StaleToken
from cluster.keys import KEYS

pytestmark = pytest.mark.docker

LOCK = "openclaw:cluster:leader_lock"
HISTORY = "openclaw:cluster:leader_history"
NODES = "openclaw:cluster:nodes"
US = Holder("ours", "1")


def granted(grant: Grant | None) -> Grant:
    assert grant is not None
    return grant


def milliseconds(server: RedisServer) -> int:
    seconds, rest = server.client.time()
    return int(seconds) * 1000 + int(rest) // 1000


def test_a_leader_is_shown_as_clawster_shows_its_own(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = granted(backend.take(US, 30))
    node_id, _, ms = server.client.get(LOCK).partition(":")
    assert (node_id, int(ms)) == ("ours", grant.token)
    assert 20_000 < server.client.pttl(LOCK) <= 30_000
    backend.release(grant)
    released, elected = map(json.loads, server.client.lrange(HISTORY, 0, -1))
    stamp = elected.pop("timestamp")
    assert elected == {"node_id": "ours", "event": "elected", "is_leader": True, "token": grant.token}
    assert abs(stamp - grant.token / 1000) < 0.01
    assert released.pop("timestamp") >= stamp
    assert released == {"node_id": "ours", "event": "released", "is_leader": False, "token": grant.token}


def test_the_history_of_leaders_is_bounded(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    for _ in range(60):
        backend.release(granted(backend.take(US, 30)))
    assert server.client.llen(HISTORY) == 100


def test_the_history_of_heartbeats_is_bounded(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("ours", "1"), 30)
    old = {f'["old",false,"","{number}"]': number for number in range(100_005)}
    server.client.zadd("openclaw:cluster:spine:beats", old)
    backend.beat(Beat("ours", "1", False, None))
    assert server.client.zcard("openclaw:cluster:spine:beats") == 100_000
    assert [beat.node_id for beat in backend.history(2)] == ["ours", "old"]
    assert [beat.at_ms for beat in backend.history(1, "old")] == [100_004]


def test_a_node_is_shown_in_the_fields_of_both_of_clawsters_writers(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("ours", "1", "Küche", ("shell",), "ws://ours:1"), 30)
    token = granted(backend.take(US, 30)).token
    backend.beat(Beat("ours", "1", True, "ours"))
    entry = json.loads(server.client.hget(NODES, "ours"))
    assert entry.pop("registered_at").startswith("20")
    assert abs(server.client.time()[0] - entry.pop("last_seen")) < 5
    assert entry == {
        "node_id": "ours", "is_leader": True, "current_leader": "ours", "state": "leader", "term": token,
        "node_name": "Küche", "capabilities": ["shell"], "endpoint": "ws://ours:1",
    }  # fmt: skip
    beat = json.loads(server.client.get("hb:ours"))
    assert abs(server.client.time()[0] - beat.pop("timestamp")) < 5
    assert 20 < beat.pop("leader_ttl") <= 30
    assert beat == {
        "is_leader": True, "state": "leader", "term": token, "node": "ours", "status": "online", "role": "leader",
    }  # fmt: skip
    assert 20_000 < server.client.pttl("hb:ours") <= 30_000
    backend.leave("ours", "1")
    assert (server.client.hget(NODES, "ours"), server.client.get("hb:ours")) == (None, None)


def test_a_node_that_went_silent_is_what_clawster_calls_failed(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    backend.join(Node("gone", "1"), 0.001)
    assert backend.sweep(granted(backend.take(US, 30))) == ["gone"]
    assert json.loads(server.client.hget(NODES, "gone"))["state"] == "failed"


def test_old_nodes_are_read_in_each_shape_while_their_heartbeat_lives(server: RedisServer, connect: Connect) -> None:
    from_heartbeat = {"node_id": "a", "is_leader": False, "current_leader": None}
    from_manager = {
        "node_id": "b",
        "state": "follower",
        "term": 0,
        "registered_at": "2026",
        "capabilities": ["default"],
    }
    server.client.hset(
        NODES, mapping={"a": json.dumps(from_heartbeat), "b": json.dumps(from_manager), "c": "{", "d": "{}"}
    )
    # Cut within a character, as clawster's own client did.
    server.client.execute_command("HSET", NODES, "e", '{"node_name": "Kü"}'.encode()[:-4])
    for node in "abce":
        server.client.set(f"hb:{node}", "{}", ex=30)
    found = connect().nodes()
    now = found[0].last_seen_ms
    assert found == [
        NodeState("a", "", "online", now, 0.0, (), "", now),
        NodeState("b", "", "online", now, 0.0, ("default",), "", now),
        NodeState("c", "", "online", now, 0.0, (), "", now),
        NodeState("e", "", "online", now, 0.0, (), "", now),
    ]


def test_what_becomes_of_old_nodes_is_told_by_the_leader(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = granted(backend.take(US, 30))
    start = backend.events(None, 1, 0).cursor

    def told() -> list[tuple[str, str, object]]:
        nonlocal start
        backend.sweep(grant)
        backend.sweep(grant)
        page = backend.events(start, 100, 0)
        start = page.cursor
        kept = [(event.type, event.payload) for event in page.events]
        return [(kind, payload["node_id"], payload.get("reason", payload.get("rejoined"))) for kind, payload in kept]

    server.client.hset(NODES, "old", '{"node_id": "old"}')
    assert told() == []
    server.client.set("hb:old", "{}", ex=30)
    assert told() == [("cluster.node_joined", "old", False)]
    server.client.delete("hb:old")
    assert told() == [("cluster.node_left", "old", "missed_heartbeats")]
    assert [(node.node_id, node.state) for node in backend.nodes()] == [("old", "offline")]
    server.client.set("hb:old", "{}", ex=30)
    assert told() == [("cluster.node_joined", "old", True)]
    server.client.hdel(NODES, "old")  # what node_manager does when it is ended by hand
    assert told() == [("cluster.node_left", "old", "left")]
    assert backend.nodes() == []
    # The same machine comes back with our program.
    backend.join(Node("old", "1"), 30)
    assert told() == [("cluster.node_joined", "old", False)]


def test_the_lock_of_an_old_node_is_left_alone(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    server.client.set(LOCK, "ns:node:1:1700000000000", ex=30)
    assert backend.take(US, 30) is None
    leader = backend.leader()
    assert leader is not None
    assert (leader.node_id, leader.token) == ("ns:node:1", 0)
    assert 20 < leader.remaining_seconds <= 30
    server.client.delete(LOCK)
    assert backend.take(US, 30)


def test_a_lock_without_an_end_is_told_once_with_the_fix(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    server.client.set(LOCK, "old:1700000000000")
    with structlog.testing.capture_logs() as logs:
        assert [backend.take(US, 30), backend.take(US, 30)] == [None, None]
        leader = backend.leader()
    assert logs == [
        {
            "event": "cluster.lock_without_end", "log_level": "warning", "key": LOCK, "holder": "old",
            "fix": f"end that node, then `redis-cli DEL {LOCK}`: the key has no expiry, and outlives its holder",
        }
    ]  # fmt: skip
    assert leader is not None
    assert (leader.node_id, leader.remaining_seconds) == ("old", 1e9)


def test_what_is_printed_is_the_answer_alone(server: RedisServer, tmp_path: Path) -> None:
    server.client.set(LOCK, "old:1700000000000")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services"), "REDIS_URL": server.url}
    command = [sys.executable, "-m", "cluster.cli", "status"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=180)
    assert json.loads(done.stdout)["leader"] == {"node_id": "old", "token": 0, "remaining_seconds": 1e9}
    assert "cluster.lock_without_end" in done.stderr
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=180)
    assert "leader     old (token 0, without an end)\n" in done.stdout


def test_who_was_written_over_by_an_old_node_leads_no_more(server: RedisServer, connect: Connect) -> None:
    """An old node that looked, paused and then wrote takes the lock of whoever came in between."""
    backend = connect()
    grant = granted(backend.take(US, 30))
    server.client.set(LOCK, "old:1700000000000", xx=True, ex=30)
    with pytest.raises(StaleToken):
        backend.sweep(grant)
    with pytest.raises(StaleToken):
        backend.emit("cluster.x", {}, grant)
    with pytest.raises(StaleToken):
        backend.forget_history(grant, 1)
    assert [backend.renew(grant), backend.renew(grant)] == [None, None]
    backend.release(grant)
    assert server.client.get(LOCK) == "old:1700000000000"
    assert [json.loads(each)["event"] for each in server.client.lrange(HISTORY, 0, -1)] == ["stolen", "elected"]
    server.client.delete(LOCK)
    assert granted(backend.take(US, 30)).token > grant.token


def test_two_processes_with_one_node_id_are_two(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    first = granted(backend.take(Holder("ours", "1"), 30))
    assert backend.take(Holder("ours", "2"), 30) is None
    assert granted(backend.take(Holder("ours", "1"), 30)).token == first.token


def test_a_token_goes_on_when_the_server_has_lost_the_last_one(server: RedisServer, connect: Connect) -> None:
    backend = connect()
    grant = granted(backend.take(US, 30))
    server.client.flushall()
    # No server takes another's place within the same millisecond.
    eventually(lambda: milliseconds(server) > grant.token)
    assert granted(backend.take(US, 30)).token > grant.token
    # A clock that was set back does not take it back either.
    far = 4_000_000_000_000
    server.client.flushall()
    server.client.set("openclaw:cluster:spine:token", far)
    assert granted(backend.take(US, 30)).token == far + 1


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.lua)
def test_a_key_of_another_type_is_named_with_the_fix_and_nothing_changes(
    server: RedisServer, connect: Connect, key
) -> None:
    backend = connect()
    if key.kind == "list":
        server.client.set(key.name, "x")
    else:
        server.client.rpush(key.name, "x")
    found = server.client.type(key.name)
    before = server.client.dbsize()
    for call in (
        lambda: backend.take(US, 30),
        lambda: backend.join(Node("ours", "1"), 30),
        lambda: backend.send("ours", [1]),
        lambda: backend.nodes(),
        lambda: backend.leader(),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert str(caught.value) == (
            f"the key {key.name} holds a {found} where a {key.kind} belongs: another program writes it. "
            f"End that program, then set the key aside: `redis-cli RENAME {key.name} {key.name}:old`"
        )
    assert server.client.dbsize() == before


def test_clawsters_own_events_are_not_in_the_way(server: RedisServer, connect: Connect) -> None:
    """It has one key as a list in one program and as a stream in another."""
    server.client.rpush("openclaw:cluster:events", "{}")
    backend = connect()
    backend.emit("cluster.x", {"a": "ü"}, None)
    assert [event.payload for event in backend.events("0-0", 10, 0).events] == [{"a": "ü"}]
