"""What a person deploys from: a checkout, an inventory, the playbooks over SSH."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.eventually import eventually

from contract.procfs import over, stat_fields

ROOT = Path(__file__).resolve().parents[2]
NOT_COPIED = (
    ".git",
    ".venv",
    ".*cache",
    ".hypothesis",
    ".spinal-cord",
    "build",
    "secrets",
    "tests",
    "docs",
    "__pycache__",
)
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


class Played(NamedTuple):
    """How a playbook ended, what it printed, and how many changes it made on each machine."""

    code: int
    text: str

    @property
    def changed(self) -> dict[str, int]:
        """Changes by machine, the controller included."""
        return {name: int(changed) for name, changed, _, _ in RECAP.findall(self.text)}


class Controller:
    """A checkout that releases are built from and deployed: a copy, so that a test may change it."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self._control = tempfile.mkdtemp(prefix="spine-test-")  # short: a socket's path is at most 108 bytes
        # What the wheelhouse is made of is here already; where it comes from makes no difference to what is deployed.
        self._environment = {
            **os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self._control, "ANSIBLE_NOCOLOR": "1", "HOME": str(folder.parent),
        }  # fmt: skip

    def release(self) -> str:
        """Build the release of this checkout; return its name."""
        said = self._run("release", "--platform", "linux-x86_64", "--python", "3.11")
        assert said.code == 0, said.text
        return said.text.split()[-1]

    def bump(self, version: str) -> str:
        """Make this checkout another version, and build its release; return its name."""
        project = self.folder / "pyproject.toml"
        text = re.sub(r'^version = ".*"', f'version = "{version}"', project.read_text(), flags=re.MULTILINE)
        project.write_text(text)
        return self.release()

    def play(self, inventory: Path, playbook: str, *words: str, code: int | None = 0) -> Played:
        """Run a playbook; one that ends with another code is an AssertionError with all that it printed."""
        played = self._run("play", "--inventory", str(inventory), playbook, *words)
        assert code is None or played.code == code, played.text
        return played

    def begin(self, inventory: Path, playbook: str) -> "subprocess.Popen[bytes]":
        """Start a playbook in a process group of its own."""
        words = self._words("play", "--inventory", str(inventory), playbook)
        return subprocess.Popen(
            words, env=self._environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def doctor(self, inventory: Path) -> tuple[int, dict[str, dict[str, Any]]]:
        """Return how `make doctor` ends, and what it tells of each machine."""
        said = self._run("doctor", "--inventory", str(inventory), "--json")
        assert said.code in (0, 1), said.text
        machines = json.loads(said.text.splitlines()[-1])["machines"]
        return said.code, {machine["machine"]: machine for machine in machines}

    def images(self) -> None:
        """Build the images of this checkout's release."""
        said = self._run("images", "--platform", "linux-x86_64", seconds=900)
        assert said.code == 0, said.text

    @property
    def releases(self) -> Path:
        """Where the files of releases lie."""
        return self.folder / "build" / "releases"

    def close(self) -> None:
        """End the connections that are kept open."""
        shutil.rmtree(self._control, ignore_errors=True)

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, str(self.folder / "ansible" / "controller.py"), *words]

    def _run(self, *words: str, seconds: int = 1200) -> Played:
        done = subprocess.run(
            self._words(*words), env=self._environment, text=True, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Played(done.returncode, done.stdout)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill -9 a process and all that it has started, and wait until they are gone.

    Ansible's workers are in sessions of their own: they would go on with their task, and keep the lock meanwhile.
    """
    os.killpg(process.pid, signal.SIGSTOP)  # nothing new is started while we look
    family = [process.pid]
    for pid in family:
        family += _children(pid)
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(20)
    eventually(lambda: not any(map(_lives, family)), 20, what="their end")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def _lives(pid: int) -> bool:
    return not over(stat_fields(pid) or [])
