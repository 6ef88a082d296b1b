"""The operator's commands as processes, beside a server that runs and without one."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.server import MakeProcess, Server, StartSpine
from tests.support.spine_process import SpineProcess

DAY_MS = 86_400_000


def spine(process: SpineProcess, *args: str | Path, data: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command with a server's settings; without its tokens, which no command on files alone may need."""
    env = {k: v for k, v in process.environment().items() if "TOKEN" not in k}
    if data is not None:
        env["SPINE_DATA_DIR"] = str(data)
    return subprocess.run(
        [sys.executable, "-m", "spine.cli", *map(str, args)],
        env=env, capture_output=True, text=True, timeout=180, cwd=process.folder,
    )  # fmt: skip


def upload(server: Server, data: bytes) -> str:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n' + data + b"\r\n--b--\r\n"
    answer = server.head.call("POST", "/blobs", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == 200, answer
    return str(answer.json["id"])


def age(data_dir: Path, days: int) -> None:
    """Move everything of a stopped store into the past."""
    with closing(sqlite3.connect(data_dir / "spine.db")) as store:
        store.execute("UPDATE jobs SET finished_at = finished_at - ? WHERE finished_at IS NOT NULL", (days * DAY_MS,))
        store.execute("UPDATE blobs SET created_at = created_at - ?", (days * DAY_MS,))
        store.commit()


def test_a_backup_beside_a_running_server_served_elsewhere(
    start_spine: StartSpine, process: MakeProcess, tmp_path: Path
) -> None:
    server = start_spine()
    blob = upload(server, b"hello")
    job = server.head.submit(meta={"see": blob}, needsReview=True)
    held = server.left.claim(job["id"])
    waiting = server.head.submit(after=[job["id"]])
    cursor = server.head.get("/events").json["nextCursor"]

    made = spine(server.process, "backup", tmp_path / "b")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == f"{tmp_path / 'b'}: 2 jobs (1 running, 1 waiting), 3 events, 1 blobs (0.0 MiB)\n"
    again = spine(server.process, "backup", tmp_path / "b")
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists" in again.stderr

    served = spine(server.process, "restore", tmp_path / "b", "--replace")
    assert served.returncode == 75
    assert f"served by process {server.process.worker_pid}" in served.stderr
    assert server.head.job(job["id"])["status"] == "running"

    elsewhere = process()
    done = spine(elsewhere, "restore", tmp_path / "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 running jobs queued again: {job['id']}" in done.stdout
    new = Server(elsewhere.start())
    back = new.head.job(job["id"])
    assert (back["status"], back["fence"], back["attempts"]) == ("queued", 1_000_001, 0)
    late = new.left.post(f"/jobs/{job['id']}/complete", {"fence": held["fence"], "result": 1})
    assert (late.status, late.error, late.json["lateResult"]) == (409, "stale_fence", "kept")
    v0 = new.left.post(f"/jobs/{job['id']}/complete", {"result": 1})
    assert (v0.status, v0.error) == (409, "not_running")
    assert new.head.get(f"/blobs/{blob}").body == b"hello"
    page = new.head.get(f"/events?cursor={cursor}").json
    assert (page["gap"], page["events"][0]["type"]) == (True, "job.created")
    fence = new.left.claim(job["id"])["fence"]
    assert fence == 1_000_002
    assert new.left.post(f"/jobs/{job['id']}/complete", {"fence": fence}).status == 200
    assert new.head.post(f"/jobs/{job['id']}/review", {"decision": "accept"}).status == 200
    assert new.head.job(waiting["id"])["status"] == "queued"
    assert server.head.job(job["id"])["status"] == "running", "the first server knows nothing of it"


def test_a_bad_backup_is_refused_by_its_own_exit_code(start_spine: StartSpine, tmp_path: Path) -> None:
    server = start_spine()
    server.head.submit()
    assert spine(server.process, "backup", tmp_path / "b").returncode == 0
    with (tmp_path / "b" / "spine.db").open("r+b") as file:
        file.seek(8000)
        file.write(b"?")
    refused = spine(server.process, "restore", tmp_path / "b", data=tmp_path / "new")
    assert (refused.returncode, refused.stdout) == (65, "")
    assert refused.stderr.startswith("spine: ")
    assert not (tmp_path / "new").exists()
    nothing = spine(server.process, "restore", tmp_path / "nothing", data=tmp_path / "new")
    assert nothing.returncode == 2, "an argument that is wrong"


def test_a_half_restored_directory_is_not_served(start_spine: StartSpine, process: MakeProcess) -> None:
    server = start_spine()
    server.process.stop()
    (server.process.data_dir / "restore.unfinished").write_text("before-restore-x\n")
    cut = process(server.process.folder)
    cut.launch()
    assert cut.wait() != 0
    assert "was interrupted; run the same `spine restore` again" in cut.log_tail()


def test_import_beside_a_server_is_refused_and_then_done(start_spine: StartSpine, tmp_path: Path) -> None:
    v0 = tmp_path / "v0"
    (v0 / "jobs").mkdir(parents=True)
    job = {
        "id": "v0job1", "target": "left-claw", "status": "running", "createdAt": "2026-01-01T10:00:00.000Z",
        "updatedAt": "2026-01-01T10:00:00.000Z", "createdBy": "head", "claimedBy": "left-claw",
        "leaseUntil": "2026-01-01T10:05:00.000Z", "attempts": 1, "maxAttempts": 5, "spec": "work", "meta": {},
        "comments": [], "result": None, "error": None,
    }  # fmt: skip
    (v0 / "jobs" / "v0job1.json").write_text(json.dumps(job, indent=2))
    server = start_spine()
    busy = spine(server.process, "import", v0)
    assert (busy.returncode, busy.stdout) == (75, "")
    tried = spine(server.process, "import", v0, "--dry-run")
    assert tried.returncode == 0, "a look is always allowed"
    assert "would be imported" in tried.stdout
    assert server.head.get("/jobs/v0job1").status == 404
    assert server.process.stop() == 0
    done = spine(server.process, "import", v0)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "        imported, skipped, broken",
        "job            1        0        0",
        "blob           0        0        0",
        "imported  job     v0job1.json: was running; queued, its attempt counted",
    ]
    new = Server(server.process.start())
    claimed = new.left.claim("v0job1")
    assert (claimed["attempts"], claimed["fence"], claimed["spec"]) == (2, 2, "work")
    assert new.left.post("/jobs/v0job1/complete", {"result": "done"}).status == 200, "as a v0 client does"


def test_jobs_that_retention_deleted_are_gone(start_spine: StartSpine) -> None:
    server = start_spine()
    blob = upload(server, b"hello")
    old, kept = server.head.submit(meta={"see": blob})["id"], server.head.submit()["id"]
    server.left.claim(old)
    assert server.left.post(f"/jobs/{old}/complete").status == 200
    assert server.process.stop() == 0
    age(server.process.data_dir, 31)
    server.process.start(SPINE_RETENTION_DAYS="30")
    head = server.head
    eventually(lambda: head.get(f"/jobs/{old}").status == 410)
    gone = head.get(f"/jobs/{old}")
    assert (gone.error, gone.json["jobId"], gone.json["status"]) == ("gone", old, 410)
    assert gone.json["endedAt"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for path in ("events", "attempts", "log", "why"):
        assert (path, head.get(f"/jobs/{old}/{path}").status) == (path, 410)
    for verb in ("heartbeat", "complete", "fail", "release", "claim"):
        assert (verb, server.left.post(f"/jobs/{old}/{verb}").status) == (verb, 410)
    for verb in ("cancel", "retry"):
        assert (verb, head.post(f"/jobs/{old}/{verb}").status) == (verb, 410)
    assert head.post(f"/jobs/{old}/comment", {"text": "?"}).status == 410
    eventually(lambda: head.get(f"/blobs/{blob}").status == 404)
    assert not any((server.process.data_dir / "blobs").glob("*/blob_*"))
    assert [job["id"] for job in head.get("/jobs").json["jobs"]] == [kept]
    assert server.process.stop() == 0
    assert server.process.faults() == []
    server.process.start()


def test_the_doctor_beside_a_running_server(start_spine: StartSpine) -> None:
    server = start_spine()
    server.head.submit()
    upload(server, b"hello")
    result = subprocess.run(
        [sys.executable, "-m", "spine.cli", "doctor", "--json"],
        env=server.process.environment(), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    checks = {check["name"]: check["state"] for check in json.loads(result.stdout)["checks"]}
    assert (result.returncode, result.stderr) == (0, "")
    names = ("settings", "data folder", "server", "disk", "wal", "schema", "integrity", "clock", "reaper", "blobs")
    assert checks == dict.fromkeys(names, "ok")
