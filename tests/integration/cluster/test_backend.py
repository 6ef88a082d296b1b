"""What every store of a cluster answers to the one interface; the nodes are the test's own calls."""

import threading
import time

import pytest
from tests.support.eventually import eventually

from cluster.backend import (
    Backend,
    Beat,
    Grant,
    Holder,
    Node,
    NotMember,
    Refused,
    Replaced,
    StaleToken,
)
from contract.clock import since_boot

OWN_TIME = 9.0  # s: less than the ten that a lease lasts where nobody says how long
ONE, TWO = Holder("n1", "i1"), Holder("n2", "i2")


def begin(backend: Backend) -> str:
    return backend.events(None, 1, 0).cursor


def told(backend: Backend, cursor: str) -> list[tuple[str, str]]:
    return [(event.type.partition(".")[2], event.payload["node_id"]) for event in backend.events(cursor, 100, 0).events]


def lead(backend: Backend, holder: Holder = ONE, seconds: float = 30) -> Grant:
    grant = backend.take(holder, seconds)
    assert grant is not None
    return grant


def test_one_holder_at_a_time_and_the_token_grows(backend: Backend) -> None:
    cursor = begin(backend)
    assert backend.leader() is None
    first = lead(backend)
    assert backend.take(TWO, 30) is None
    again = lead(backend)
    assert (again.token, again.started > first.started) == (first.token, True)
    leader = backend.leader()
    assert leader is not None
    assert (leader.node_id, leader.token, 20 < leader.remaining_seconds <= 30) == ("n1", first.token, True)
    backend.release(first)
    backend.release(first)
    assert backend.leader() is None
    second = lead(backend, TWO)
    assert second.token > first.token
    backend.release(first)
    assert backend.renew(first) is None
    renewed = backend.renew(second)
    assert renewed is not None
    assert renewed.token == second.token
    assert told(backend, cursor) == [("leader_elected", "n1"), ("leader_elected", "n2")]


def test_a_lease_ends_by_itself(backend: Backend) -> None:
    first = lead(backend, seconds=0.5)
    second = eventually(lambda: backend.take(TWO, 30), OWN_TIME)
    assert second.token > first.token
    assert since_boot() - first.started > 0.49  # the store counts in milliseconds, from when it was asked


def test_another_instance_of_a_node_is_another_holder(backend: Backend) -> None:
    lead(backend)
    assert backend.take(Holder("n1", "other"), 30) is None


def test_a_former_token_is_refused_for_every_duty(backend: Backend) -> None:
    cursor = begin(backend)
    old = lead(backend, seconds=0.5)
    eventually(lambda: backend.leader() is None, OWN_TIME)
    for holder in (None, TWO):
        if holder is not None:
            lead(backend, holder)
        for duty in (
            lambda: backend.sweep(old),
            lambda: backend.emit("cluster.duty", {"node_id": "n1"}, old),
            lambda: backend.forget_history(old, 0),
        ):
            with pytest.raises(StaleToken):
                duty()
    assert [kind for kind, _ in told(backend, cursor)] == ["leader_elected", "leader_elected"]


def test_members_come_beat_and_leave(backend: Backend) -> None:
    cursor = begin(backend)
    backend.join(Node("n1", "i1", "one", ("gpu", "git"), "ws://n1"), 30)
    backend.join(Node("n1", "i1", "one", ("gpu", "git"), "ws://n1"), 30)
    backend.beat(Beat("n1", "i1", True, "n1"))
    backend.beat(Beat("n1", "i1", False, None))
    (node,) = backend.nodes()
    assert node[:3] == ("n1", "one", "online")
    assert (node.capabilities, node.endpoint) == (("gpu", "git"), "ws://n1")
    assert 0 <= node.age_seconds < 10
    assert [beat[1:] for beat in backend.history(10)] == [("n1", False, None), ("n1", True, "n1")]
    assert backend.history(10, "n2") == []
    backend.leave("n1", "i1")
    backend.leave("n1", "i1")
    assert backend.nodes() == []
    with pytest.raises(NotMember):
        backend.beat(Beat("n1", "i1", False, None))
    assert told(backend, cursor) == [("node_joined", "n1"), ("node_left", "n1")]


def test_history_has_the_newest_first_also_within_a_millisecond(backend: Backend) -> None:
    backend.join(Node("n1", "i1"), 30)
    leaders = [f"n{n}" for n in range(99, 9, -1)]
    for leader in leaders:
        backend.beat(Beat("n1", "i1", False, leader))
    assert [beat.leader for beat in backend.history(100)] == leaders[::-1]


def test_a_silent_node_is_offline_and_the_sweep_tells_once(backend: Backend) -> None:
    cursor = begin(backend)
    grant = lead(backend)
    backend.join(Node("n1", "i1"), 30)
    backend.join(Node("n2", "i2"), 0.5)
    eventually(lambda: [node.state for node in backend.nodes()] == ["online", "offline"], OWN_TIME)
    assert backend.sweep(grant) == ["n2"]
    assert backend.sweep(grant) == []
    with pytest.raises(NotMember):
        backend.beat(Beat("n2", "i2", False, None))
    backend.join(Node("n2", "i2"), 30)
    assert told(backend, cursor)[1:] == [
        ("node_joined", "n1"),
        ("node_joined", "n2"),
        ("node_left", "n2"),
        ("node_joined", "n2"),
    ]
    last = backend.events(cursor, 100, 0).events
    assert (last[3].payload["reason"], last[4].payload["rejoined"]) == ("missed_heartbeats", True)


def test_a_process_that_another_one_replaced_is_told(backend: Backend) -> None:
    backend.join(Node("n1", "old"), 30)
    backend.join(Node("n1", "new"), 30)
    with pytest.raises(Replaced):
        backend.beat(Beat("n1", "old", False, None))
    backend.leave("n1", "old")
    backend.beat(Beat("n1", "new", False, None))


def test_an_id_whose_process_has_left_or_is_silent_is_free_for_another(backend: Backend) -> None:
    backend.join(Node("n1", "old"), 30)
    backend.leave("n1", "old")
    with pytest.raises(NotMember):
        backend.beat(Beat("n1", "new", False, None))
    backend.join(Node("n1", "old"), 0.5)
    eventually(lambda: [node.state for node in backend.nodes()] == ["offline"], OWN_TIME)
    with pytest.raises(NotMember):
        backend.beat(Beat("n1", "new", False, None))


def test_who_was_silent_past_its_time_has_left_also_where_nobody_leads(backend: Backend) -> None:
    cursor = begin(backend)
    backend.join(Node("n1", "i1"), 0.5)
    eventually(lambda: [node.state for node in backend.nodes()] == ["offline"], OWN_TIME)
    with pytest.raises(NotMember):
        backend.beat(Beat("n1", "i1", False, None))
    backend.join(Node("n1", "i1"), 0.5)
    eventually(lambda: [node.state for node in backend.nodes()] == ["offline"], OWN_TIME)
    backend.leave("n1", "i1")
    assert backend.nodes() == []
    events = backend.events(cursor, 100, 0).events
    assert [(event.type.partition(".")[2], event.payload.get("reason")) for event in events] == [
        ("node_joined", None),
        ("node_left", "missed_heartbeats"),
        ("node_joined", None),
        ("node_left", "missed_heartbeats"),
    ]


def test_history_is_forgotten_by_the_leader(backend: Backend) -> None:
    backend.join(Node("n1", "i1"), 30)
    backend.beat(Beat("n1", "i1", False, None))
    grant = lead(backend)
    assert backend.forget_history(grant, 3600) == 0
    eventually(lambda: backend.forget_history(grant, 0.01) == 1)
    assert backend.history(10) == []


def test_events_are_waited_for(backend: Backend) -> None:
    cursor = begin(backend)
    timer = threading.Timer(0.3, lambda: backend.emit("cluster.duty", {"node_id": "größer"}, None))
    begun = time.monotonic()
    timer.start()
    page = backend.events(cursor, 10, 10)
    assert 0.2 < time.monotonic() - begun < 5
    assert [event.payload for event in page.events] == [{"node_id": "größer"}]
    timer.join()
    assert backend.events(page.cursor, 10, 0).events == []


def test_pages_follow_each_other_without_a_gap(backend: Backend) -> None:
    cursor = begin(backend)
    for n in range(5):
        backend.emit("cluster.duty", {"n": n}, None)
    seen = []
    while (page := backend.events(cursor, 2, 0)).events:
        seen += [event.payload["n"] for event in page.events]
        assert not page.gap
        cursor = page.cursor
    assert seen == [0, 1, 2, 3, 4]


def test_every_member_gets_every_message_until_it_acknowledges(backend: Backend) -> None:
    backend.join(Node("n1", "i1"), 30)
    backend.join(Node("n2", "i2"), 30)
    sent = backend.send("n1", ["größer", {"a": [1, None]}, 3])
    assert len(set(sent)) == 3
    for node in ("n1", "n2", "n1"):
        page = backend.receive(node, 100, 0)
        assert [(m.sender, m.body, m.cursor) for m in page.messages] == [
            ("n1", "größer", sent[0]),
            ("n1", {"a": [1, None]}, sent[1]),
            ("n1", 3, sent[2]),
        ]
        assert (page.cursor, page.gap) == (sent[2], False)
    backend.acknowledge("n1", sent[1])
    backend.acknowledge("n1", sent[0])
    assert [m.body for m in backend.receive("n1", 100, 0).messages] == [3]
    assert len(backend.receive("n2", 2, 0).messages) == 2
    backend.leave("n1", "i1")
    backend.join(Node("n1", "next"), 30)
    assert [m.body for m in backend.receive("n1", 100, 0).messages] == [3]


def test_a_new_node_begins_with_what_comes_then(backend: Backend) -> None:
    backend.join(Node("n1", "i1"), 30)
    backend.send("n1", [1])
    backend.join(Node("n2", "i2"), 30)
    assert backend.receive("n2", 100, 0).messages == []
    backend.send("n1", [2])
    assert [m.body for m in backend.receive("n2", 100, 5).messages] == [2]
    with pytest.raises(NotMember):
        backend.receive("n3", 100, 0)


def test_what_cannot_be_taken_is_refused_and_nothing_of_it_is_sent(backend: Backend) -> None:
    backend.join(Node("n1", "i1"), 30)
    for messages in (["x"] * 101, ["fine", "x" * 8192]):
        with pytest.raises(Refused, match="messages"):
            backend.send("n1", messages)
    with pytest.raises(Refused, match="type"):
        backend.emit("other.type", {}, None)
    with pytest.raises(Refused, match="payload"):
        backend.emit("cluster.duty", {"text": "x" * 8192}, None)
    with pytest.raises(Refused, match="cursor"):
        backend.acknowledge("n1", "nonsense")
    for node_id in ("", "a:b"):
        with pytest.raises(Refused):
            backend.join(Node(node_id, "i"), 30)
    assert backend.receive("n1", 100, 0).messages == []
    assert [node.node_id for node in backend.nodes()] == ["n1"]


@pytest.mark.parametrize("kind", ["cluster.node_joined", "cluster.node_left", "cluster.leader_elected"])
def test_what_the_store_writes_itself_cannot_be_made_up(backend: Backend, kind: str) -> None:
    cursor = begin(backend)
    with pytest.raises(Refused, match=kind):
        backend.emit(kind, {"node_id": "n1"}, None)
    assert told(backend, cursor) == []
