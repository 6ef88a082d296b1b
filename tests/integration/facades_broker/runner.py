"""A runner that does what the real one does, no more (contract: Broker, section 7); run as a process of its own.

It polls, runs one job at a time, posts three times at most, and keeps nothing on disk but plans. It has no heartbeat
and no signal handling. For the tests alone: what it ran is written to `ran` in its state folder, one line a job, and
while a file `hold` is there a job is not finished.
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

URL, TOKEN, WORKER_ID = os.environ["BROKER_URL"].rstrip("/"), os.environ["WORKER_TOKEN"], os.environ["WORKER_ID"]
STATE, POLL = Path(os.environ["RUNNER_STATE_DIR"]), float(os.environ["POLL_INTERVAL_SEC"])
HEADERS = {"X-Worker-Token": TOKEN, "X-Worker-Id": WORKER_ID, "X-Worker-Caps": '["repo_tools"]'}
COMMANDS = ["ping", "capabilities", "plan_echo", "approve_echo"]
PAUSES = (0.5, 1.0)


def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Make a call; OSError when there is no answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = HEADERS | ({} if data is None else {"Content-Type": "application/json"})
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(errors="replace")


def post(path: str, body: Any) -> None:
    """Post an outcome: 200 ends it, so does any 4xx; anything else is tried three times, then it is dropped."""
    for pause in (*PAUSES, None):
        told: object
        try:
            status, told = call("POST", path, body)
            if status == 200:
                return
            if 400 <= status < 500:
                print(f"refused {path}: {status} {told}", flush=True)
                return
        except OSError as e:
            told = e
        print(f"failed {path}: {told}", flush=True)
        if pause is not None:
            time.sleep(pause)
    print(f"dropped {path}", flush=True)


def run(command: str, payload: str) -> str:
    """Return the result text; an exception is the failure."""
    if command == "ping":
        return f"pong: {payload}"
    if command == "capabilities":
        return json.dumps({"worker_id": WORKER_ID, "capabilities": COMMANDS, "version": "mvp"})
    if command == "plan_echo":
        plan = {
            "type": "plan",
            "plan_id": str(uuid.uuid4()),
            "summary": f"Echo plan for: {payload[:200]}" if payload.strip() else "Echo plan (no payload)",
            "proposed_actions": ["(no-op)"],
            "requires_approval": True,
        }
        (STATE / "plans" / f"{plan['plan_id']}.json").write_text(json.dumps(plan, indent=2))
        return json.dumps(plan)
    if command == "approve_echo":
        plan_id = payload.strip()
        if not plan_id:
            raise ValueError("plan_id required")
        if not (STATE / "plans" / f"{plan_id}.json").exists():
            raise ValueError("unknown plan_id")
        told = {"status": "approved", "applied": False, "note": "no-op (scaffold)"}
        return json.dumps({"type": "approval", "plan_id": plan_id} | told)
    return f"unknown command: {command}"


def main() -> None:
    """Poll for ever."""
    (STATE / "plans").mkdir(parents=True, exist_ok=True)
    while True:
        try:
            status, told = call("GET", "/jobs/next")
            if status != 200:
                raise OSError(f"{status} {told}")
        except OSError as e:
            print(f"poll failed: {e}", flush=True)
            time.sleep(POLL)
            continue
        job = told["job"]
        if job is None:
            time.sleep(POLL)
            continue
        with (STATE / "ran").open("a") as ran:
            ran.write(job["id"] + "\n")
        try:
            result = run(job.get("command", ""), job.get("payload", ""))
        except Exception as e:  # noqa: BLE001 (whatever it is becomes the job's error)
            post(f"/jobs/{job['id']}/fail", {"error": str(e) or "unknown"})
            continue
        while (STATE / "hold").exists():
            time.sleep(0.02)
        post(f"/jobs/{job['id']}/result", {"result": result})


if __name__ == "__main__":
    main()
