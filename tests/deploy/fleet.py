"""A fleet of three bare machines, deployed as a person does it."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from tests.deploy.controller import Controller, Played
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.systemd_host import Host, Hosts

SPINE, HEAD = "spinal-spine.service", "spinal-head.service"
LEFT, RIGHT = "spinal-claw@left-claw.service", "spinal-claw@right-claw.service"
SERVICES = (SPINE, HEAD, LEFT, RIGHT)
MACHINES = ["head-box", "left-claw", "right-claw"]


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
        self.content: dict[str, Any] = {
            "all": {
                "vars": hosts.login(),
                "children": {
                    "spine": {"hosts": {"head-box": {"ansible_host": address, **spine}}},
                    "head": {"hosts": {"head-box": None}},
                    "claws": {
                        "hosts": {host.name: {"ansible_host": host.address, **claw} for host in (self.left, self.right)}
                    },
                },
            }
        }
        self._write()

    def _write(self) -> None:
        self.inventory.write_text(yaml.safe_dump(self.content))

    @property
    def engine_address(self) -> str:
        """The address at which the machines reach the one that they are containers of."""
        return f"{self.box.address.rpartition('.')[0]}.1"

    def settle(self, name: str, **variables: Any) -> None:
        """Set variables of a machine in the inventory; a dictionary is laid over the one there, None takes one out."""
        (host,) = [
            group["hosts"][name]
            for group in self.content["all"]["children"].values()
            if group["hosts"].get(name) is not None
        ]
        for variable, value in variables.items():
            host[variable] = {**host.get(variable, {}), **value} if isinstance(value, dict) else value
            if value is None:
                del host[variable]
        self._write()

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

    def submit(self, *words: str, seconds: int = 180) -> dict[str, Any]:
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
