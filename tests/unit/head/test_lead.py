"""Who leads, on a clock that the test moves: a term ends here before it can end at the spine."""

import threading
from typing import Any, cast

import pytest
from tests.support.asleep import linux_only, sleep_of_the_machine
from tests.support.eventually import eventually

from contract.errors import Forbidden, LeaseHeld, SpineError, StaleFence, Unavailable
from contract.lease_client import LeaseClient
from contract.wire import NamedLease
from head.lead import Deposed, Lead, Term, call_seconds

SECONDS = 10.0
NAME = "heads"


class Spine:
    """A spine's lease, and the time; `takes` seconds pass before an answer, `fault` is what it answers instead."""

    def __init__(self) -> None:
        self.time = 100.0
        self.takes = 0.0
        self.fault: SpineError | None = None
        self.holder: str | None = None
        self.fence, self.until, self.data = 0, 0.0, cast(Any, None)
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.time

    def _asked(self, verb: str) -> None:
        self.calls.append(verb)
        self.time += self.takes
        if self.fault is not None:
            raise self.fault

    def _held(self) -> bool:
        return self.holder is not None and self.until > self.time

    def _answer(self, seconds: float, data: Any) -> NamedLease:
        self.until, self.data = self.time + seconds, self.data if data is None else data
        return NamedLease(NAME, self.holder, self.fence, "", self.data)

    def take_lease(self, name: str, holder: str, seconds: float, data: Any = None) -> NamedLease:
        self._asked("take")
        if self._held() and self.holder != holder:
            raise LeaseHeld("held", holder=self.holder)
        if not self._held():
            self.holder, self.fence = holder, self.fence + 1
        return self._answer(seconds, data)

    def renew_lease(self, name: str, fence: int, seconds: float, data: Any = None) -> NamedLease:
        self._asked("renew")
        if fence != self.fence or not self._held():
            raise StaleFence("over")
        return self._answer(seconds, data)

    def release_lease(self, name: str, fence: int) -> None:
        self._asked("release")
        if fence != self.fence:
            raise StaleFence("over")
        self.holder = None


def lead_on(spine: Spine) -> Lead:
    return Lead(cast(LeaseClient, spine), NAME, SECONDS, spine.clock)


def leads(lead: Lead) -> Term:
    """Take one turn, after which it must lead; return the term."""
    lead.turn()
    return lead.await_term()


@pytest.fixture
def spine() -> Spine:
    return Spine()


@pytest.fixture
def lead(spine: Spine) -> Lead:
    return lead_on(spine)


def test_a_term_ends_a_tenth_before_its_lease_counted_from_before_the_request(spine: Spine, lead: Lead) -> None:
    spine.takes = 4.0
    term = leads(lead)  # the spine counts from 104
    assert (term.token, spine.until) == (("heads", 1), 114.0)
    spine.time = 108.99
    assert term.holds()
    spine.time = 109.0
    assert not term.holds()
    with pytest.raises(Deposed):
        term.require()


@linux_only
def test_a_machine_that_slept_past_its_lease_does_not_lead_when_it_wakes(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    term = leads(Lead(cast(LeaseClient, spine), NAME, SECONDS))
    assert term.holds()
    sleep_of_the_machine(monkeypatch, 0.9 * SECONDS)
    with pytest.raises(Deposed):
        term.require()


def test_an_answer_that_took_longer_than_the_term_gives_none(spine: Spine, lead: Lead) -> None:
    spine.takes = 9.5
    assert lead.turn() == pytest.approx(SECONDS / 3)
    assert spine.holder == lead.holder
    spine.takes = 0.0
    assert leads(lead).fence == 1  # taken again, while it is still its own


def test_renewals_extend_the_term_and_one_that_came_late_does_not_shorten_it(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.time = 103.0
    assert lead.turn() == pytest.approx(SECONDS / 3)
    spine.time = 111.9
    assert term.holds()
    term.extend(101.0)
    assert term.holds()
    spine.time = 112.0
    assert not term.holds()
    assert spine.calls == ["take", "renew"]


def test_a_term_that_is_over_stays_over(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.time = 109.0
    assert not term.holds()
    term.extend(1000.0)
    assert not term.holds()
    assert leads(lead) is not term


def test_while_the_spine_is_away_it_leads_until_the_end_of_its_term_and_no_longer(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.fault = Unavailable("away")
    spine.time = 105.0
    assert lead.turn() == 1.0
    assert term.holds()
    spine.time = 109.0
    assert lead.turn() == 1.0
    assert not term.holds()
    assert spine.calls == ["take", "renew", "take"]


def test_of_two_one_leads_and_the_other_hears_who(spine: Spine, lead: Lead) -> None:
    other = lead_on(spine)
    assert lead.holder != other.holder
    term = leads(lead)
    assert other.turn() == 1.0
    assert other.rival == lead.holder
    spine.time = 110.0
    after = leads(other)
    assert (after.fence, term.holds(), after.holds()) == (2, False, True)
    assert lead.turn() == 1.0
    assert lead.rival == other.holder


def test_one_that_was_stopped_past_its_lease_stands_by(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.time = 111.0
    leads(lead_on(spine))
    lead.turn()
    assert (term.holds(), lead.rival) == (False, spine.holder)
    with pytest.raises(Deposed):
        term.keep({"cursor": "c"})
    assert spine.data is None


def test_a_lease_that_another_has_is_given_up_before_the_clock_says_so(spine: Spine, lead: Lead) -> None:
    """Such as after the spine's store was restored."""
    term = leads(lead)
    spine.fence, spine.holder = 7, "another"
    assert lead.turn() == 0.0
    assert not term.holds()


def test_what_is_kept_is_found_by_the_next_leader(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.time = 105.0
    term.keep({"cursor": "c"})
    spine.time = 113.9
    assert term.holds()  # keeping something is a renewal
    spine.time = 115.0
    assert leads(lead_on(spine)).data == {"cursor": "c"}


def test_nothing_is_kept_under_a_fence_that_is_over(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    spine.fence, spine.holder = 2, "another"
    with pytest.raises(Deposed):
        term.keep({"cursor": "c"})
    assert (term.holds(), spine.data) == (False, None)


def test_closing_gives_the_lease_up_at_once(spine: Spine, lead: Lead) -> None:
    term = leads(lead)
    lead.close()
    assert (spine.holder, term.holds()) == (None, False)
    assert leads(lead_on(spine)).fence == 2


def test_closing_what_never_led_or_cannot_be_given_up_is_quiet(spine: Spine, lead: Lead) -> None:
    lead.close()
    assert spine.calls == []
    leads(lead)
    spine.fault = Unavailable("away")
    lead.close()


def test_a_refusal_that_a_repeat_does_not_mend_ends_the_waiting(spine: Spine, lead: Lead) -> None:
    spine.fault = Forbidden("not a head")
    lead.start()
    with pytest.raises(Forbidden):
        lead.await_term()


def test_the_thread_renews_by_itself_and_whoever_waits_is_woken(spine: Spine) -> None:
    lead = Lead(cast(LeaseClient, spine), NAME, 0.3, spine.clock)
    found: list[Term] = []
    spine.fault = Unavailable("away")
    lead.start()
    waiting = threading.Thread(target=lambda: found.append(lead.await_term()))
    waiting.start()
    spine.fault = None
    waiting.join(10)
    eventually(lambda: spine.calls.count("renew") >= 2, what="renewals")
    assert found[0].holds()
    lead.close()
    assert spine.calls[-1] == "release"


@pytest.mark.parametrize(("seconds", "waits"), [(3, (0.5, 1.0)), (15, (2.5, 5.0)), (3600, (5.0, 20.0))])
def test_a_call_ends_in_time_for_another(seconds: float, waits: tuple[float, float]) -> None:
    assert call_seconds(seconds) == waits
    assert seconds / 3 + sum(waits) < seconds * 0.9
