"""Elections on a clock that the test sets: nobody believes in a lease that may be over."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.asleep import linux_only, sleep_of_the_machine
from tests.support.cluster_store import FakeStore

from cluster.backend import Away, Holder, Refused
from cluster.election import Election
from cluster.outage import Outage
from contract.clock import since_boot


def candidate(store: FakeStore, name: str, changes: list[Any] | None = None) -> Election:
    told = changes if changes is not None else []
    return Election(store, Holder(name, "i"), 10.0, store.clock, told.append)  # type: ignore[arg-type]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_the_first_leads_and_the_second_waits_until_just_behind_the_end_of_the_lease(store: FakeStore) -> None:
    first, second = candidate(store, "n1"), candidate(store, "n2")
    assert first.turn() == pytest.approx(10 / 3)
    assert second.turn() == 1.0
    store.now = 9.5
    assert second.turn() == pytest.approx(0.51)
    assert (first.grant(), second.is_leader(), second.leader and second.leader.node_id) == (None, False, "n1")
    store.now = 10.02
    second.turn()
    assert second.grant() == (Holder("n2", "i"), 2, 10.0, 10.02)


def test_a_lease_is_believed_in_from_before_it_was_asked_for_and_a_twentieth_less(store: FakeStore) -> None:
    store.seconds_per_call = 1.0
    only = candidate(store, "n1")
    only.turn()
    assert store.until == 12, "asked at 1, taken at 2"
    store.now = 10.49
    assert only.is_leader()
    store.now = 10.5
    assert not only.is_leader()


def test_a_process_that_was_stopped_past_its_lease_does_not_lead_before_its_next_turn(store: FakeStore) -> None:
    changes: list[bool] = []
    old, new = candidate(store, "n1", changes), candidate(store, "n2")
    old.turn()
    store.now = 60
    new.turn()
    assert (old.is_leader(), new.is_leader()) == (False, True)
    old.turn()
    assert (old.is_leader(), new.is_leader(), changes) == (False, True, [True, False])


@linux_only
def test_a_machine_that_slept_past_its_lease_does_not_lead_when_it_wakes(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    election = Election(store, Holder("n1", "i"), 10.0)  # type: ignore[arg-type]
    store.now = since_boot()
    election.turn()
    assert election.is_leader()
    sleep_of_the_machine(monkeypatch, 9.6)
    assert not election.is_leader()
    assert election.grant() is None


def test_a_renewal_that_comes_too_late_ends_leadership_at_once(store: FakeStore) -> None:
    old, new = candidate(store, "n1"), candidate(store, "n2")
    old.turn()
    store.until = 5
    store.now = 6
    new.turn()
    assert (old.turn(), old.leader) == (0.0, None), "it looks at once who leads"
    assert (old.is_leader(), new.is_leader()) == (False, True)
    old.turn()
    assert old.leader is not None
    assert old.leader.node_id == "n2"


def test_who_cannot_reach_the_store_leads_until_its_lease_ends_and_no_longer(store: FakeStore) -> None:
    only = candidate(store, "n1")
    only.turn()
    store.away = True
    store.now = 4
    assert only.turn() == 1.0
    assert only.is_leader()
    store.now = 9.5
    only.turn()
    assert not only.is_leader()


def test_a_store_that_is_away_is_told_once_and_so_is_that_it_is_back(store: FakeStore) -> None:
    only = candidate(store, "n1")
    with capture_logs() as said:
        for store.away in (False, True, True, True, False, False, True):
            only.turn()
    assert [line["event"] for line in said] == ["election.leads", "election.away", "election.back", "election.away"]


def test_of_several_stores_that_are_away_one_is_told() -> None:
    outage = Outage()
    tries = [Away("a: no answer"), Away("b: no answer"), Refused("a: not you"), Away("a: no answer")]
    assert [outage.is_news(e) for e in tries] == [True, False, True, True]
    assert (outage.ends(), outage.ends()) == (True, False)


def test_who_reaches_it_again_in_time_goes_on_under_the_same_token(store: FakeStore) -> None:
    only = candidate(store, "n1")
    only.turn()
    store.away = True
    store.now = 9.7
    only.turn()
    store.away = False
    only.turn()
    assert (only.grant() and only.grant().token, store.token) == (1, 1)  # type: ignore[union-attr]


def test_a_grant_whose_answer_was_lost_is_not_believed_in_and_is_found_again(store: FakeStore) -> None:
    store.lose_answers = True
    only = candidate(store, "n1")
    only._backend.leader = lambda: None  # type: ignore[method-assign]
    only.turn()
    assert (store.token, only.is_leader()) == (1, False)
    store.lose_answers = False
    only.turn()
    assert (store.token, only.is_leader()) == (1, True)


def test_another_process_under_the_same_id_does_not_lead_with_it(store: FakeStore) -> None:
    first = candidate(store, "n1")
    twin = Election(store, Holder("n1", "other"), 10.0, store.clock)  # type: ignore[arg-type]
    first.turn()
    twin.turn()
    assert (first.is_leader(), twin.is_leader()) == (True, False)


def test_a_release_frees_the_lease_at_once_and_it_is_not_taken_again(store: FakeStore) -> None:
    changes: list[bool] = []
    first, second = candidate(store, "n1", changes), candidate(store, "n2")
    first.turn()
    first.release()
    first.turn()
    second.turn()
    assert (first.is_leader(), second.is_leader(), changes) == (False, True, [True, False])


def test_a_release_that_does_not_arrive_raises_nothing(store: FakeStore) -> None:
    only = candidate(store, "n1")
    only.turn()
    store.away = True
    only.release()
    assert not only.is_leader()


def test_a_lease_that_comes_after_the_release_is_given_back(store: FakeStore) -> None:
    only = candidate(store, "n1")
    take = store.take

    def taken_late(holder: Holder, ttl: float) -> Any:
        found = take(holder, ttl)
        only.release()
        return found

    store.take = taken_late  # type: ignore[method-assign]
    only.turn()
    assert (only.is_leader(), store.holder) == (False, None)


def test_a_token_that_the_store_refused_leads_nobody(store: FakeStore) -> None:
    only = candidate(store, "n1")
    only.turn()
    grant = only.grant()
    assert grant is not None
    only.stale(grant._replace(token=99))
    assert only.is_leader()
    only.stale(grant)
    assert not only.is_leader()


def test_a_refusal_is_logged_and_tried_again(store: FakeStore) -> None:
    only = candidate(store, "n1")

    def refuse() -> None:
        raise Refused("not you")

    store.leader = refuse  # type: ignore[method-assign, assignment]
    assert only.turn() == 1.0
    assert not only.elected.is_set()
