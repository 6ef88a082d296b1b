"""Schedules that were imported fire on a server that is started on the store, and the server holds the import off."""

import json
from pathlib import Path

from tests.integration.spine.test_operations import spine
from tests.support.eventually import eventually
from tests.support.server import MakeProcess, Server


def test_what_was_imported_fires(process: MakeProcess, tmp_path: Path) -> None:
    source = tmp_path / "jobs.json"
    jobs = [
        {"id": "1", "name": "Tick", "schedule": {"kind": "every", "everyMs": 1000}, "sessionTarget": "main",
         "payload": {"kind": "systemEvent", "text": "EXEC: echo tick"}},
        {"id": "2", "name": "Rest", "enabled": False, "schedule": {"kind": "every", "everyMs": 1000},
         "payload": {"kind": "agentTurn", "message": "Sleep."}},
    ]  # fmt: skip
    source.write_text(json.dumps({"version": 1, "jobs": jobs}))
    made = process()
    done = spine(made, "import-schedules", "--apply", "--json", source)
    assert (done.returncode, done.stderr) == (0, "")
    ids = {job["name"]: job["scheduleId"] for job in json.loads(done.stdout)["jobs"]}
    server = Server(made.start())

    def fired() -> list[dict[str, object]]:
        found: list[dict[str, object]] = server.head.get("/jobs").json["jobs"]
        return found

    job = eventually(fired, what="a job of the schedule")[0]
    assert (job["spec"], job["requires"], job["target"]) == ({"run": "echo tick"}, ["shell"], "any")
    shown = server.head.get(f"/schedules/{ids['Rest']}").json
    assert (shown["state"], shown["name"]) == ("paused", "Rest")
    assert {one["spec"] if isinstance(one["spec"], str) else "tick" for one in fired()} == {"tick"}

    held = spine(made, "import-schedules", "--apply", source)
    assert held.returncode == 75
    assert "served by process" in held.stderr
    dry = spine(made, "import-schedules", source)
    assert (dry.returncode, dry.stdout.splitlines()[0]) == (0, "0 to be imported, 2 imported before, 0 refused")
