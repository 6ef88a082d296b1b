"""Prometheus' own tool, in the image that Compose runs it by."""

from collections.abc import Mapping
from pathlib import Path

import docker
from tests.support.engine import image, labels
from tests.support.spine_process import REPO

CONTEXT = REPO / "compose" / "prometheus"


def promtool(
    client: docker.DockerClient, words: str, folder: Path, more: Mapping[Path, str] | None = None
) -> tuple[int, str]:
    """Run promtool in a folder, which it sees as /work and cannot write; return its exit code and what it said.

    `more`: files or folders besides, and where it sees them.
    """
    volumes = {str(path): {"bind": at, "mode": "ro"} for path, at in {folder: "/work", **(more or {})}.items()}
    container = client.containers.create(
        image(client, CONTEXT),
        ["sh", "-c", f"promtool {words}"],
        working_dir="/work",
        network_mode="none",
        labels=labels(),
        volumes=volumes,
    )
    try:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        return int(code), container.logs().decode(errors="replace")
    finally:
        container.remove(force=True)
