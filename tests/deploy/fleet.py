"""A fleet of bare machines, deployed as a person does it: a checkout, an inventory, the playbooks over SSH."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.systemd_host import Host, Hosts

ROOT = Path(__file__).resolve().parents[2]
SPINE, HEAD, LEFT, RIGHT = (
    "spinal-spine.service",
    "spinal-head.service",
    "spinal-claw@left-claw.service",
    "spinal-claw@right-claw.service",
)
SERVICES = (SPINE, HEAD, LEFT, RIGHT)
MACHINES = ["head-box", "left-claw", "right-claw"]
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "tests", "docs", "__pycache__", "*.egg-info")
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
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
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
        return said.code, {
            machine["machine"]: machine for machine in json.loads(said.text.splitlines()[-1])["machines"]
        }

    def close(self) -> None:
        """End the connections that are kept open."""
        shutil.rmtree(self._control, ignore_errors=True)

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, str(self.folder / "ansible" / "controller.py"), *words]

    def _run(self, *words: str) -> Played:
        done = subprocess.run(
            self._words(*words), env=self._environment, text=True, timeout=400,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Played(done.returncode, done.stdout)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill -9 a process and all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


class Fleet:
    """Three machines: the head's, where the spine runs too, and two claws'. Their names are those of the inventory."""

    def __init__(self, hosts: Hosts, controller: Controller, folder: Path) -> None:
        self.hosts, self.controller = hosts, controller
        self.box, self.left, self.right = (hosts.start(name) for name in MACHINES)
        self.all = (self.box, self.left, self.right)
        self.secrets = folder / "secrets"
        self.inventory = folder / "hosts.yml"
        self.url = f"http://{self.box.address}:36725"
        folder.mkdir()
        address = self.box.address
        claw = {"claw_settings": {"CLAW_HEARTBEAT_SECONDS": 1, "CLAW_WAIT_SECONDS": 5, "CLAW_DRAIN_SECONDS": 3}}
        spine = {
            "spine_listen": ["127.0.0.1:36725", f"{address}:36725"],
            "spine_url": self.url,
            "spine_settings": {"LEASE_SECONDS": 20, "REAPER_INTERVAL_MS": 500},
        }
        known = hosts.known_hosts()
        self.content: dict[str, Any] = {
            "all": {
                "vars": {
                    "ansible_user": "deploy",
                    "ansible_become": True,
                    "ansible_ssh_private_key_file": str(hosts.key),
                    "ansible_ssh_common_args": f"-o UserKnownHostsFile={known}",
                },
                "children": {
                    "spine": {"hosts": {"head-box": {"ansible_host": address, **spine}}},
                    "head": {"hosts": {"head-box": None}},
                    "claws": {
                        "hosts": {host.name: {"ansible_host": host.address, **claw} for host in (self.left, self.right)}
                    },
                },
            }
        }
        self.inventory.write_text(yaml.safe_dump(self.content))

    def play(self, playbook: str, *words: str, code: int | None = 0) -> Played:
        """Run a playbook on the three machines."""
        return self.controller.play(self.inventory, playbook, *words, code=code)

    def doctor(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Ask how they do."""
        return self.controller.doctor(self.inventory)

    def token(self, name: str) -> str:
        """Return a token of the fleet."""
        return (self.secrets / f"{name}.token").read_text().strip()

    def head(self) -> Api:
        """The head, as a program elsewhere."""
        return Api(36725, self.token("head"), host=self.box.address)

    def submit(self, *words: str, seconds: int = 60) -> dict[str, Any]:
        """Submit a job on the head's machine as a person does, and wait for its end; return the job."""
        said = self.box.run(f"spine-head submit --wait --json {' '.join(words)}", seconds=seconds)
        job: dict[str, Any] = json.loads(said.text)
        return job

    def releases(self) -> dict[str, str]:
        """Return the release that is current on each machine; nothing where there is none."""
        look = "basename $(readlink /opt/spinal-cord/current) 2>/dev/null"
        return {host.name: host.run(look, check=False).text.strip() for host in self.all}

    def units(self) -> dict[str, int]:
        """Return the main processes of the fleet's services, 0 for one that does not run."""
        return {name: self.host_of(name).main_pid(name) for name in SERVICES}

    def until_all_run(self, but: Mapping[str, int] | None = None) -> None:
        """Wait until every service runs, in another process than before."""
        before = but or {}

        def look() -> bool:
            pids = self.units()
            return all(
                pid not in (0, before.get(unit)) and self.host_of(unit).active(unit) for unit, pid in pids.items()
            )

        eventually(look, 90, every=0.2, what="all services")

    def kill_all(self) -> dict[str, int]:
        """Kill -9 the main process of every service; return which they were."""
        pids = self.units()
        for unit, pid in pids.items():
            self.host_of(unit).run(f"kill -9 {pid}")
        return pids

    def crash_all(self) -> None:
        """Cut the power of all machines at once."""
        with ThreadPoolExecutor(len(self.all)) as pool:
            list(pool.map(Host.crash, self.all))

    def host_of(self, unit: str) -> Host:
        """Return the machine of a unit."""
        return {LEFT: self.left, RIGHT: self.right}.get(unit, self.box)
