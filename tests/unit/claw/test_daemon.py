"""The resident claw's ticks."""

from pathlib import Path

import msgspec
import pytest
from tests.unit.claw.conftest import FakeSpine, held, job, problem

from claw.settings import from_env
from claw.state import Journal
from claw.ticks.daemon import Daemon
from contract.wire import Job


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path)
    made.open()
    return made


@pytest.fixture
def daemon(fake: FakeSpine, journal: Journal) -> Daemon:
    env = {"SPINE_TOKEN": "a-token-of-a-claw", "SPINE_BASE_URL": fake.url, "CLAW_STATE_DIR": str(journal.folder)}
    return Daemon(from_env(env | {"CLAW_TICK_SECONDS": "60"}), journal)


def test_no_tick_is_ever_dropped_or_doubled(daemon: Daemon) -> None:
    scheduler = daemon._schedule()
    scheduler.start(paused=True)
    ticks = {tick.id: tick for tick in scheduler.get_jobs() if tick.id != "first facts"}
    scheduler.shutdown()
    assert {name: tick.trigger.interval.total_seconds() for name, tick in ticks.items()} == {
        "heartbeat": 60,
        "claim or reconcile": 60,
        "advance": 60,
        "outbox": 60,
        "facts": 60,
        "sleep check": 5,
        "alive": 5,
    }
    for tick in ticks.values():
        assert (tick.misfire_grace_time, tick.coalesce, tick.max_instances) == (None, True, 1)


@pytest.mark.parametrize(("slept", "beats"), [(0, 0), (900_000, 1)])
def test_a_claw_that_slept_asks_before_it_goes_on(
    daemon: Daemon, fake: FakeSpine, journal: Journal, monkeypatch: pytest.MonkeyPatch, slept: int, beats: int
) -> None:
    journal.save(held(job=msgspec.convert(job(), Job)))
    fake.script = [problem("stale_fence")]
    monkeypatch.setattr(daemon._sleep, "slept_ms", lambda: slept)
    daemon._sleep_check()
    assert [path for path, _, _ in fake.asked] == ["/jobs/j1/heartbeat"] * beats
    assert daemon._lost.is_set() is bool(beats)
    assert journal.load()[0] is not None


def test_a_lost_job_is_let_go_by_the_turning_thread(daemon: Daemon, fake: FakeSpine, journal: Journal) -> None:
    journal.save(held(job=msgspec.convert(job(), Job)))
    fake.script = [problem("stale_fence")]
    daemon._turning.look_after()
    assert journal.load() == (None, None)


def test_nothing_is_asked_while_nothing_is_held(daemon: Daemon, fake: FakeSpine) -> None:
    daemon._reconcile()
    assert fake.asked == []
