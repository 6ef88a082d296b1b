"""A backup taken while the fleet works, restored elsewhere: nothing is missing, no old fence counts, work goes on."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.conftest import NAMES, spine_settings, token_of
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

pytestmark = pytest.mark.acceptance

SUBMITTERS = 3
AHEAD = 150  # how many jobs the submitters may be ahead of the workers
STEP = 1_000_000


@pytest.fixture
def spine(tmp_path: Path) -> Iterator[SpineProcess]:
    """A server whose leases outlast the test: what is held at the backup is held by someone."""
    server = SpineProcess(tmp_path / "spine", spine_settings(LEASE_SECONDS="600", SPINE_ACCEPT_LEASE_SECONDS="600"))
    try:
        yield server.start()
    finally:
        server.kill9()


class Load:
    """Heads that submit and claws that work, until they are told to stop; what was acknowledged, and when."""

    def __init__(self, port: int) -> None:
        self.head = Api(port, TOKENS["HEAD_TOKEN"])
        self.claws = [Api(port, token_of(name), f"{name}-1") for name in NAMES[:3]]
        self.created: dict[str, float] = {}
        self.done: dict[str, tuple[float, Any]] = {}
        self.blobs: dict[str, tuple[float, bytes]] = {}
        self.claimed: dict[str, tuple[str, int]] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(SUBMITTERS + len(self.claws))
        self._running = [self._pool.submit(self._submit, n) for n in range(SUBMITTERS)]
        self._running += [self._pool.submit(self._work, claw) for claw in self.claws]

    def stop(self) -> None:
        """End the load; a fault of one of its threads is raised here."""
        self._stop.set()
        for one in self._running:
            one.result(timeout=60)
        self._pool.shutdown()

    def _submit(self, thread: int) -> None:
        n = 0
        while not self._stop.is_set():
            if len(self.created) - len(self.done) > AHEAD:
                self._stop.wait(0.002)
                continue
            n += 1
            meta: dict[str, Any] = {"n": [thread, n], "text": "x" * 2000}
            if n % 10 == 0:
                data = f"blob {thread} {n} ".encode() * 500
                meta["blob"] = blob = upload(self.head, data)
                self.blobs[blob] = (time.monotonic(), data)
            job = self.head.submit(target="any", meta=meta, priority=n % 3)
            self.created[job["id"]] = time.monotonic()

    def _work(self, claw: Api) -> None:
        while not self._stop.is_set():
            for job in claw.claim_next(max=3, wait=0.2):
                job_id, fence = job["id"], job["fence"]
                self.claimed[job_id] = (claw.worker_id or "", fence)
                if self._stop.is_set():
                    continue  # held, and never finished here
                log = claw.call("POST", f"/jobs/{job_id}/log?offset=0", b"working\n", {"X-Spine-Fence": str(fence)})
                assert log.status == 200, log
                answer = claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"by": claw.worker_id}})
                assert answer.status == 200, answer
                self.done[job_id] = (time.monotonic(), {"by": claw.worker_id})


def upload(api: Api, data: bytes) -> str:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n' + data + b"\r\n--b--\r\n"
    answer = api.call("POST", "/blobs", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == 200, answer
    return str(answer.json["id"])


def command(server: SpineProcess, *args: str | Path) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "spine.cli", *map(str, args)],
        env=server.environment(), capture_output=True, text=True, timeout=180, cwd=server.folder,
    )  # fmt: skip
    assert found.returncode == 0, found
    return found.stdout


def test_a_backup_under_load_restored_elsewhere(spine: SpineProcess, tmp_path: Path) -> None:
    load = Load(spine.port)
    eventually(lambda: len(load.done) > 200, 30, what="a fleet at work")
    cursor = load.head.get("/events?limit=1").json["nextCursor"]

    began = time.monotonic()
    command(spine, "backup", tmp_path / "backup")
    ended = time.monotonic()
    during = sum(began < at < ended for at, _ in load.done.values())
    assert during > 10, "the fleet went on while the backup was made"
    after = len(load.done)
    eventually(lambda: len(load.done) > after + 50, 30, what="work after the backup")
    load.stop()
    assert spine.faults() == []

    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_bytes())
    assert manifest["damaged"] == []
    elsewhere = SpineProcess(tmp_path / "elsewhere", spine_settings())
    told = command(elsewhere, "restore", tmp_path / "backup")
    assert f"{manifest['jobs'].get('running', 0)} running jobs queued again" in told
    try:
        elsewhere.start()
        check_all_is_there(Api(elsewhere.port, TOKENS["HEAD_TOKEN"]), load, began, manifest)
        check_cursor(Api(elsewhere.port, TOKENS["HEAD_TOKEN"]), cursor)
        check_no_old_fence_counts(elsewhere.port, load)
        check_the_fleet_goes_on(elsewhere.port)
        assert elsewhere.stop() == 0
        assert elsewhere.faults() == []
    finally:
        elsewhere.kill9()


def check_all_is_there(head: Api, load: Load, began: float, manifest: dict[str, Any]) -> None:
    """Nothing that was acknowledged before the backup began is missing or less than it was."""
    jobs = {job["id"]: job for job in head.get("/jobs").json["jobs"]}
    assert sum(manifest["jobs"].values()) == len(jobs) < len(load.created), "some came after the snapshot"
    assert {job_id for job_id, at in load.created.items() if at < began} <= set(jobs)
    ends = {job_id: result for job_id, (at, result) in load.done.items() if at < began}
    assert len(ends) > 200
    assert {job_id: (jobs[job_id]["status"], jobs[job_id]["result"]) for job_id in ends} == {
        job_id: ("done", result) for job_id, result in ends.items()
    }
    assert {job["status"] for job in jobs.values()} <= {"queued", "done"}, "nobody holds anything"
    named = {job["meta"]["blob"] for job in jobs.values() if "blob" in job["meta"]}
    early = {blob for blob, (at, _) in load.blobs.items() if at < began}
    assert len(early) > 10
    for blob in early | named:
        answer = head.get(f"/blobs/{blob}")
        assert (answer.status, answer.body) == (200, load.blobs[blob][1])
    some = next(iter(ends))
    assert head.get(f"/jobs/{some}/log").body == b"working\n"
    types = [event["type"] for event in head.events(some)]
    assert types == ["job.created", "job.claimed", "job.completed"]


def check_cursor(head: Api, cursor: str) -> None:
    """A reader of the first store's events is sent back to the beginning."""
    page = head.get(f"/events?limit=1&cursor={cursor}").json
    assert (page["gap"], page["events"][0]["type"]) == (True, "job.created")


def check_no_old_fence_counts(port: int, load: Load) -> None:
    """No claim made before the restore, whether the backup knew of it or not, moves a job that has not ended."""
    head = Api(port, TOKENS["HEAD_TOKEN"])
    open_jobs = {job["id"]: job for job in head.get("/jobs?status=queued").json["jobs"]}
    held = [(job_id, *load.claimed[job_id]) for job_id in open_jobs if job_id in load.claimed]
    assert held, "some were held, or finished, after the snapshot"
    for job_id, worker, fence in held:
        claw = Api(port, token_of(worker.removesuffix("-1")), worker)
        for verb in ("heartbeat", "release", "fail", "complete"):
            answer = claw.post(f"/jobs/{job_id}/{verb}", {"fence": fence})
            assert (answer.status, answer.error) == (409, "stale_fence"), (verb, answer)
            assert claw.post(f"/jobs/{job_id}/{verb}").error == "not_running", "nor as a v0 client"
        now = head.job(job_id)
        assert (now["status"], now["fence"], now["attempts"]) == ("queued", open_jobs[job_id]["fence"], 0)


def check_the_fleet_goes_on(port: int) -> None:
    """The same claws take what is queued, and new work, under fences that nobody has had before."""
    head = Api(port, TOKENS["HEAD_TOKEN"])
    for _ in range(20):
        head.submit(target="any")

    def work(name: str) -> None:
        claw = Api(port, token_of(name), f"{name}-1")
        while taken := claw.claim_next(max=5):
            for job in taken:
                assert job["fence"] > STEP or job["attempts"] == 1
                answer = claw.post(f"/jobs/{job['id']}/complete", {"fence": job["fence"]})
                assert answer.status == 200, answer

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, NAMES[:3]))
    jobs = head.get("/jobs").json["jobs"]
    assert {job["status"] for job in jobs} == {"done"}
    for job in jobs:
        outcomes = [attempt["outcome"] for attempt in head.attempts(job["id"])]
        assert outcomes in (["done"], ["expired", "done"]), outcomes
