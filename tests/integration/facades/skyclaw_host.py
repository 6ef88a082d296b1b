"""A host that does what the real daemon does, no more (contract: Skyclaw, section 8); run as a process of its own.

It registers once, beats on a timer, claims, runs the command, reports, and throws a result away that is refused. The
answer to a heartbeat replaces what it knows of itself. It has no signal handling.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

URLS = (os.environ.get("SKYCLAW_COORDINATOR_URLS") or os.environ["SKYCLAW_COORDINATOR_URL"]).split(",")
TOKEN, HOST_ID = os.environ["SKYCLAW_TOKEN"], os.environ["SKYCLAW_HOST_ID"]
POLL, HEARTBEAT = int(os.environ["SKYCLAW_POLL_MS"]) / 1000, int(os.environ["SKYCLAW_HEARTBEAT_MS"]) / 1000
record: dict[str, Any] = {}
answered = 0  # which of the addresses answered last


def post(path: str, body: Any) -> Any:
    """POST, to the address that answered last and then once to each of the others; raise when none gives a 2xx."""
    global answered
    headers = {"content-type": "application/json", "x-skyclaw-token": TOKEN}
    fault: OSError | None = None
    for n in range(len(URLS)):
        turn = (answered + n) % len(URLS)
        try:
            request = urllib.request.Request(URLS[turn] + path, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request) as response:
                found = json.load(response)
        except (OSError, http.client.HTTPException) as e:
            fault = e if isinstance(e, OSError) else OSError(repr(e))
            continue
        answered = turn
        return found
    assert fault is not None
    raise fault


def beat() -> None:
    """Tell the local count on a timer; take over what comes back, the count included."""
    while True:
        time.sleep(HEARTBEAT)
        try:
            record.update(post(f"/v1/hosts/{HOST_ID}/heartbeat", {"activeLeases": record["activeLeases"]})["host"])
        except OSError as e:
            print(f"heartbeat failed: {e}", flush=True)


def main() -> None:
    """Register, then claim for ever."""
    given = {"hostId": HOST_ID, "name": HOST_ID, "capabilities": ["shell", "automaton"], "maxParallel": 1}
    record.update(post("/v1/hosts/register", given)["host"])
    threading.Thread(target=beat, daemon=True).start()
    while True:
        try:
            job = post(f"/v1/hosts/{HOST_ID}/claim", {})["job"]
            if job is None:
                time.sleep(POLL)
                continue
            record["activeLeases"] += 1
            begun = time.monotonic()
            words = [job["payload"]["command"], *job["payload"].get("args", [])]
            ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            report = {
                "hostId": record["id"], "success": ran.returncode == 0, "exitCode": ran.returncode,
                "durationMs": round((time.monotonic() - begun) * 1000), "stdout": ran.stdout, "stderr": ran.stderr,
            }  # fmt: skip
            post(f"/v1/jobs/{job['id']}/complete", report)
            record["activeLeases"] -= 1
            print(f"completed {job['id']}", flush=True)
        except OSError as e:
            print(f"failed: {e}", flush=True)
            time.sleep(POLL)


if __name__ == "__main__":
    sys.exit(main())
