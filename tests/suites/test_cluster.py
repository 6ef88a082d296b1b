"""The cluster in the store: members, one leader by token, events once each, and a broadcast with a place per node."""

from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, STORE_ID, Store

from contract import wire
from contract.errors import Forbidden, InvalidField, NotFound, NotOwner, StaleFence, TooLarge
from spine.queue import cluster, named
from spine.queue.access import Caller
from spine.store.cluster import EVENTS, MESSAGES
from spine.store.engine import Tx


class Cluster:
    """The verbs, said shortly."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.begin = self.events().cursor

    def join(self, node: str, instance: str = "i1", caller: Caller = HEAD, **more: Any) -> None:
        asked = wire.JoinCluster(instance=instance, ttl_seconds=30, **more)
        self.store.write(lambda tx: cluster.join(tx, caller, node, asked))

    def beat(self, node: str, instance: str = "i1", caller: Caller = HEAD, is_leader: bool = False) -> None:
        asked = wire.BeatCluster(instance=instance, is_leader=is_leader, leader="n1")
        self.store.write(lambda tx: cluster.beat(tx, caller, node, asked))

    def leave(self, node: str, instance: str = "i1", caller: Caller = HEAD) -> None:
        self.store.write(lambda tx: cluster.leave(tx, caller, node, instance))

    def lead(self, node: str, seconds: float = 10, caller: Caller = HEAD) -> int:
        def verb(tx: Tx) -> int:
            return named.take(tx, caller, wire.CLUSTER_LEASE, f"{node}:i1", int(seconds * 1000), "null").fence

        return self.store.write(verb)

    def sweep(self, fence: int) -> list[str]:
        return self.store.write(lambda tx: cluster.sweep(tx, fence))

    def state(self) -> wire.ClusterState:
        return self.store.read(cluster.state)

    def states(self) -> dict[str, str]:
        return {node.node_id: node.state for node in self.state().nodes}

    def events(self, cursor: str | None = None, limit: int = 100) -> wire.ClusterEvents:
        return self.store.read(lambda tx: cluster.page(tx, STORE_ID, cursor, limit))

    def told(self) -> list[tuple[str, Any]]:
        """Return all events since the beginning: the last word of the type, and the payload's most telling member."""
        found = []
        for event in self.events(self.begin).events:
            payload = msgspec.json.decode(event.payload)
            more = payload.get("reason", payload.get("token", payload.get("rejoined")))
            found.append((f"{event.type.partition('.')[2]} {payload['node_id']}", more))
        return found

    def emit(self, kind: str, **payload: Any) -> str:
        asked = wire.EmitCluster(type=kind, payload=payload)
        return self.store.write(lambda tx: cluster.emit(tx, HEAD, STORE_ID, asked))

    def send(self, sender: str, *messages: Any, caller: Caller = HEAD) -> list[int]:
        asked = wire.SendCluster(sender=sender, messages=list(messages))
        return self.store.write(lambda tx: cluster.send(tx, caller, asked))

    def receive(self, node: str, limit: int = 100) -> wire.ClusterMessages:
        return self.store.read(lambda tx: cluster.receive(tx, node, limit))

    def bodies(self, node: str, limit: int = 100) -> list[Any]:
        return [msgspec.json.decode(msgspec.json.encode(m.body)) for m in self.receive(node, limit).messages]

    def acknowledge(self, node: str, cursor: int, caller: Caller = HEAD) -> None:
        self.store.write(lambda tx: cluster.acknowledge(tx, caller, node, cursor))


@pytest.fixture
def ours(store: Store) -> Cluster:
    return Cluster(store)


# --- membership ------------------------------------------------------------------------------------------------------


def test_a_node_joins_once_however_often_it_says_so(ours: Cluster) -> None:
    ours.join("n1", name="one", capabilities=["gpu"], endpoint="ws://n1")
    ours.join("n1")
    (node,) = ours.state().nodes
    assert (node.node_id, node.state, node.name, node.age_seconds) == ("n1", "online", "", 0)
    assert ours.told() == [("node_joined n1", False)]


def test_a_node_is_offline_after_its_time_without_a_heartbeat_and_not_before(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    store.clock.advance(29.999)
    assert ours.states() == {"n1": "online"}
    store.clock.advance(0.001)
    assert ours.states() == {"n1": "offline"}


def test_a_heartbeat_is_written_to_the_history(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    store.clock.advance(20)
    ours.beat("n1", is_leader=True)
    store.clock.advance(20)
    assert ours.states() == {"n1": "online"}
    (row,) = store.read(lambda tx: cluster.history(tx, 10, None)).beats
    assert (row.node_id, row.is_leader, row.leader) == ("n1", True, "n1")
    assert store.read(lambda tx: cluster.history(tx, 10, "n2")).beats == []


def test_a_node_that_went_offline_is_to_join_again_and_both_are_told(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    store.clock.advance(30)
    with pytest.raises(NotFound):
        ours.beat("n1")
    ours.join("n1")
    assert ours.told() == [("node_joined n1", False), ("node_left n1", "missed_heartbeats"), ("node_joined n1", True)]


def test_only_the_newest_process_of_a_node_id_beats(ours: Cluster) -> None:
    ours.join("n1", "old")
    ours.join("n1", "new")
    with pytest.raises(NotOwner):
        ours.beat("n1", "old")
    ours.leave("n1", "old")
    ours.beat("n1", "new")
    assert ours.states() == {"n1": "online"}


def test_an_id_whose_process_is_gone_is_free_for_another(ours: Cluster, store: Store) -> None:
    ours.join("n1", "old")
    store.clock.advance(30)
    with pytest.raises(NotFound):
        ours.beat("n1", "new")
    ours.join("n1", "old")
    ours.leave("n1", "old")
    with pytest.raises(NotFound):
        ours.beat("n1", "new")


def test_who_leaves_is_told_of_once(ours: Cluster) -> None:
    ours.join("n1")
    ours.leave("n1")
    ours.leave("n1")
    assert ours.states() == {}
    assert ours.told() == [("node_joined n1", False), ("node_left n1", "left")]


def test_a_claw_speaks_for_its_own_node_alone(ours: Cluster) -> None:
    ours.join("n1", caller=LEFT)
    for verb in (ours.join, ours.beat, ours.leave):
        with pytest.raises(Forbidden):
            verb("n1", caller=RIGHT)
    with pytest.raises(Forbidden):
        ours.send("n1", "x", caller=RIGHT)
    with pytest.raises(Forbidden):
        ours.acknowledge("n1", 0, caller=RIGHT)
    ours.beat("n1", caller=LEFT)


# --- leadership ------------------------------------------------------------------------------------------------------


def test_who_takes_the_lease_leads_and_is_told_of_with_the_token(ours: Cluster, store: Store) -> None:
    first = ours.lead("n1")
    store.clock.advance(4)
    assert ours.lead("n1", 10) == first
    leader = ours.state().leader
    assert leader is not None
    assert (leader.node_id, leader.token, leader.remaining_seconds) == ("n1", first, 10)
    store.clock.advance(10)
    assert ours.state().leader is None
    assert ours.lead("n2") == first + 1
    assert ours.told() == [("leader_elected n1", first), ("leader_elected n2", first + 1)]


def test_other_leases_write_no_events(ours: Cluster, store: Store) -> None:
    store.write(lambda tx: named.take(tx, HEAD, "another", "n1:i1", 1000, "null"))
    assert ours.told() == []


def test_a_sweep_finds_the_silent_once(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    ours.join("n2")
    store.clock.advance(20)
    ours.beat("n2")
    store.clock.advance(10)
    fence = ours.lead("n2")
    assert ours.sweep(fence) == ["n1"]
    assert ours.sweep(fence) == []
    assert ours.told()[-1] == ("node_left n1", "missed_heartbeats")


def test_what_a_former_leader_writes_is_refused_and_changes_nothing(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    old = ours.lead("n1")
    store.clock.advance(30)
    before = store.dump()
    asked = wire.ForgetCluster(fence=old, older_than_seconds=0)
    for _ in ("over", "another's"):
        for verb in (
            lambda: ours.sweep(old),
            lambda: store.write(lambda tx: cluster.forget(tx, asked)),
        ):
            with pytest.raises(StaleFence):
                verb()
        assert store.dump() == before
        ours.lead("n2")
        before = store.dump()


def test_without_any_leader_yet_a_token_is_stale(ours: Cluster) -> None:
    with pytest.raises(StaleFence):
        ours.sweep(1)


def test_history_is_forgotten_and_who_is_gone_as_long(ours: Cluster, store: Store) -> None:
    ours.join("gone")
    ours.join("n1")
    ours.beat("n1")
    ours.leave("gone")
    store.clock.advance(10)
    ours.beat("n1")
    asked = wire.ForgetCluster(fence=ours.lead("n1"), older_than_seconds=5)
    assert store.write(lambda tx: cluster.forget(tx, asked)) == 1
    assert len(store.read(lambda tx: cluster.history(tx, 10, None)).beats) == 1
    with pytest.raises(NotFound):
        ours.receive("gone")


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_are_read_from_a_cursor_on(ours: Cluster) -> None:
    first = ours.emit("cluster.sync_complete", node_id="n1")
    ours.emit("cluster.sync_complete", node_id="n2")
    page = ours.events(first)
    assert [(event.type, msgspec.json.decode(event.payload), page.gap) for event in page.events] == [
        ("cluster.sync_complete", {"node_id": "n2"}, False)
    ]
    assert ours.events(page.cursor) == wire.ClusterEvents(events=[], cursor=page.cursor, gap=False)


def test_a_cursor_of_another_store_gets_all_and_the_word_gap(ours: Cluster) -> None:
    ours.emit("cluster.one", node_id="n1")
    for cursor in ("other.1", "nonsense", f"{STORE_ID}.99", f"{STORE_ID}.x"):
        page = ours.events(cursor)
        assert (len(page.events), page.gap) == (1, True), cursor


def test_the_spines_own_events_cannot_be_made_up(ours: Cluster) -> None:
    with pytest.raises(InvalidField, match="type"):
        ours.emit("cluster.node_left", node_id="n1")


def test_a_payload_has_a_limit(ours: Cluster) -> None:
    with pytest.raises(TooLarge, match="payload"):
        ours.emit("cluster.one", text="x" * 8192)


def test_the_oldest_go_and_who_had_not_read_them_is_told(ours: Cluster, store: Store) -> None:
    def fill(tx: Tx) -> list[int]:
        return EVENTS.append(tx, "head", "cluster.one", ["{}"] * 5, 3)

    start = ours.begin
    last = store.write(fill)[-1]
    page = ours.events(start)
    assert (len(page.events), page.gap) == (3, True)
    at_edge = ours.events(f"{STORE_ID}.{last - 3}")
    assert (len(at_edge.events), at_edge.gap) == (3, False)


# --- messages --------------------------------------------------------------------------------------------------------


def test_every_node_gets_every_message_in_order_until_it_says_that_it_has_them(ours: Cluster) -> None:
    for node in ("n1", "n2", "n3"):
        ours.join(node)
    ours.send("n1", "größer", {"a": [1, None]})
    ours.send("n2", 3)
    for node in ("n1", "n2", "n3"):
        assert ours.bodies(node) == ["größer", {"a": [1, None]}, 3]
    cursor = ours.receive("n3", 2).cursor
    ours.acknowledge("n3", cursor)
    assert ours.bodies("n3") == [3]
    ours.acknowledge("n3", 0)
    assert ours.bodies("n3") == [3]
    assert len(ours.bodies("n1")) == 3


def test_a_new_node_reads_from_now_on_and_one_that_comes_back_goes_on(ours: Cluster) -> None:
    ours.join("n1")
    ours.send("n1", 1)
    ours.join("n2")
    ours.leave("n2")
    ours.send("n1", 2)
    ours.join("n2", "i2")
    assert ours.bodies("n2") == [2]


def test_a_node_that_fell_behind_the_bound_is_told(ours: Cluster, store: Store) -> None:
    ours.join("n1")
    assert ours.receive("n1").gap is False
    store.write(lambda tx: MESSAGES.append(tx, "n1", "", ["1", "2", "3"], 2))
    page = ours.receive("n1")
    assert (ours.bodies("n1"), page.gap) == ([2, 3], True)
    ours.acknowledge("n1", page.cursor)
    assert (ours.bodies("n1"), ours.receive("n1").gap) == ([], False)


def test_messages_are_taken_whole_or_not_at_all(ours: Cluster) -> None:
    ours.join("n1")
    with pytest.raises(TooLarge, match=r"messages\[1\]"):
        ours.send("n1", "fine", "x" * 8192)
    assert ours.bodies("n1") == []


def test_nothing_is_acknowledged_that_has_not_come(ours: Cluster) -> None:
    ours.join("n1")
    with pytest.raises(InvalidField, match="cursor"):
        ours.acknowledge("n1", 2**40)


def test_who_never_joined_has_no_messages(ours: Cluster) -> None:
    with pytest.raises(NotFound):
        ours.receive("n9")
