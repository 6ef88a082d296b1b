"""The manifests for Kubernetes: each is what the schema of its kind takes, and says what the images need."""

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "kubernetes").glob("*.yaml"))
USERS = {"spine": 10001, "claw": 10002}


def manifests() -> list[tuple[str, dict[str, Any]]]:
    return [(path.name, one) for path in FILES for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for _, one in manifests() if one["kind"] == "StatefulSet"]


@pytest.mark.parametrize(
    ("file", "manifest"), manifests(), ids=lambda one: one if isinstance(one, str) else one["kind"]
)
def test_the_schema_takes_it(file: str, manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_there_are_a_spine_and_a_claw() -> None:
    kinds = [(one["kind"], one["metadata"]["name"]) for _, one in manifests()]
    assert kinds == [
        ("StatefulSet", "left-claw"),
        ("Service", "spine"),
        ("StatefulSet", "spine"),
        ("NetworkPolicy", "spine"),
    ]


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_is_shut(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == USERS[container["name"]]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert not [
        variable for variable in container["env"] if "TOKEN" in variable["name"] and "/" not in variable["value"]
    ]


def test_the_images_are_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert [pod["containers"][0]["image"] for pod in pods()] == [
        f"spinal-cord/claw:{version}",
        f"spinal-cord/spine:{version}",
    ]
