"""Heartbeats: a few tries that together never take longer than the interval."""

import threading

import pytest
from structlog.testing import capture_logs
from tests.support.cluster_store import FakeStore

from cluster.backend import Away, Beat, Node, NotMember, Refused, Replaced
from cluster.member import Member, Rhythm

QUICK = Rhythm(beat_seconds=1.0, ttl_seconds=3.0, tries=3, pause_seconds=0.01)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def member(store: FakeStore, instance: str = "i", rhythm: Rhythm = QUICK) -> Member:
    return Member(store, Node("n1", instance), rhythm, lambda: (True, "n1"))  # type: ignore[arg-type]


def test_the_first_heartbeat_joins(store: FakeStore) -> None:
    assert member(store).beat(threading.Event())
    assert store.calls == ["beat", "join", "beat"]
    assert [(beat.node_id, beat.is_leader, beat.leader) for beat in store.beats] == [("n1", True, "n1")]


def test_a_join_whose_answer_was_lost_is_told_with_the_first_heartbeat_that_arrives(store: FakeStore) -> None:
    one = member(store)
    store.lose_answers = True
    with capture_logs() as said:
        with pytest.raises(Away):
            one.join()
        assert said == []
        store.lose_answers = False
        for _ in range(2):
            assert one.beat(threading.Event())
    assert [line["event"] for line in said] == ["member.joined"]
    assert store.calls == ["join", "beat", "beat"]


def test_a_heartbeat_of_one_that_joined_in_another_process_is_no_join(store: FakeStore) -> None:
    member(store).join()
    with capture_logs() as said:
        assert member(store).beat(threading.Event())
    assert said == []


def test_three_tries_with_a_warning_each_and_an_error_at_last(store: FakeStore) -> None:
    store.away = True
    with capture_logs() as said:
        assert not member(store).beat(threading.Event())
    assert store.calls == ["beat", "beat", "beat"]
    assert [(line["log_level"], line["event"], line["attempt"]) for line in said] == [
        ("warning", "heartbeat.try_failed", 1),
        ("warning", "heartbeat.try_failed", 2),
        ("error", "heartbeat.failed", 3),
    ]


def test_what_the_store_refuses_is_not_tried_again(store: FakeStore) -> None:
    def refuse(beat: object) -> None:
        store.calls.append("beat")
        raise Refused("not you")

    store.beat = refuse  # type: ignore[method-assign, assignment]
    assert not member(store).beat(threading.Event())
    assert store.calls == ["beat"]


def test_a_stop_ends_the_tries(store: FakeStore) -> None:
    store.away = True
    stop = threading.Event()
    stop.set()
    assert not member(store, rhythm=Rhythm(pause_seconds=60, beat_seconds=1000)).beat(stop)
    assert store.calls == ["beat"]


def test_no_try_begins_behind_the_end_of_the_interval(store: FakeStore) -> None:
    store.away = True
    rhythm = Rhythm(beat_seconds=0.05, ttl_seconds=1, tries=100, pause_seconds=0.03)
    assert not member(store, rhythm=rhythm).beat(threading.Event())
    assert len(store.calls) == 2


@pytest.mark.parametrize(
    ("rhythm", "seconds"),
    [(Rhythm(), 8 / 3), (Rhythm(beat_seconds=60), 5.0), (Rhythm(beat_seconds=2, tries=3, pause_seconds=1), 0.1)],
)
def test_a_round_fits_into_the_interval(rhythm: Rhythm, seconds: float) -> None:
    assert rhythm.call_seconds == pytest.approx(seconds)


def test_who_is_replaced_stops(store: FakeStore) -> None:
    store.instance = "newer"
    told: list[bool] = []
    one = Member(store, Node("n1", "i"), QUICK, replaced=lambda: told.append(True))  # type: ignore[arg-type]
    one.run(threading.Event())
    assert told == [True]
    with pytest.raises(Replaced):
        one.beat(threading.Event())


def test_a_farewell_that_does_not_arrive_raises_nothing(store: FakeStore) -> None:
    store.away = True
    member(store).leave()


def test_a_heartbeat_under_way_when_it_leaves_does_not_bring_it_back(store: FakeStore) -> None:
    ours = member(store)
    ours.join()

    def arrive_late(beat: Beat) -> None:
        ours.leave()
        raise NotMember("join")

    store.beat = arrive_late  # type: ignore[method-assign]
    ours.beat(threading.Event())
    assert store.calls == ["join", "leave"]
