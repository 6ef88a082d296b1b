"""`spine import --from` as a process, and what is served then: to a head, and to those who knew the old server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.spine.test_operations import spine
from tests.support.foreign_stores import BrokerFile, SkyclawFile
from tests.support.raw_http import Api
from tests.support.server import MakeProcess, Server, StartSpine
from tests.support.spine_process import SpineProcess

SKYCLAW = {"x-skyclaw-token": "skyclaw-token-0001"}
BOT, WORKER = {"X-Bot-Token": "bot-token-00001"}, {"X-Worker-Token": "worker-token-001"}
PLAN_ID = "0a1b2c3d-0000-4000-8000-00000000000f"
SECOND = 1_767_261_600


def doctor(process: SpineProcess) -> tuple[int, list[str]]:
    """Run `spine doctor` on a store that nobody serves; return its exit code and the checks that are not ok."""
    done = subprocess.run(
        [sys.executable, "-m", "spine.cli", "doctor", "--json"],
        env=process.environment(), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, [check["name"] for check in checks if check["state"] != "ok"]


def call(server: Server, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
    """Call in a foreign dialect; return the JSON."""
    sent = None if body is None else json.dumps(body).encode()
    answer = Api(server.port).call(method, path, sent, {"Content-Type": "application/json", **headers})
    assert answer.status == 200, answer
    return answer.json


def test_a_coordinator_moves_and_its_hosts_go_on(start_spine: StartSpine, tmp_path: Path) -> None:
    old = SkyclawFile(tmp_path / "coordinator.db")
    old.host("box")
    old.job("job_q", requirement={"requiredCapabilities": ["shell"]})
    old.job(
        "job_l", "leased", createdAt="2026-01-01T09:59:00.000Z", attempts=1, assignedHostId="box",
        leaseExpiresAt="2026-01-01T10:06:00.000Z",
    )  # fmt: skip
    old.job(
        "job_d", "completed", createdAt="2026-01-01T09:58:00.000Z", attempts=1, assignedHostId="box",
        updatedAt="2026-01-01T09:59:00.000Z",
        result={"finishedAt": "2026-01-01T09:59:00.000Z", "durationMs": 5, "exitCode": 0, "stdout": "x", "stderr": ""},
    )  # fmt: skip
    old.job("job_x", createdAt=12)
    server = start_spine(SKYCLAW_TOKEN="skyclaw-token-0001", SKYCLAW_COORDINATOR_NODE_ID="node-1")
    before = old.path.read_bytes()
    tried = spine(server.process, "import", "--from", "skyclaw", "--dry-run", old.path)
    assert (tried.returncode, tried.stderr) == (3, "")
    assert tried.stdout.splitlines() == [
        "        would be imported, skipped, broken",
        "host           1        0        0",
        "job            3        0        1",
        "broken    job     job_x: createdAt: expected 1 to 64 characters",
        "imported  job     job_l: was running; queued, its attempt counted",
    ]
    assert server.head.get("/jobs").json["jobs"] == []
    busy = spine(server.process, "import", "--from", "skyclaw", old.path)
    assert (busy.returncode, busy.stdout) == (75, "")
    assert server.process.stop() == 0
    done = spine(server.process, "import", "--from", "skyclaw", old.path)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == tried.stdout.replace("would be ", "")
    assert doctor(server.process) == (0, ["server"])
    again = spine(server.process, "import", "--from", "skyclaw", old.path)
    assert again.stdout.splitlines()[1:3] == [
        "host           0        1        0",
        "job            0        3        1",
    ]
    assert old.path.read_bytes() == before

    new = Server(server.process.start())
    jobs = new.head.get("/jobs").json["jobs"]
    assert [(job["id"], job["status"], job["requires"], job["attempts"]) for job in jobs] == [
        ("job_d", "done", ["shell", "skyclaw"], 1),
        ("job_l", "queued", ["shell", "skyclaw"], 1),
        ("job_q", "queued", ["shell", "skyclaw"], 0),
    ]
    (machine,) = [m for m in new.head.get("/machines").json["machines"] if m["name"] == "skyclaw:box"]
    assert machine["capabilities"] == ["automaton", "shell", "skyclaw"]
    state = call(new, "GET", "/v1/state", SKYCLAW)
    assert [(job["id"], job["status"]) for job in state["jobs"]] == [
        ("job_d", "completed"),
        ("job_l", "queued"),
        ("job_q", "queued"),
    ]
    assert state["jobs"][0]["result"] == {
        "finishedAt": "2026-01-01T09:59:00.000Z", "durationMs": 5, "exitCode": 0, "stdout": "x", "stderr": "",
    }  # fmt: skip
    assert [(h["id"], h["name"], h["maxParallel"], h["activeLeases"]) for h in state["hosts"]] == [
        ("box", "gpu box", 2, 0)
    ]
    assert state["hosts"][0]["registeredAt"] == "2026-01-01T09:00:00.000Z"
    # The host never heard of the move: it reports what it had leased, and claims the next.
    ended = call(new, "POST", "/v1/jobs/job_l/complete", SKYCLAW, {"hostId": "box", "success": True, "stdout": "late"})
    assert ended["job"]["status"] == "completed"
    claimed = call(new, "POST", "/v1/hosts/box/claim", SKYCLAW, {})["job"]
    assert (claimed["id"], claimed["attempts"], claimed["status"]) == ("job_q", 1, "leased")
    assert new.head.job("job_l")["result"] == {"stdout": "late"}


def test_a_broker_moves_with_the_plans_of_its_runner(start_spine: StartSpine, tmp_path: Path) -> None:
    old = BrokerFile(tmp_path / "broker.db")
    old.job("r", "running", created_at=SECOND - 60, started_at=SECOND, lease_until=SECOND + 60, worker_id="wsl")
    old.job("q", requires='{"caps": ["gpu"]}')
    old.job("d", "done", created_at=SECOND - 90, started_at=SECOND - 80, finished_at=SECOND, result="pong: hi")
    state = tmp_path / "state"
    (state / "plans").mkdir(parents=True)
    plan = {"type": "plan", "plan_id": PLAN_ID, "summary": "s", "proposed_actions": [], "requires_approval": True}
    (state / "plans" / f"{PLAN_ID}.json").write_text(json.dumps(plan, indent=2))
    server = start_spine(BOT_TOKEN="bot-token-00001", WORKER_TOKEN="worker-token-001")
    assert server.process.stop() == 0
    done = spine(server.process, "import", "--from", "broker", "--plans", state, old.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "        imported, skipped, broken",
        "job            3        0        0",
        "plan           1        0        0",
        "imported  job     r: was running; queued, its attempt counted",
    ]
    assert doctor(server.process) == (0, ["server"])
    new = Server(server.process.start())
    assert [(job["id"], job["status"]) for job in new.head.get("/jobs").json["jobs"]] == [
        ("d", "done"),
        ("r", "queued"),
        ("q", "queued"),
        (PLAN_ID, "done"),
    ]
    assert call(new, "GET", "/broker/jobs/d", BOT) == {
        "id": "d", "created_at": SECOND - 90, "started_at": SECOND - 80, "finished_at": SECOND, "lease_until": None,
        "status": "done", "command": "ping", "payload": "hi", "result": "pong: hi", "error": None, "worker_id": None,
    }  # fmt: skip
    # The runner never heard of the move: it reports what it had taken.
    told = call(new, "POST", "/broker/jobs/r/result", WORKER | {"X-Worker-Id": "wsl"}, {"result": "late"})
    assert told == {"ok": True, "status": "done"}
    assert call(new, "GET", "/broker/jobs/next", WORKER | {"X-Worker-Id": "wsl"}) == {"job": None}
    fit = call(new, "GET", "/broker/jobs/next", WORKER | {"X-Worker-Id": "wsl", "X-Worker-Caps": "gpu"})
    assert fit["job"]["id"] == "q"
    # Its plan can be approved here, once.
    body = {"command": "approve_echo", "payload": PLAN_ID}
    first = call(new, "POST", "/broker/jobs", BOT, body)["id"]
    spec = new.head.job(first)["spec"]
    assert (spec["plan"]["id"], spec["plan"]["jobId"]) == (PLAN_ID, PLAN_ID)
    second = call(new, "POST", "/broker/jobs", BOT, body)["id"]
    assert call(new, "GET", f"/broker/jobs/{second}", BOT)["status"] == "failed"


def test_words_that_do_not_fit_together_are_refused(process: MakeProcess, tmp_path: Path) -> None:
    old = SkyclawFile(tmp_path / "coordinator.db")
    (tmp_path / "v0" / "jobs").mkdir(parents=True)
    free = process()
    for words, code, said in [
        (["import", old.path], 2, "PATH: expected a folder, as --from is v0"),
        (["import", "--from", "skyclaw", tmp_path / "v0"], 2, "PATH: expected a file, as --from is skyclaw"),
        (["import", "--plans", tmp_path, tmp_path / "v0"], 2, "--plans goes with --from broker"),
        (["import", "--from", "redis", old.path], 2, "'redis' is not one of 'v0', 'skyclaw', 'broker'"),
        (["import", "--from", "broker", old.path], 1, "is no database of an OpenClaw Broker"),
    ]:
        done = spine(free, *words)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (code, "", False)
        assert said in done.stderr
    assert not free.data_dir.exists()
