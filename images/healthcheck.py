"""Tells whether the service of this container goes on: exit 0 when it does, 1 and one line when it does not.

A spine must answer /ready, which takes a write to its disk; a claw, head or chat front must have touched its file of
late, and not be stopped; and no container's first process may be stopped, as `docker kill --signal=STOP` does.
Standard library alone, and started with -IS: it runs every few seconds.
"""

import http.client
import os
import sys
import time
from pathlib import Path

ANSWER_SECONDS = 3.0
# The claw touches its file every 5 s; the head hears of the spine at least every 15 s, or gives up after 35; the chat
# front's loop touches its own every 5 s, whether or not it reaches anybody.
AGES = {
    "claw": ("CLAW_STATE_DIR", "alive", 20.0),
    "head": ("HEAD_STATE_DIR", "head-loop.alive", 60.0),
    "chat": ("CHAT_STATE_DIR", "alive", 30.0),
}


def spine() -> str | None:
    """Return what is wrong with the spine of this container, None for nothing."""
    host = os.environ.get("SPINE_HOST", "")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(host, int(os.environ.get("SPINE_PORT", "36725")), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/ready", headers={"User-Agent": "healthcheck"})
        answer = connection.getresponse()
        answer.read(4096)
    except (OSError, http.client.HTTPException) as e:
        return f"/ready: no answer ({e.__class__.__name__}: {e})"
    finally:
        connection.close()
    return None if answer.status == 200 else f"/ready: {answer.status}"


def touched(path: Path, longest: float) -> str | None:
    """Return what is wrong with the process that touches a file, None for nothing."""
    try:
        pid, age = int(path.read_text("ascii")), time.time() - path.stat().st_mtime
    except (OSError, ValueError) as e:
        return f"{path}: {e}"
    return halted(pid) or (f"process {pid} has not gone on for {age:.0f} s" if age > longest else None)


def halted(pid: int) -> str | None:
    """Tell that a process is stopped or dead; None for one that lives."""
    try:
        # "pid (name) state …", and a name may hold anything, also a parenthesis
        state = Path("/proc", str(pid), "stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError) as e:
        return f"process {pid}: {e}"
    return f"process {pid} is stopped or dead ({state})" if state in "TtZX" else None


def main() -> int:
    """Check the role that the argument names."""
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    if role == "spine":
        wrong = halted(1) or spine()
    elif role in AGES:
        variable, name, longest = AGES[role]
        wrong = halted(1) or touched(Path(os.environ[variable], name), longest)
    else:
        wrong = f"usage: healthcheck.py spine|{'|'.join(AGES)}"
    print(wrong or "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
