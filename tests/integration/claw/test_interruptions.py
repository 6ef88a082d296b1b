"""What happens to a job when a claw, its worker, the spine or the lease goes away in the middle."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.integration.claw.conftest import BRIEF_LEASE, Claw, Spine, git, until

from claw.process import identity

# Appends one line to a ledger outside the workspace, waits for a file named go, and appends another.
STEP = 'echo begin >> "$LEDGER"; while ! test -e "$GATE"; do sleep 0.05; done; echo end >> "$LEDGER"'


class Scene:
    """A ledger that jobs write to, and a gate that lets them go on."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.gate = folder / "ledger", folder / "gate"

    def spec(self, **more: object) -> dict[str, object]:
        return {"run": STEP, "env": {"LEDGER": str(self.ledger), "GATE": str(self.gate)}, **more}

    def lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self.ledger.read_text().split()
        return []

    def begun(self, times: int = 1) -> None:
        until(lambda: self.lines().count("begin") == times)

    def open(self) -> None:
        self.gate.touch()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def running_of(job_id: str) -> list[int]:
    return identity.marked({"SPINE_JOB_ID": job_id})


def test_a_restarted_claw_adopts_the_running_worker(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec())
    daemon = claw.start()
    scene.begun()
    worker = claw.worker_pid()
    daemon.kill()
    daemon.wait()
    claw.start()
    scene.open()
    job = claw.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)
    assert scene.lines() == ["begin", "end"]
    until(lambda: identity.start_mark(worker) is None)


def test_a_killed_worker_takes_its_children_along_and_the_job_is_tried_again(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec(), maxAttempts=2)
    claw.start()
    scene.begun()
    children = until(lambda: running_of(job_id))
    os.kill(claw.worker_pid(), signal.SIGKILL)
    scene.begun(2)
    assert not set(children) & set(running_of(job_id))
    scene.open()
    job = claw.until_status(job_id, "done")
    assert job.attempts == 2
    assert scene.lines() == ["begin", "begin", "end"]
    assert claw.spine.head.attempts(job_id)[0].error == "the claw's worker died in phase 1 before the job had ended"


def test_an_answer_to_a_claim_that_was_lost_is_asked_for_again(claw: Claw) -> None:
    job_id = claw.submit({"run": "true"})
    claw.start_armed("claw.claimed")
    claw.await_point("claw.claimed")
    held = claw.held()
    assert held is not None
    assert held.get("jobId", "") == ""
    claw.kill_all()
    claw.start()
    job = claw.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)


def test_a_job_written_down_and_not_begun_is_begun_after_a_restart(claw: Claw) -> None:
    job_id = claw.submit({"run": "true"})
    claw.start_armed("claw.state-written")
    claw.await_point("claw.state-written")
    claw.kill_all()
    claw.start()
    job = claw.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)


@pytest.mark.parametrize(("point", "attempts"), [("claw.before-first-heartbeat", 1), ("claw.phase-1", 2)])
def test_a_worker_killed_early_costs_an_attempt_only_once_a_phase_has_begun(
    claw: Claw, point: str, attempts: int
) -> None:
    job_id = claw.submit({"run": "true"})
    claw.start_armed(point)
    claw.await_point(point)
    claw.kill_all()
    claw.start()
    assert claw.until_status(job_id, "done").attempts == attempts


@pytest.mark.parametrize("point", ["claw.before-push", "claw.after-push"])
def test_finished_work_is_published_once_by_the_next_worker(claw: Claw, scene: Scene, repo: Path, point: str) -> None:
    scene.open()
    job_id = claw.submit(scene.spec(repo=str(repo)) | {"run": f"{STEP}; echo two >> file.txt"})
    claw.start_armed(point, CLAW_ALLOWED_REPOS=str(repo.parent))
    claw.await_point(point)
    claw.kill_all()
    claw.start(CLAW_ALLOWED_REPOS=str(repo.parent))
    job = claw.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)
    assert scene.lines() == ["begin", "end"]
    assert git(repo, "log", "--format=%s", f"spine/job-{job_id}").splitlines() == [f"Spine job {job_id}", "Begin"]
    assert git(repo, "show", f"spine/job-{job_id}:file.txt") == "one\ntwo"


def test_a_worker_killed_between_two_phases_is_followed_by_another(claw: Claw, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    phases = [{"run": f"echo one >> {ledger}"}, {"run": f"echo two >> {ledger}; sleep 1000"}]
    job_id = claw.submit({"phases": phases}, maxAttempts=1)
    claw.start_armed("claw.phase-2")
    claw.await_point("claw.phase-2")
    os.kill(claw.worker_pid(), signal.SIGKILL)
    # The second phase counts as begun: it may have done something.
    assert claw.until_status(job_id, "dead").error == "the claw's worker died in phase 2 before the job had ended"
    assert ledger.read_text() == "one\n"


@pytest.mark.parametrize("point", ["claw.result-written", "claw.result-sent"])
def test_a_result_on_disk_is_delivered_after_a_crash(claw: Claw, scene: Scene, point: str) -> None:
    scene.open()
    job_id = claw.submit(scene.spec())
    claw.start_armed(point)
    claw.await_point(point)
    claw.kill_all()
    assert (claw.held() or {})["outcome"]["action"] == "complete"
    claw.start()
    job = claw.until_status(job_id, "done")
    assert (job.attempts, job.fence) == (1, 1)
    assert scene.lines() == ["begin", "end"]
    until(lambda: not (claw.held() or {}).get("jobId"))
    assert not (claw.state / "undelivered").exists()


def test_a_result_refused_for_good_is_set_aside_and_the_claw_goes_on(claw: Claw) -> None:
    job_id = claw.submit({"run": "echo precious"})
    claw.start_armed("claw.result-written")
    claw.await_point("claw.result-written")
    claw.kill_all()
    claw.spine.head.fail(job_id, None, "ended by the head", requeue=False)  # type: ignore[arg-type]
    claw.start()
    kept = until(lambda: list((claw.state / "undelivered").glob("*.json")))
    content = json.loads(kept[0].read_bytes())
    assert content["reason"].startswith("not_running: ")
    assert content["state"]["outcome"]["result"]["notes"].endswith("precious")
    assert claw.until_status(claw.submit({"run": "true"}), "done")


def test_a_job_ended_by_the_head_is_killed_with_all_it_started(claw: Claw, scene: Scene) -> None:
    spec = {"run": "(setsid sleep 1000 &); trap '' TERM; echo begin >> $LEDGER; sleep 1000; sleep 1000"}
    job_id = claw.submit(scene.spec() | spec)
    claw.start()
    scene.begun()
    until(lambda: len(running_of(job_id)) >= 3)
    claw.spine.head.fail(job_id, None, "not wanted", requeue=False)  # type: ignore[arg-type]
    until(lambda: not running_of(job_id))
    until(lambda: not (claw.held() or {}).get("jobId"))
    assert claw.job(job_id).error == "not wanted"
    assert not (claw.state / "undelivered").exists()


@BRIEF_LEASE
def test_a_frozen_worker_changes_nothing_and_cannot_push(
    lone_claw: Claw, own_spine: Spine, scene: Scene, repo: Path
) -> None:
    claw = lone_claw
    job_id = claw.submit(scene.spec(repo=str(repo)) | {"run": f"{STEP}; echo $SPINE_FENCE > fence.txt"})
    claw.start(CLAW_ALLOWED_REPOS=str(repo.parent))
    scene.begun()
    worker = claw.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    until(lambda: claw.job(job_id).status == "queued")
    scene.open()
    until(lambda: not running_of(job_id))
    other = Claw(own_spine, claw.name, claw.folder.parent / "other")
    try:
        other.start(CLAW_ALLOWED_REPOS=str(repo.parent))
        job = other.until_status(job_id, "done")
    finally:
        other.kill_all()
    assert job.fence == 2
    os.kill(worker, signal.SIGCONT)
    attempts = until(lambda: (a := own_spine.head.attempts(job_id))[0].late_at and a)
    assert attempts[0].late_result["notes"].splitlines()[-1].startswith("not pushed: another claim was made")
    assert git(repo, "show", f"spine/job-{job_id}:fence.txt") == "2"
    assert claw.job(job_id).result == job.result
    until(lambda: not (claw.held() or {}).get("jobId"))


def test_sigterm_lets_a_short_job_end(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec())
    daemon = claw.start(CLAW_DRAIN_SECONDS="20")
    scene.begun()
    daemon.send_signal(signal.SIGTERM)
    scene.open()
    assert daemon.wait(20) == 0
    assert claw.job(job_id).status == "done"
    assert claw.held() is None


def test_sigterm_gives_a_long_job_back_without_counting_the_attempt(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec())
    daemon = claw.start(CLAW_DRAIN_SECONDS="0")
    scene.begun()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    job = claw.job(job_id)
    assert (job.status, job.attempts, job.release_reason) == ("queued", 0, "given back: the claw is stopping")
    assert running_of(job_id) == []
    assert claw.held() is None


def test_work_goes_on_while_the_spine_is_away_and_the_result_is_delivered_later(
    lone_claw: Claw, own_spine: Spine, scene: Scene
) -> None:
    job_id = lone_claw.submit(scene.spec())
    lone_claw.start()
    scene.begun()
    own_spine.stop(signal.SIGKILL)
    scene.open()
    until(lambda: (lone_claw.held() or {}).get("outcome"), 60)
    own_spine.start()
    job = lone_claw.until_status(job_id, "done", seconds=60)
    assert (job.attempts, job.fence) == (1, 1)
    assert scene.lines() == ["begin", "end"]


def test_a_broken_state_file_is_set_aside_and_reported(claw: Claw) -> None:
    claw.cli("tick")
    claw.state_file.write_text('{"jobId": "x", ')
    job_id = claw.submit({"run": "true"})
    done = claw.cli("tick")
    assert done.returncode == 0
    assert "was set aside as current-job.json.broken-" in done.stderr
    assert len(list(claw.state.glob("current-job.json.broken-*"))) == 1
    assert claw.until_status(job_id, "done").attempts == 1


def test_a_tick_beside_a_resident_claw_does_nothing(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec())
    claw.start()
    scene.begun()
    before = time.monotonic()
    done = claw.cli("tick")
    assert done.returncode == 0
    assert time.monotonic() - before < 20
    scene.open()
    assert claw.until_status(job_id, "done").attempts == 1


def test_ticks_alone_carry_a_worker_to_its_result(claw: Claw, scene: Scene) -> None:
    job_id = claw.submit(scene.spec())
    assert claw.cli("tick").returncode == 0
    scene.begun()
    assert claw.cli("tick").returncode == 0
    os.kill(claw.worker_pid(), signal.SIGKILL)
    until(lambda: not identity.alive(claw.worker_pid(), (claw.held() or {})["workerStart"]))
    assert claw.cli("tick").returncode == 0
    scene.open()
    assert claw.until_status(job_id, "done").attempts == 2
