"""The files of a job: found by the spec's patterns inside the workspace, uploaded, and listed in the result."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from contract.client import SpineClient
from contract.errors import SpineError

FILES_MOST = 100
_RETRY_SECONDS = 3.0

log = structlog.get_logger()


def find(workspace: Path, globs: tuple[str, ...]) -> list[Path]:
    """Return the regular files that match, as paths relative to the workspace, sorted, each once.

    A match that lies behind a symbolic link is left out: it may lead outside.
    """
    root = workspace.resolve()
    return sorted({path.relative_to(root) for path in _matches(root, globs)})


def _matches(root: Path, globs: tuple[str, ...]) -> Iterator[Path]:
    for glob in globs:
        for path in root.glob(glob):
            if ".git" not in path.relative_to(root).parts and path.resolve() == path and path.is_file():
                yield path


class Uploads:
    """Uploads files one by one: `listed` gets `{name, url}` of each, `notes` a line for each that could not be.

    While the spine cannot be reached it tries again, until `give_up(seconds)`, which also waits, turns true: a result
    could not be delivered now either.
    """

    def __init__(self, client: SpineClient, give_up: Callable[[float], bool]) -> None:
        self._client, self._give_up = client, give_up
        self.listed: list[dict[str, str]] = []
        self.notes: list[str] = []

    def add_all(self, workspace: Path, globs: tuple[str, ...]) -> None:
        """Upload what matches in the workspace."""
        found = find(workspace, globs)
        if len(found) > FILES_MOST:
            self.notes.append(f"{len(found)} files match artifacts; only the first {FILES_MOST} were uploaded")
        for path in found[:FILES_MOST]:
            self.add(workspace.resolve() / path, str(path))

    def add(self, path: Path, name: str) -> None:
        """Upload one file under a name."""
        while True:
            try:
                self.listed.append({"name": name, "url": self._send(path, name)})
                return
            except (OSError, SpineError) as e:
                if isinstance(e, SpineError) and e.retryable and not self._give_up(_RETRY_SECONDS):
                    continue
                why = e.detail if isinstance(e, SpineError) else e.__class__.__name__
                log.warning("claw.artifact_failed", name=name, why=why, request_id=self._client.request_id)
                self.notes.append(f"artifact {name} could not be uploaded: {why}")
                return

    def _send(self, path: Path, name: str) -> str:
        # No link is followed: what was judged is what is opened.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise OSError("not a regular file")
            blob = self._client.upload(name.replace("/", "_"), source)
        return f"{self._client.base_url}/blobs/{blob.id}"
