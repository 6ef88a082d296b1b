"""The Compose project as a person has it, from a copy of compose/: up, down, and what can befall its containers."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import Any

# Its image may be out of reach; read when testcontainers is imported. What is left is swept by label.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from testcontainers.compose import DockerCompose
from tests.support.engine import ONE_STREAM, OWNER, START, free_net, labels, run_in
from tests.support.eventually import eventually, until_status
from tests.support.ledger import Ledger
from tests.support.spine_process import REPO, free_port, is_fault

from contract.head_client import HeadClient
from contract.retry import ONCE, RetryPolicy
from contract.wire import Job

SERVICES = ("spine", "head", "left-claw", "right-claw")
CLAWS = ("left-claw", "right-claw")
ROLES = ("head", "left-claw", "right-claw")
HOSTS = {"spine": 10, "head": 11, "left-claw": 12, "right-claw": 13}
OVERLAY = REPO / "tests" / "e2e" / "compose.test.yaml"
LEASE_SECONDS = 6
# An attempt ends soon, but no outage that a test makes without meaning to ends a lease.
QUICK = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "SPINE_ACCEPT_LEASE_SECONDS": "8",
    "REAPER_INTERVAL_MS": "200",
    "CLAW_HEARTBEAT_SECONDS": "1",
    "CLAW_TICK_SECONDS": "1",
    "CLAW_WAIT_SECONDS": "2",
    "CLAW_DRAIN_SECONDS": "5",
    "CLAW_KILL_GRACE_SECONDS": "1",
    "CLAW_LOG_LEVEL": "debug",
    "CLAW_ALLOWED_REPOS": "/ledger/",
}
STUBBORN = RetryPolicy(attempts=60, base_seconds=0.1, cap_seconds=1.0, total_seconds=90.0)
COMMAND_SECONDS = 240
# In a shell of a container: the process that Docker's init runs, which is what the image names.
MAIN = "$(cut -d' ' -f1 /proc/1/task/1/children)"
BUILD_SECONDS = 900


class Compose(DockerCompose):
    """Compose with a deadline for each command, and without what the environment of the tests says of a project."""

    def _run_command(self, cmd: str | list[str], context: str | None = None) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            cmd, cwd=context or str(self.context), env=clean_environ(), capture_output=True, timeout=COMMAND_SECONDS
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise ComposeFailed(f"{' '.join(cmd)}: exit {done.returncode}\n{said}", done.returncode)
        return done


class ComposeFailed(Exception):
    """A command of Compose failed; the message has what it said."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Stack:
    """One Compose project with addresses, a port and a ledger of its own.

    Args:
        folder: gets `compose/`, a copy of the checkout's, and `ledger/`.
        image_tag: what the images are tagged with.
    """

    def __init__(self, client: docker.DockerClient, folder: Path, image_tag: str) -> None:
        self.client, self.folder, self.image_tag = client, folder / "compose", image_tag
        self.project = f"spine-test-{os.getpid()}-{folder.name}".lower()
        self.port = free_port()
        self.net = free_net(client)
        ledger = folder / "ledger"
        ledger.mkdir(parents=True)
        ledger.chmod(0o777)  # jobs run as the claw's user
        self.ledger = Ledger(ledger / "lines", seen_as="/ledger/lines")
        self.ledger.path.chmod(0o666)
        shutil.copytree(REPO / "compose", self.folder, ignore=shutil.ignore_patterns("secrets", ".env"))
        shutil.copy(OVERLAY, self.folder)
        self._settings: dict[str, str] = {}
        owner = labels()
        self.configure(
            QUICK
            | {
                "COMPOSE_PROJECT_NAME": self.project,
                "COMPOSE_FILE": f"{self.folder}/compose.yaml:{self.folder}/{OVERLAY.name}",
                "SPINAL_CORD_VERSION": image_tag,
                "SPINE_PUBLISH": f"127.0.0.1:{self.port}",
                "TEST_OWNER": owner[OWNER],
                "TEST_START": owner[START],
                "TEST_NET": self.net,
                "TEST_LEDGER": str(ledger),
            }
        )
        self.compose = Compose(self.folder)
        self.seconds_up = 0.0

    def configure(self, settings: dict[str, str]) -> dict[str, str]:
        """Write lines of `.env`, over those that are there; return what these were."""
        before = {name: self._settings.get(name, "") for name in settings}
        self._settings |= settings
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in self._settings.items()))
        return before

    def also(self, *names: str) -> str:
        """Return COMPOSE_FILE with `compose.NAME.yaml` of each name besides."""
        return ":".join([self._settings["COMPOSE_FILE"], *(f"{self.folder}/compose.{name}.yaml" for name in names)])

    # --- as a person does it ---------------------------------------------------------------------------------------

    def make_tokens(self) -> str:
        """Run tokens.sh as `make tokens` does; return what it printed."""
        done = self.script("tokens.sh", f"spinal-cord/spine:{self.image_tag}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def script(self, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a script of compose/, without the environment of the tests."""
        return subprocess.run(
            [str(self.folder / name), *words],
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )

    def make(self, target: str) -> "subprocess.CompletedProcess[str]":
        """Run a target of the Makefile on this project; its images and tokens are there already."""
        compose = f"docker compose --project-directory {self.folder}"
        command = ["make", "--silent", "--old-file=tokens", target]
        command += [f"COMPOSE={compose}", f"SPINAL_CORD_VERSION={self.image_tag}"]
        return subprocess.run(
            command, cwd=REPO, env=clean_environ(), capture_output=True, text=True, timeout=COMMAND_SECONDS
        )

    def run(self, *words: str) -> str:
        """Run a command of Compose; return what it printed.

        Raises:
            ComposeFailed
        """
        done = self.compose._run_command([*self.compose.docker_compose_command(), *words])
        return (done.stdout + done.stderr).decode(errors="replace")

    def up(self) -> float:
        """Start everything and wait until it is healthy; return the seconds.

        Raises:
            ComposeFailed
        """
        begun = time.monotonic()
        self.run("up", "--detach", "--no-build", "--wait")
        return time.monotonic() - begun

    def remove(self) -> None:
        """Remove containers, networks and volumes, by the name of the project."""
        self.run("down", "--volumes", "--timeout", "2")

    # --- looking ---------------------------------------------------------------------------------------------------

    def container(self, service: str) -> Container:
        """Return the container of a service as it is now, running or not."""
        wanted = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        wanted.append("com.docker.compose.oneoff=False")
        found = self.client.containers.list(all=True, filters={"label": wanted})
        assert len(found) == 1, f"{len(found)} containers of {service}"
        return found[0]

    def network(self, name: str) -> Network:
        """Return a network of the project."""
        return self.client.networks.get(f"{self.project}_{name}")

    def here(self, network: str) -> str:
        """Return this machine's own address on a network of the project: nobody but its containers can call there."""
        return str(self.network(network).attrs["IPAM"]["Config"][0]["Gateway"])

    def health(self, service: str) -> str:
        """Return healthy, unhealthy, starting, or the state of a container that does not run."""
        state = self.container(service).attrs["State"]
        return str(state["Health"]["Status"]) if state["Running"] else str(state["Status"])

    def probes(self, service: str) -> list[str]:
        """Return what the last health checks of a service said."""
        return [probe["Output"].strip() for probe in self.container(service).attrs["State"]["Health"]["Log"]]

    def until_health(self, service: str, status: str, seconds: float = 60.0) -> None:
        """Wait until a service is healthy, or unhealthy."""
        eventually(lambda: self.health(service) == status, seconds, every=0.2, what=f"{service} {status}")

    def amiss(self) -> list[str]:
        """Return what is not as it is after `up`."""
        found = [f"{service} is {health}" for service in SERVICES if (health := self.health(service)) != "healthy"]
        for service in SERVICES:
            networks = self.container(service).attrs["NetworkSettings"]["Networks"]
            inner = networks.get(f"{self.project}_inner", {}).get("IPAddress")
            if inner != f"{self.net}.{HOSTS[service]}":
                found.append(f"{service} has the address {inner}")
        return found

    def until_status(self, job_id: str, *statuses: str, seconds: float = 30.0) -> Job:
        """Wait until a job has one of some statuses; a spine that is away meanwhile is waited for."""
        return until_status(self.head, job_id, *statuses, seconds=seconds)

    def logs(self, service: str) -> str:
        """Return all that the container of a service has written."""
        return self.container(service).logs().decode(errors="replace")

    def faults(self) -> list[str]:
        """Return what no sound run writes to a log; a worker that died is what kills cost."""
        logs = {service: self.logs(service) for service in SERVICES}
        for claw in CLAWS:
            logs[claw] += self.sh(claw, "cat /state/worker.log")[1]
        return [
            f"{service}: {line}"
            for service, text in logs.items()
            for line in text.splitlines()
            if is_fault(line) and "claw.worker_died" not in line
        ]

    def sh(self, service: str, script: str) -> tuple[int, str]:
        """Run a shell line inside; return its exit code and output, without line ends behind it."""
        code, output = run_in(self.container(service), ["sh", "-c", f"{ONE_STREAM}{script}"])
        return code, output.decode(errors="replace").rstrip("\n")

    def token(self, role: str) -> str:
        """Return the token of head, left-claw or right-claw."""
        return (self.folder / "secrets" / f"{role}.token").read_text().strip()

    @property
    def url(self) -> str:
        """Where the spine listens on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def head(self) -> HeadClient:
        """A head that asks once."""
        return HeadClient(self.url, self.token("head"), retry=ONCE)

    @cached_property
    def stubborn(self) -> HeadClient:
        """A head that repeats each call, with its key, until it is answered."""
        return HeadClient(self.url, self.token("head"), retry=STUBBORN)

    def serving(self) -> bool:
        """Tell whether the spine answers on its port."""
        with contextlib.suppress(Exception):
            return bool(self.head.health())
        return False

    def held(self, claw: str) -> dict[str, Any]:
        """Return what a claw holds, as its state file has it."""
        code, output = self.sh(claw, "cat /state/current-job.json 2>/dev/null || echo {}")
        assert code == 0, output
        found: dict[str, Any] = json.loads(output)
        return found

    def gated(self, gate: str) -> str:
        """Return a command that the first attempt ends once a gate is open, and others at once."""
        wait = f"while [ $SPINE_FENCE = 1 ] && [ ! -e /ledger/{gate} ]; do sleep 0.05; done"
        return f"{self.ledger.note('begun')}; {wait}; {self.ledger.note('ended')}"

    def open_gate(self, gate: str) -> None:
        """Let jobs through that wait for it."""
        (self.ledger.path.parent / gate).touch()

    # --- what befalls containers -----------------------------------------------------------------------------------

    def cut(self, service: str) -> None:
        """Take a container off the network between the services."""
        self.network("inner").disconnect(self.container(service))

    def join(self, service: str) -> None:
        """Put it back, with the address and the name that it had."""
        address = f"{self.net}.{HOSTS[service]}"
        self.network("inner").connect(self.container(service), aliases=[service], ipv4_address=address)

    def main_process(self, service: str) -> list[str]:
        """Return the command line of the process that the container's init runs."""
        code, output = self.sh(service, "tr '\\0' '\\n' < /proc/" + MAIN + "/cmdline")
        assert code == 0, output
        return output.splitlines()


def clean_environ() -> dict[str, str]:
    """Return what commands need to find the engine, and nothing that would win over the project's .env."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("DOCKER_")}


def build_images(client: docker.DockerClient) -> str:
    """Build the images by `make images`, under a tag of this checkout; return the tag.

    What the tag named before is removed, unless somebody uses it: every change of a file would leave an image.
    """
    tag = f"test-{hashlib.sha256(str(REPO).encode()).hexdigest()[:8]}"
    names = [f"spinal-cord/{role}:{tag}" for role in ("spine", "claw", "head")]
    before = {image.id for name in names for image in client.images.list(name)}
    done = subprocess.run(
        ["make", "--silent", "images", f"TAG={tag}"], cwd=REPO, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for image_id in before - {client.images.get(name).id for name in names}:
        with contextlib.suppress(APIError):
            client.images.remove(image_id)
    return tag
