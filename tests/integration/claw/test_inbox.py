"""A message reaches a real claw, idle or at work, and stays there for its jobs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.claw.conftest import SERVICES, Claw, until


def command(claw: Claw, *words: str, **env: str) -> str:
    """Run a command of the claw's in its state folder."""
    found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVICES), "HOME": str(claw.folder), "LANG": "C.UTF-8"}
    line = [sys.executable, "-m", "claw.cli", *words]
    return subprocess.run(
        line, env=found | {"CLAW_STATE_DIR": str(claw.state)} | env, capture_output=True, text=True, check=True
    ).stdout


def test_an_idle_claw_hears_and_acknowledges_and_answers(claw: Claw) -> None:
    claw.start()
    head = claw.spine.head
    until(lambda: any(m.name == claw.name for m in head.machines().machines))
    sent = head.send_message({"to": claw.name, "text": "read\nthis", "kind": "decision"})
    until(lambda: head.message(sent.id).receipts[0].state == "read")
    (kept,) = json.loads(command(claw, "inbox", "--json"))["messages"]
    assert (kept["id"], kept["text"], kept["by"]) == (sent.id, "read\nthis", "head")
    assert command(claw, "inbox").splitlines()[1:] == ["    read", "    this"]
    token = {"SPINE_BASE_URL": claw.spine.url, "SPINE_TOKEN": f"token-of-{claw.name}-in-tests"}
    command(claw, "tell", "understood", "--reply-to", sent.id, **token)
    answers = [m for m in head.messages(box="inbox", thread=sent.id).messages if m.by == claw.name]
    assert [m.text for m in answers] == ["understood"]
    command(claw, "inbox", "--drop", sent.id)
    assert json.loads(command(claw, "inbox", "--json")) == {"messages": []}


def test_a_job_at_work_finds_it(claw: Claw, tmp_path: Path) -> None:
    job_id = claw.submit({"run": 'until cat "$SPINE_INBOX"/*.json; do sleep 0.1; done 2>/dev/null'})
    claw.start()
    claw.until_status(job_id, "running")
    claw.spine.head.send_message({"to": claw.name, "text": "while you run"})
    job = claw.until_status(job_id, "done")
    assert "while you run" in job.result["notes"]
