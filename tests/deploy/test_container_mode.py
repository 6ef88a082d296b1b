"""Container mode by the real playbooks: spine, head and a claw from images that are carried over, and a native claw."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from tests.deploy import native
from tests.deploy.controller import Controller, Played
from tests.support.engine import labels
from tests.support.spine_process import free_port
from tests.support.systemd_host import Host, Hosts

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]  # the first one builds the release and its images

SPINE, HEAD, BOX_CLAW, FAR_CLAW = (
    "spinal-spine.service",
    "spinal-head.service",
    "spinal-claw@box.service",
    "spinal-claw@far-claw.service",
)
CONTAINED = ["spinal-claw@.service", "spinal-head.service", "spinal-health.service", "spinal-health.timer", SPINE]
# On the test's machine the engine is not a service.
DOCKER = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
QUICK = {"CLAW_HEARTBEAT_SECONDS": 1, "CLAW_WAIT_SECONDS": 2, "CLAW_DRAIN_SECONDS": 2, "CLAW_KILL_GRACE_SECONDS": 1}
# The folders that a container mounts must be there for the engine too, which is another machine's.
SHARE = """
mkdir -p {shared}/var {shared}/etc {shared}/run /etc/spinal-cord
cp -a /var/lib/. {shared}/var/
mount --bind {shared}/var /var/lib
mount --bind {shared}/etc /etc/spinal-cord
"""


class Fleet:
    """`box` is spine, head and claw in containers; `far-claw` is a claw without an engine."""

    def __init__(
        self, box: Host, far: Host, controller: Controller, folder: Path, release: str, settings: dict[str, Any]
    ) -> None:
        self.box, self.far, self.release, self.inventory = box, far, release, folder / "hosts.yml"
        self.controller = controller
        self._settings = settings
        self.write({})

    def write(self, over: dict[str, Any], far_over: dict[str, Any] | None = None) -> None:
        """Write the inventory, with settings of `box` and of `far-claw` over those that they have."""
        box, far = self._settings["box"] | over, self._settings["far"] | (far_over or {})
        children = {"spine": {"box": box}, "head": {"box": None}, "claws": {"box": None, "far-claw": far}}
        groups = {group: {"hosts": hosts} for group, hosts in children.items()}
        self.inventory.write_text(yaml.safe_dump({"all": {"vars": self._settings["all"], "children": groups}}))

    def play(self, playbook: str, *words: str, code: int = 0) -> Played:
        """Run a playbook."""
        return self.controller.play(self.inventory, playbook, *words, code=code)

    def submit(self, target: str, run: str) -> str:
        """Submit a job on the head's machine and wait for it; return what `spine-head` printed."""
        return self.box.run(f"spine-head submit --target {target} --run '{run}' --wait", seconds=180).text

    def laid(self) -> list[str]:
        """Return the units of `box`."""
        return self.box.run("cd /etc/systemd/system && ls -1 | grep ^spinal-").text.split()

    def image(self, unit: str) -> str:
        """Return the image that a unit runs; nothing for one that runs none."""
        words = self.box.run(f"tr '\\0' '\\n' < /proc/{self.box.main_pid(unit)}/cmdline").text.split("\n")
        return next((word for word in words if word.startswith("spinal-cord/")), "")


@pytest.fixture(scope="module")
def fleet(
    hosts: Hosts, engine: docker.DockerClient, wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    shared, folder = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("controller")
    controller = Controller(folder / "checkout", wheelhouse)
    prefix, port = f"spine-test-{os.getpid()}", free_port()
    release = controller.release()
    images = [f"spinal-cord/{role}:{release}" for role in ("spine", "head", "claw", "chat")]
    controller.images()
    # The machine's engine and the controller's are one here; it is to get them from the file.
    forget(engine, images)
    box, far = hosts.start("box", engine=True, shared=shared), hosts.start("far-claw")
    box.run(SHARE.format(shared=shared))
    box.put({"/etc/systemd/system/docker.service": DOCKER})
    box.run("systemctl daemon-reload && systemctl start docker.service")
    network = box.container.attrs["HostConfig"]["NetworkMode"]
    further = [f"--network={network}", *(f"--label={name}={value}" for name, value in labels().items())]
    # What the engine publishes is published on its machine: the first address of the network.
    engine_address = f"{box.address.rpartition('.')[0]}.1"
    settings = {
        "all": {**hosts.login(), "claw_settings": QUICK},
        "box": {
            "ansible_host": box.address,
            "spine_listen": [f"{engine_address}:{port}"],
            "spine_url": f"http://{engine_address}:{port}",
            "spine_docker_args": further,
            "head_docker_args": further,
            "head_policy": native.POLICY,
            "claw_mode": "container",
            "claw_docker_args": further,
            "host_images_settings": {
                "SPINAL_VAR": f"{shared}/var",
                "SPINAL_ETC": f"{shared}/etc",
                "SPINAL_RUN": f"{shared}/run",
                "SPINAL_PREFIX": prefix,
            },
        },
        "far": {"ansible_host": far.address},
    }
    yield Fleet(box, far, controller, folder, release, settings)
    controller.close()
    box.run(f"systemctl stop 'spinal-*.timer' {SPINE} {HEAD} {BOX_CLAW}", seconds=240, check=False)
    forget(engine, images + again(images))
    hosts.remove(box, far)


def again(names: list[str]) -> list[str]:
    """Return the names of the same release, as if it were the next one."""
    return [re.sub("[0-9a-f]{12}$", "e" * 12, name) for name in names]


def forget(engine: docker.DockerClient, images: list[str]) -> None:
    for image in images:
        if engine.images.list(image):
            engine.images.remove(image)


@pytest.fixture(scope="module")
def deployed(fleet: Fleet) -> Played:
    return fleet.play("site")


def test_a_container_where_no_engine_is_stops_before_anything_is_changed(fleet: Fleet) -> None:
    fleet.write({}, {"claw_mode": "container"})
    said = fleet.play("site", code=2)
    told = (
        "far-claw: claw is to run in a container, and no Docker Engine answers there as docker.service (docker info)."
    )
    assert told in " ".join(said.text.split())
    assert fleet.box.run("ls /opt /etc/spinal-cord").text.split() == ["/etc/spinal-cord:", "/opt:"]
    fleet.write({})


def test_the_first_deployment_starts_containers_of_the_release(fleet: Fleet, deployed: Played) -> None:
    assert fleet.laid() == CONTAINED
    images = {unit: fleet.image(unit) for unit in (SPINE, HEAD, BOX_CLAW)}
    assert images == {
        SPINE: f"spinal-cord/spine:{fleet.release}",
        HEAD: f"spinal-cord/head:{fleet.release}",
        BOX_CLAW: f"spinal-cord/claw:{fleet.release}",
    }
    assert fleet.box.active("spinal-health.timer")
    assert fleet.box.run("ls /opt/spinal-cord").text.split() == ["current", "releases", "units"]
    assert fleet.far.run("ls /etc/spinal-cord").text.split() == ["claw-far-claw.env", "secrets"]


def test_jobs_are_done_by_the_claw_in_a_container_and_by_the_native_one(fleet: Fleet, deployed: Played) -> None:
    assert "done" in fleet.submit("box", 'test "$(id -u)" = 10002')
    assert "done" in fleet.submit("far-claw", 'test "$(id -un)" = claw')


def test_a_second_deployment_and_a_check_change_nothing(fleet: Fleet, deployed: Played) -> None:
    none = {"box": 0, "far-claw": 0, "localhost": 0}
    assert fleet.play("site").changed == none
    assert fleet.play("site", "--check", "--diff").changed == none


def test_the_doctor_knows_what_runs_in_containers(fleet: Fleet, deployed: Played) -> None:
    code, told = fleet.controller.doctor(fleet.inventory)
    assert code == 0
    assert {name: (machine["release"], machine["units"]) for name, machine in told.items()} == {
        "box": (fleet.release, "4 of 4 active"),
        "far-claw": (fleet.release, "1 of 1 active"),
    }


def test_a_spine_that_leaves_its_container_with_a_new_release_and_goes_back_keeps_its_jobs(
    fleet: Fleet, deployed: Played, engine: docker.DockerClient
) -> None:
    old, new = fleet.release, again([fleet.release])[0]
    files = fleet.controller.releases
    shutil.copy(files / f"{old}-linux-x86_64.tar.gz", files / f"{new}-linux-x86_64.tar.gz")
    for role in ("spine", "head", "claw"):
        engine.images.get(f"spinal-cord/{role}:{old}").tag(f"spinal-cord/{role}", new)
    job_id = fleet.submit("box", "echo kept").split()[1]

    address = fleet.box.address
    fleet.write({"spine_mode": "native", "spine_listen": ["36725"], "spine_url": f"http://{address}:36725"})
    fleet.play("site", "--extra-vars", f"host_release={new}")
    assert fleet.laid() == [*CONTAINED, "spinal-spine.socket", "spinal-spine.socket.d"]
    assert (fleet.image(SPINE), fleet.image(HEAD)) == ("", f"spinal-cord/head:{new}")
    assert "kept" in fleet.box.run(f"spine-head logs {job_id}").text
    assert "done" in fleet.submit("far-claw", "true")

    fleet.write({"spine_mode": "container"})
    fleet.play("rollback")
    assert fleet.laid() == [*CONTAINED, "spinal-spine.socket.d"]
    # It was told to stop as what it was, before its units went: nothing starts the socket with the machine any more.
    assert "spinal-spine.socket" not in fleet.box.run("ls /etc/systemd/system/sockets.target.wants", check=False).text
    assert (fleet.image(SPINE), fleet.image(HEAD)) == (f"spinal-cord/spine:{old}", f"spinal-cord/head:{old}")
    assert "kept" in fleet.box.run(f"spine-head logs {job_id}").text
    assert "done" in fleet.submit("far-claw", "true")
