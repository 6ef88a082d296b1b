"""A real `spine-head loop`: started, ended by a signal, started again; what it printed, and what it keeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.spine_process import REPO, TOKENS

# Sends a job back until its third round, and leaves a line for each time that it was asked.
REVIEWER = """
import json, sys
job = json.load(sys.stdin)
with open("asked", "a") as out:
    out.write(f"{job['id']} {job['round']}\\n")
if job["round"] < 3:
    print(f"again, after round {job['round']}")
    sys.exit(10)
"""


class LoopProcess:
    """`spine-head loop` in a folder of its own, that may be killed and started again."""

    def __init__(self, folder: Path, url: str, policy: dict[str, Any]) -> None:
        self.folder, self.url = folder, url
        folder.mkdir(exist_ok=True)
        (folder / "policy.json").write_text(json.dumps(policy))
        (folder / "reviewer.py").write_text(REVIEWER)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "loop.log"

    def launch(self, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start one more loop on the same state."""
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPO / "services"),
            "SPINE_BASE_URL": self.url,
            "SPINE_TOKEN": TOKENS["HEAD_TOKEN"],
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "head.cli", "loop", "--policy", "policy.json", "--json", *words]
            return subprocess.Popen(command, env=given | env, cwd=self.folder, stdout=log, stderr=log)

    def start(self, **env: str) -> "LoopProcess":
        self.process = self.launch(**env)
        return self

    def end(self, number: signal.Signals) -> int:
        """Send a signal; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def said(self) -> list[dict[str, Any]]:
        """Every line that the loops have printed."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def asked(self) -> list[str]:
        """What the reviewer was asked: a job and its round a line."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def state(self) -> Any:
        """The file in which it keeps its place."""
        return json.loads((self.folder / ".spine/head-loop.json").read_text())

    def kept(self) -> bool:
        """Tell whether it has stored a place."""
        return (self.folder / ".spine/head-loop.json").exists() and not self.state()["listing"]
