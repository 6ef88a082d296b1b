"""Prometheus' own tool, in the image that Compose runs it by."""

from collections.abc import Mapping
from pathlib import Path

import docker
from tests.support.engine import image, labels
from tests.support.spine_process import REPO

CONTEXT = REPO / "compose" / "prometheus"


class Promtool:
    """Runs promtool; the image is built when it is made."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client, self._image = client, image(client, CONTEXT)

    def run(self, words: str, folder: Path, more: Mapping[Path, str] | None = None) -> tuple[int, str]:
        """Run it in a folder, which it sees as /work and cannot write; return its exit code and what it said.

        `more`: files or folders besides, and where it sees them.
        """
        volumes = {str(path): {"bind": at, "mode": "ro"} for path, at in {folder: "/work", **(more or {})}.items()}
        container = self._client.containers.create(
            self._image,
            ["sh", "-c", f"promtool {words}"],
            working_dir="/work",
            network_mode="none",
            labels=labels(),
            volumes=volumes,
        )
        try:
            container.start()
            code = container.wait(timeout=100)["StatusCode"]
            return int(code), container.logs().decode(errors="replace")
        finally:
            container.remove(force=True)
