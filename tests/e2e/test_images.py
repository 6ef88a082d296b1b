"""What is in the images: the role's locked packages and nothing to build with; labels, users, how they stop."""

import json
import re
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import pytest
from packaging.markers import Marker
from tests.support.engine import labels
from tests.support.spine_process import REPO

pytestmark = pytest.mark.docker

ROLES = {"spine": "10001:10001", "claw": "10002:10002", "head": "10003:10003", "chat": "10004:10004"}
COMMANDS = {
    "spine": ["spine", "serve"],
    "claw": ["claw", "run"],
    "head": ["spine-head", "loop"],
    "chat": ["spine-chat", "run"],
}
PORTS = {"spine": ["36725/tcp"], "chat": ["36727/tcp"]}
# In bytes, on a base of 130 MB: a compiler or a package list that stays behind does not fit in.
MOST_BYTES = {"spine": 247_000_000, "claw": 241_000_000, "head": 205_000_000, "chat": 210_000_000}
LOOK = """
import json, re, shutil, subprocess, sys
from importlib import metadata
from pathlib import Path
packages = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\\n"], capture_output=True, text=True).stdout.split()
print(json.dumps({
    "installed": {re.sub("[-_.]+", "-", d.name).lower(): d.version for d in metadata.distributions()},
    "prefix": sys.prefix,
    "programs": sorted(p.name for p in Path("/opt/spinal-cord/bin").iterdir()),
    "packages": packages,
    "tools": {t: shutil.which(t) for t in ("cc", "gcc", "ld", "make", "pip", "pip3", "curl", "git", "ssh", "python3")},
    "lists": [p.name for p in Path("/var/lib/apt/lists").glob("*")],
    "tokens": [str(p) for p in Path("/").glob("*/**/*.token") if not str(p).startswith("/proc")],
}))
"""


@pytest.fixture(scope="module")
def inside(engine: docker.DockerClient, image_tag: str) -> dict[str, dict[str, Any]]:
    """What a program finds in each image."""

    def look(role: str) -> dict[str, Any]:
        said = engine.containers.run(
            f"spinal-cord/{role}:{image_tag}",
            ["/opt/spinal-cord/bin/python", "-I", "-c", LOOK],
            network_mode="none",
            read_only=True,
            remove=True,
            labels=labels(),
        )
        found: dict[str, Any] = json.loads(said)
        return found

    with ThreadPoolExecutor(len(ROLES)) as pool:
        return dict(zip(ROLES, pool.map(look, ROLES), strict=True))


@pytest.fixture(scope="module")
def configs(engine: docker.DockerClient, image_tag: str) -> dict[str, dict[str, Any]]:
    """How each image is configured."""
    return {role: engine.images.get(f"spinal-cord/{role}:{image_tag}").attrs for role in ROLES}


def locked(role: str, system: str, python: str) -> dict[str, str]:
    """Return what the lock of a role installs on a system."""
    where = {"sys_platform": system, "platform_system": system.capitalize(), "python_full_version": python}
    found = {}
    for line in (REPO / "requirements" / f"{role}.txt").read_text().splitlines():
        if pin := re.match(r"([a-z0-9-]+)==(\S+)(?: ; (.*))? \\$", line):
            name, version, marker = pin.groups()
            if marker is None or Marker(marker).evaluate(where):
                found[name] = version
    return found


@pytest.mark.parametrize("role", ROLES)
def test_installed_is_what_the_lock_of_the_role_says(role: str, inside: dict[str, dict[str, Any]]) -> None:
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    installed = inside[role]["installed"]
    assert inside[role]["prefix"] == "/opt/spinal-cord"
    assert installed.pop("spinal-cord") == version
    assert installed == locked(role, "linux", "3.11.2")
    assert len(installed) > 5


@pytest.mark.parametrize("role", ROLES)
def test_nothing_to_build_with_is_left(role: str, inside: dict[str, dict[str, Any]]) -> None:
    tools = inside[role]["tools"]
    assert {name for name, path in tools.items() if path} == {"python3"} | ({"git", "ssh"} if role == "claw" else set())
    assert inside[role]["lists"] == []
    built = r"gcc|g\+\+|cpp|binutils|make|.*-dev|python3-(pip|venv|setuptools)|python3-.*-venv|libpython3-dev|curl|wget"
    assert [name for name in inside[role]["packages"] if re.fullmatch(built, name)] == []
    scripts = {
        "spine": ["spine"],
        "claw": ["claw", "spine-cluster", "spine-dispatch"],
        "head": ["spine-cluster", "spine-head"],
        "chat": ["spine-chat"],
    }[role]
    assert inside[role]["programs"] == sorted([*scripts, "python", "python3", "python3.11"])
    assert inside[role]["tokens"] == []


@pytest.mark.parametrize("role", ROLES)
def test_configuration(role: str, configs: dict[str, dict[str, Any]]) -> None:
    config = configs[role]["Config"]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    prefix = "org.opencontainers.image."
    found = {name.removeprefix(prefix): value for name, value in config["Labels"].items() if name.startswith(prefix)}
    assert found.pop("description").strip()
    assert found == {
        "title": f"spinal-cord {role}",
        "licenses": "MIT",
        "version": version,
        "revision": revision.strip(),
    }
    assert config["User"] == ROLES[role]
    assert config["StopSignal"] == "SIGTERM"
    assert (config["Entrypoint"] or None, config["Cmd"]) == (None, COMMANDS[role])
    second = 1_000_000_000
    assert config["Healthcheck"] == {
        "Test": ["CMD", "/usr/bin/python3", "-IS", "/opt/spinal-cord/healthcheck.py", role],
        "Interval": 5 * second,
        "Timeout": 4 * second,
        "StartPeriod": 30 * second,
        "Retries": 3,
    }
    assert list(config.get("ExposedPorts") or {}) == PORTS.get(role, [])


@pytest.mark.parametrize("role", ROLES)
def test_size(role: str, configs: dict[str, dict[str, Any]]) -> None:
    assert configs[role]["Size"] < MOST_BYTES[role]


def test_a_setting_that_cannot_be_used_ends_a_container_with_78(engine: docker.DockerClient, image_tag: str) -> None:
    said = {
        "spine": ({"LEASE_SECONDS": "soon"}, "LEASE_SECONDS: 'soon' is not a whole number; give one from 1 to 86400"),
        "claw": (
            {"CLAW_TICK_SECONDS": "soon"},
            "CLAW_TICK_SECONDS: 'soon' is not a whole number; give one from 1 to 3600",
        ),
        "head": ({"SPINE_BASE_URL": "spine"}, "SPINE_BASE_URL: 'spine' is not an http or https address"),
        "chat": (
            {"BOT_COOLDOWN_SECONDS": "soon"},
            "BOT_COOLDOWN_SECONDS: 'soon' is not a whole number; give one from 0 to 3600",
        ),
    }

    def end(role: str) -> docker.errors.ContainerError:
        with pytest.raises(docker.errors.ContainerError) as ended:
            engine.containers.run(
                f"spinal-cord/{role}:{image_tag}",
                environment=said[role][0],
                network_mode="none",
                remove=True,
                labels=labels(),
            )
        return ended.value

    with ThreadPoolExecutor(len(said)) as pool:
        ended = dict(zip(said, pool.map(end, said), strict=True))
    for role, (_, fault) in said.items():
        assert ended[role].exit_status == 78
        assert fault in ended[role].stderr.decode()
