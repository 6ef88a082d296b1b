"""A whole machine in a container: systemd as its first process, SSH, an address that it keeps. Built once, cached.

`Hosts` is one network with machines in it.
"""

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import docker
from docker.models.containers import Container
from docker.models.networks import Network
from tests.support.engine import ONE_STREAM, image, labels, made_net, run_in
from tests.support.eventually import eventually

CONTEXT = Path(__file__).resolve().parents[1] / "deploy" / "machine"
BOOT_SECONDS = 60.0
# What systemd needs inside a container, less than --privileged.
CAPABILITIES = ("SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN")


class Output(NamedTuple):
    """How a command ended, and all that it printed."""

    code: int
    text: str


class Host:
    """One machine. Commands run as root, by the engine; `address` is for SSH and for its services."""

    def __init__(self, name: str, address: str, container: Container) -> None:
        self.name, self.address, self.container = name, address, container

    def run(self, command: str, seconds: int = 180, check: bool = True, user: str = "root") -> Output:
        """Run a shell command; one that fails is an AssertionError with all that it printed, unless not checked."""
        words = ["timeout", "--kill-after=5", str(seconds), "bash", "-c", f"{ONE_STREAM}{command}"]
        code, output = run_in(self.container, words, user=user, environment={"LANG": "C.UTF-8"})
        found = Output(code, output.decode(errors="replace"))
        assert found.code == 0 or not check, f"{self.name}: {command}\nended with {found.code}:\n{found.text}"
        return found

    def put(self, files: Mapping[str, str | bytes | Path], mode: int = 0o644, owner: int = 0) -> None:
        """Write files, and the folders that they need."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, found in files.items():
                content = found.read_bytes() if isinstance(found, Path) else found
                raw = content.encode() if isinstance(content, str) else content
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode, entry.uid, entry.gid = len(raw), mode, owner, owner
                entry.mtime = int(time.time())
                tar.addfile(entry, io.BytesIO(raw))
        assert self.container.put_archive("/", packed.getvalue())

    def unit(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        wanted = ",".join(names)
        lines = self.run(f"systemctl show --property={wanted} '{unit}'").text.splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def active(self, unit: str) -> bool:
        """Tell whether a unit is active now."""
        return self.run(f"systemctl is-active '{unit}'", check=False).text.strip() == "active"

    def main_pid(self, unit: str) -> int:
        """Return the main process of a unit, 0 for none."""
        return int(self.unit(unit, "MainPID")["MainPID"])

    def journal(self, unit: str) -> str:
        """Return what a unit has written to the journal since the machine's start."""
        return self.run(f"journalctl --boot --no-pager --output=cat --unit='{unit}'").text

    def await_boot(self) -> None:
        """Wait until systemd has started everything, or has failed to."""

        def booted() -> bool:
            _, said = run_in(self.container, ["systemctl", "is-system-running"])
            return said.decode().strip() in ("running", "degraded")

        eventually(booted, BOOT_SECONDS, every=0.1, what=f"the boot of {self.name}")

    def reboot(self) -> None:
        """Restart the whole machine in order, and wait until it is up again."""
        self.container.exec_run(["systemctl", "reboot"])
        self.container.wait(timeout=BOOT_SECONDS)
        self.container.start()
        self.await_boot()

    def crash(self) -> None:
        """Cut its power, and wait until it is up again."""
        self.container.kill("SIGKILL")
        self.container.start()
        self.await_boot()


class Hosts:
    """A network of machines, ended together."""

    def __init__(self, client: docker.DockerClient, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._labels = labels()
        self.machines: list[Host] = []
        self._network: Network | None = None
        self._prefix, self._count = "", 0

    @property
    def key(self) -> Path:
        """The private key that every machine lets in, as the user `deploy`, who may become root."""
        path = self._folder / "key"
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
        return path

    def known_hosts(self) -> Path:
        """Write and return a file with the public host keys of all machines, taken from the machines themselves."""
        path = self._folder / "known_hosts"
        lines = []
        for host in self.machines:
            key = eventually(lambda h=host: h.run("cat /etc/ssh/ssh_host_ed25519_key.pub", check=False).text, 20)  # type: ignore[misc]
            lines.append(f"{host.address},{host.name} {' '.join(key.split()[:2])}\n")
        path.write_text("".join(lines))
        return path

    def start(
        self,
        name: str,
        engine: bool = False,
        read_only: Mapping[str, Path] | None = None,
        shared: Path | None = None,
    ) -> Host:
        """Start a machine and wait until it is up.

        With `engine` it may use the engine that it runs on. `read_only` maps paths of its own to folders of this one;
        `shared` is a folder that both have under one path, so that the engine finds there what the machine names.
        """
        if self._network is None:
            self._network, self._prefix = made_net(self._client, f"spine-test-{os.getpid()}")
        self._count += 1
        address = f"{self._prefix}.{10 + self._count}"
        volumes = {"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"}}
        volumes |= {str(path): {"bind": place, "mode": "ro"} for place, path in (read_only or {}).items()}
        if shared is not None:
            volumes[str(shared)] = {"bind": str(shared), "mode": "rw"}
        if engine:
            client = shutil.which("docker")
            assert client is not None, "the engine has a client"
            volumes["/var/run/docker.sock"] = {"bind": "/var/run/docker.sock", "mode": "rw"}
            volumes[str(Path(client).resolve())] = {"bind": "/usr/bin/docker", "mode": "ro"}
        container = self._client.containers.create(
            image(self._client, CONTEXT),
            name=f"spine-test-{os.getpid()}-{self._count}-{name}",
            hostname=name,
            cap_add=list(CAPABILITIES),
            security_opt=["apparmor=unconfined"],
            cgroupns="host",
            labels=self._labels,
            volumes=volumes,
            tmpfs={"/run": "", "/run/lock": "", "/tmp": "exec"},
            network=self._network.name,
        )
        # By hand, since the client's own way to create gives no fixed address.
        self._network.disconnect(container)
        self._network.connect(container, aliases=[name], ipv4_address=address)
        host = Host(name, address, container)
        self.machines.append(host)
        container.start()
        host.await_boot()
        public = self.key.with_suffix(".pub").read_text()
        host.put({"/home/deploy/.ssh/authorized_keys": public}, mode=0o600, owner=1000)
        host.run("chown deploy:deploy /home/deploy/.ssh && chmod 700 /home/deploy/.ssh")
        return host

    def login(self) -> dict[str, Any]:
        """Return the variables of an inventory with which Ansible gets into every machine that is there now."""
        return {
            "ansible_user": "deploy",
            "ansible_become": True,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts()}",
        }

    def cut(self, host: Host) -> None:
        """Take a machine off the network."""
        assert self._network is not None
        self._network.disconnect(host.container)

    def join(self, host: Host) -> None:
        """Put it back, under the address that it had."""
        assert self._network is not None
        self._network.connect(host.container, aliases=[host.name], ipv4_address=host.address)

    def remove(self, *hosts: Host) -> None:
        """Remove machines."""
        for host in hosts:
            host.container.remove(force=True, v=True)
            self.machines.remove(host)

    def close(self) -> None:
        """Remove all machines and their network."""
        self.remove(*self.machines)
        if self._network is not None:
            self._network.remove()
