"""Claiming so that a lost answer is asked for again."""

from pathlib import Path

import pytest
from tests.unit.claw.conftest import FakeSpine, job, problem

from claw.runner.claim import claim
from claw.settings import Settings, from_env
from claw.state import Journal
from contract.clock import SystemClock
from contract.errors import SpineError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_env(
        {"SPINE_TOKEN": "a-token-of-a-claw", "CLAW_STATE_DIR": str(tmp_path), "CLAW_TARGETS": "left-claw,any"}
    )


@pytest.fixture
def journal(settings: Settings) -> Journal:
    made = Journal(settings.state_dir)
    made.open()
    return made


def ask(settings: Settings, fake: FakeSpine, journal: Journal, wait: float = 2) -> object:
    return claim(settings, fake.client(), journal, SystemClock(), ["shell"], wait)


def test_a_claimed_job_is_written_down(settings: Settings, fake: FakeSpine, journal: Journal) -> None:
    fake.script = [(200, {"jobs": [job()]})]
    ask(settings, fake, journal)
    assert fake.bodies() == [{"capabilities": ["shell"], "max": 1, "wait": 2.0, "targets": ["left-claw", "any"]}]
    kept, _ = journal.load()
    assert kept is not None
    assert (kept.job_id, kept.fence, kept.claimed().spec) == ("j1", 4, {"run": "true"})
    assert kept.claim.key == fake.keys()[0]
    assert len(kept.settle_key) == 32


def test_a_lost_answer_is_asked_for_with_the_same_key_and_body(
    settings: Settings, fake: FakeSpine, journal: Journal
) -> None:
    fake.script = [problem("unavailable", 503), (200, {"jobs": [job()]})]
    with pytest.raises(SpineError):
        ask(settings, fake, journal, wait=2)
    ask(settings, fake, journal, wait=25)
    assert fake.keys()[0] == fake.keys()[1]
    assert fake.asked[0][2] == fake.asked[1][2]


@pytest.mark.parametrize("answer", [(204, None), problem("stale_fence"), problem("idempotency_mismatch", 422)])
def test_a_key_that_brings_nothing_is_not_used_again(
    settings: Settings, fake: FakeSpine, journal: Journal, answer: tuple[int, dict[str, object] | None]
) -> None:
    fake.script = [answer]
    assert ask(settings, fake, journal) is None
    assert journal.load() == (None, None)
    assert ask(settings, fake, journal) is None
    assert fake.keys()[0] != fake.keys()[1]
