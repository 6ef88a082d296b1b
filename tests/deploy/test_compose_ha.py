"""The doubled Compose project as Compose reads it: made of the services of compose.yaml, which stay as they were."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.docker  # its command line, which reads the files

SPINES = "http://spine-a:36725,http://spine-b:36725"
OTHER_WAY = "http://spine-b:36725,http://spine-a:36725"
# What differs from the service of compose.yaml that each is made of.
MADE_OF = {
    "spine-a": "spine",
    "spine-b": "spine",
    "head-a": "head",
    "head-b": "head",
    "left-claw": "left-claw",
    "right-claw": "right-claw",
}
OWN = {"depends_on", "dns_opt", "environment", "hostname", "networks", "ports", "secrets", "volumes"}


def rendered(name: str) -> dict[str, Any]:
    environ = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME")}
    command = ["docker", "compose", "--project-directory", "compose", "--file", f"compose/{name}", "config"]
    done = subprocess.run(
        [*command, "--format", "json"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=180
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def doubled() -> dict[str, Any]:
    return rendered("compose.ha.yaml")


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    return rendered("compose.yaml")


def test_a_service_is_the_one_of_compose_yaml_but_for_where_it_stands(
    doubled: dict[str, Any], single: dict[str, Any]
) -> None:
    assert set(doubled["services"]) == {*MADE_OF, "postgres-a", "postgres-b", "proxy"}
    for service, of in MADE_OF.items():
        found, base = doubled["services"][service], single["services"][of]
        assert {k: v for k, v in found.items() if k not in OWN} == {k: v for k, v in base.items() if k not in OWN}
        changed = {k: v for k, v in found["environment"].items() if base["environment"].get(k) != v}
        if of == "spine":
            assert changed == {
                "SPINE_DATABASE_URL_FILE": "/run/secrets/database.url",
                "SKYCLAW_COORDINATOR_NODE_ID": service,
            }
            assert [found["environment"][f"SPINE_{name}"] for name in ("BACKUP_DIR", "BACKUP_URL", "BLOB_URL")] == [
                ""
            ] * 3
        else:
            lease = {"HEAD_LEASE_NAME": "heads"} if of == "head" else {}  # one of them acts
            assert changed == lease | {"SPINE_BASE_URL": SPINES if service in ("head-a", "left-claw") else OTHER_WAY}
        # Nobody waits long for the name of what has gone.
        assert found["dns_opt"] == ["timeout:1", "attempts:1"]


def test_the_further_services_are_as_shut_in(doubled: dict[str, Any]) -> None:
    for service in ("postgres-a", "postgres-b", "proxy"):
        found = doubled["services"][service]
        assert (found["init"], found["read_only"], found["restart"]) == (True, True, "unless-stopped")
        assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        assert found["mem_limit"]
        assert found["pids_limit"]
        assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "user"} & found.keys()


def test_a_password_is_a_file_of_those_that_need_it_alone(doubled: dict[str, Any]) -> None:
    def holders(name: str) -> set[str]:
        return {
            s for s, found in doubled["services"].items() if name in [x["source"] for x in found.get("secrets", [])]
        }

    assert holders("database.url") == {"spine-a", "spine-b"}
    assert holders("database.password") == holders("replication.password") == {"postgres-a", "postgres-b"}
    assert holders("head.token") == {"spine-a", "spine-b", "head-a", "head-b"}


def test_only_the_proxy_is_published_and_only_spines_reach_the_databases(doubled: dict[str, Any]) -> None:
    services = doubled["services"]
    published = {s: [(p["host_ip"], p["published"]) for p in f["ports"]] for s, f in services.items() if "ports" in f}
    assert published == {"proxy": [("127.0.0.1", "36725")]}
    joined = {service: set(found["networks"]) for service, found in services.items()}
    assert {s for s, names in joined.items() if "database" in names} == {
        "postgres-a",
        "postgres-b",
        "spine-a",
        "spine-b",
    }
    assert joined["postgres-a"] == {"database"}
    internal = {name: found.get("internal", False) for name, found in doubled["networks"].items()}
    assert internal == {"database": True, "inner": True, "edge": False, "outside": False}


def test_what_one_keeps_the_other_has_not_but_for_the_blobs(doubled: dict[str, Any]) -> None:
    mounts = {s: {v["source"]: v["target"] for v in f.get("volumes", [])} for s, f in doubled["services"].items()}
    assert mounts["spine-a"] == {"spine-a": "/data", "blobs": "/data/blobs"}
    assert mounts["spine-b"] == {"spine-b": "/data", "blobs": "/data/blobs"}
    assert (mounts["postgres-a"], mounts["postgres-b"]) == ({"postgres-a": "/data"}, {"postgres-b": "/data"})


def test_it_is_a_project_of_its_own(doubled: dict[str, Any], single: dict[str, Any]) -> None:
    assert (doubled["name"], single["name"]) == ("spinal-cord-ha", "spinal-cord")
