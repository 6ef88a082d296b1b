"""A claw in phases mode: each tick runs the next phase, and the state file is all that lies between."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.claw.conftest import BRIEF_LEASE, Claw, git, until


def test_three_ticks_run_three_phases_in_one_workspace(claw: Claw) -> None:
    phases = [
        {"name": "one", "run": "echo 1 >> log"},
        {"name": "two", "run": "echo 2 >> log"},
        {"name": "three", "run": "echo 3 >> log; cat log"},
    ]
    job_id = claw.submit({"phases": phases})
    assert claw.cli("tick", "--mode", "phases").returncode == 0
    assert claw.job(job_id).progress == {"phase": "one", "index": 1, "of": 3, "percent": 0}
    assert (claw.held() or {})["phase"] == 1
    assert claw.cli("tick", "--mode", "phases").returncode == 0
    assert claw.job(job_id).progress == {"phase": "two", "index": 2, "of": 3, "percent": 33}
    assert claw.job(job_id).status == "running"
    assert claw.cli("tick", "--mode", "phases").returncode == 0
    job = claw.job(job_id)
    assert job.status == "done"
    assert job.result["notes"].splitlines()[-3:] == ["1", "2", "3"]
    assert [p["name"] for p in job.result["phases"]] == ["one", "two", "three"]
    assert claw.held() is None
    log = claw.spine.head.read_log(job_id).decode()
    assert [line for line in log.splitlines() if line.startswith("---")] == [
        "--- one: echo 1 >> log",
        "--- two: echo 2 >> log",
        "--- three: echo 3 >> log; cat log",
    ]


def test_a_failing_phase_ends_the_job(claw: Claw) -> None:
    job_id = claw.submit({"phases": [{"run": "exit 77"}, {"run": "true"}]})
    claw.cli("tick", "--mode", "phases")
    job = claw.job(job_id)
    assert (job.status, job.error) == ("failed", "phase 'phase 1' ended with exit code 77")


def test_a_repository_is_kept_between_ticks_and_pushed_by_the_last(claw: Claw, repo: Path) -> None:
    job_id = claw.submit({"repo": str(repo), "phases": [{"run": "echo 1 > a"}, {"run": "echo 2 > b"}]})
    for _ in range(2):
        claw.cli("tick", "--mode", "phases", CLAW_ALLOWED_REPOS=str(repo.parent))
    assert claw.job(job_id).status == "done"
    assert git(repo, "ls-tree", "--name-only", f"spine/job-{job_id}").split() == ["a", "b", "file.txt"]


@BRIEF_LEASE
def test_the_lease_is_kept_during_a_phase(lone_claw: Claw, lease_seconds: int) -> None:
    claw = lone_claw
    job_id = claw.submit({"phases": [{"run": f"sleep {lease_seconds + 1}"}, {"run": "true"}]})
    claw.cli("tick", "--mode", "phases")
    job = claw.job(job_id)
    assert (job.status, job.attempts) == ("running", 1)
    claw.cli("tick", "--mode", "phases")
    assert claw.job(job_id).status == "done"


def test_a_tick_killed_in_a_phase_costs_one_attempt(claw: Claw, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    job_id = claw.submit({"run": f"touch {begun}; test $SPINE_FENCE = 2 || sleep 1000"})
    tick = subprocess.Popen([sys.executable, "-m", "claw.cli", "tick", "--mode", "phases"], env=claw.env())
    until(begun.exists)
    tick.send_signal(signal.SIGKILL)
    tick.wait()
    claw.cli("tick", "--mode", "phases")
    job = claw.until_status(job_id, "done")
    assert job.attempts == 2
    assert claw.spine.head.attempts(job_id)[0].error == "the claw's worker died in phase 1 before the job had ended"


def test_sigterm_gives_the_job_back(claw: Claw, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    job_id = claw.submit({"run": f"touch {begun}; sleep 1000"})
    tick = subprocess.Popen([sys.executable, "-m", "claw.cli", "tick", "--mode", "phases"], env=claw.env())
    until(begun.exists)
    tick.terminate()
    assert tick.wait(20) == 0
    job = claw.job(job_id)
    assert (job.status, job.attempts) == ("queued", 0)


def test_a_stopping_resident_claw_lets_its_phase_end(claw: Claw, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    job_id = claw.submit({"run": f"touch {begun}; while ! test -e {gate}; do sleep 0.05; done"})
    daemon = claw.start(CLAW_MODE="phases", CLAW_DRAIN_SECONDS="20")
    until(begun.exists)
    daemon.terminate()
    gate.touch()
    assert daemon.wait(20) == 0
    assert claw.job(job_id).status == "done"


def test_a_resident_claw_gives_a_long_phase_back(claw: Claw, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    job_id = claw.submit({"run": f"touch {begun}; sleep 1000"})
    daemon = claw.start(CLAW_MODE="phases", CLAW_DRAIN_SECONDS="0")
    until(begun.exists)
    daemon.terminate()
    assert daemon.wait(20) == 0
    job = claw.job(job_id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert claw.held() is None


def test_the_resident_claw_runs_phases_too(claw: Claw) -> None:
    job_id = claw.submit({"phases": [{"run": "true"}, {"run": "true"}]})
    claw.start(CLAW_MODE="phases")
    assert len(claw.until_status(job_id, "done").result["phases"]) == 2


def test_a_job_that_was_taken_away_takes_no_later_one_along(claw: Claw) -> None:
    first = claw.submit({"run": "sleep 60"})
    claw.start(CLAW_MODE="phases")
    claw.until_status(first, "running")
    claw.spine.head.cancel(first)
    second = claw.submit({"run": "true"})
    job = claw.until_status(second, "done")
    assert job.attempts == 1
