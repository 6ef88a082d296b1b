"""The heartbeat's meaning, and the lease file it writes."""

import json
import time
from pathlib import Path

import pytest
from tests.unit.claw.conftest import FakeSpine, held, problem

from claw import leasefile
from claw.leash import Leash
from claw.runner.heartbeat import Answer, Beater


@pytest.fixture
def leash() -> Leash:
    return Leash()


@pytest.fixture
def beater(fake: FakeSpine, leash: Leash, tmp_path: Path) -> Beater:
    return Beater(fake.client(), held(), leash, tmp_path / "lease.json", every_seconds=0.05)


def test_a_beat_writes_the_lease_by_the_spines_own_clock(beater: Beater, tmp_path: Path) -> None:
    before = time.time()
    assert beater.beat() == "held"
    lease = leasefile.Lease(**json.loads((tmp_path / "lease.json").read_text()))
    # The spine's clock stands in another year: only the length, 300 s, counts.
    assert before + 300 <= lease.ends_wall <= time.time() + 300
    assert (lease.job_id, lease.fence, lease.held) == ("j1", 4, True)
    assert leasefile.refusal(tmp_path / "lease.json") is None


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (problem("stale_fence"), "stale"),
        (problem("not_running", status_="x"), "ended"),
        (problem("not_owner", 403), "ended"),
        (problem("not_found", 404), "ended"),
        (problem("gone", 410), "ended"),
        ((409, {"error": "not_running", "status": "cancelled", "cancelRequested": True}), "cancelled"),
        (problem("unauthorized", 401), "locked out"),
    ],
)
def test_a_job_that_is_not_ours_any_more_pulls_the_leash(
    beater: Beater,
    fake: FakeSpine,
    leash: Leash,
    tmp_path: Path,
    answer: tuple[int, dict[str, object]],
    meaning: Answer,
) -> None:
    beater.beat()
    fake.script = [answer]
    assert beater.beat() == meaning
    assert leash.why == "lost"
    assert leasefile.refusal(tmp_path / "lease.json") == "job j1 is not held any more"


@pytest.mark.parametrize("answer", [problem("unavailable", 503), (500, {"x": 1})])
def test_without_a_usable_answer_the_work_goes_on_and_the_lease_runs_out(
    beater: Beater, fake: FakeSpine, leash: Leash, tmp_path: Path, answer: tuple[int, dict[str, object]]
) -> None:
    beater.beat()
    fake.script = [answer]
    assert beater.beat() == "unknown"
    assert not leash.pulled()
    path = tmp_path / "lease.json"
    assert leasefile.refusal(path) is None
    assert leasefile.refusal(path, now_wall=time.time() + 301) == "the lease on job j1 (fence 4) has ended"


def test_progress_is_sent_without_waiting_for_the_next_beat(fake: FakeSpine, leash: Leash, tmp_path: Path) -> None:
    slow = Beater(fake.client(), held(), leash, tmp_path / "lease.json", every_seconds=3600)
    slow.start()
    slow.tell({"phase": "test", "index": 1, "of": 2})
    deadline = time.monotonic() + 5
    while not fake.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    slow.stop()
    assert fake.bodies() == [{"fence": 4, "progress": {"phase": "test", "index": 1, "of": 2}}]
    assert leasefile.refusal(tmp_path / "lease.json") == "job j1 is not held any more"


def test_it_beats_until_the_spine_has_said_something(beater: Beater, fake: FakeSpine, leash: Leash) -> None:
    fake.script = [problem("unavailable", 503), problem("unavailable", 503), problem("stale_fence")]
    assert beater.beat_until_known() == "stale"
    assert len(fake.asked) == 3
    assert leash.why == "lost"
