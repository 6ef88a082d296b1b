"""The files of a job: found by the spec's patterns inside the workspace, uploaded, and listed in the result."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from contract.client import SpineClient
from contract.errors import SpineError

FILES_MOST = 100

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


def upload(client: SpineClient, workspace: Path, globs: tuple[str, ...]) -> tuple[list[dict[str, str]], list[str]]:
    """Upload what matches; returns `{name, url}` of each, and a note for each that could not be uploaded."""
    listed: list[dict[str, str]] = []
    notes: list[str] = []
    found = find(workspace, globs)
    if len(found) > FILES_MOST:
        notes.append(f"{len(found)} files match artifacts; only the first {FILES_MOST} were uploaded")
    for path in found[:FILES_MOST]:
        upload_one(client, workspace.resolve() / path, str(path), listed, notes)
    return listed, notes


def upload_one(client: SpineClient, path: Path, name: str, listed: list[dict[str, str]], notes: list[str]) -> None:
    """Upload one file under a name; adds to `listed` or, when it cannot be done, to `notes`."""
    try:
        # No link is followed: what was judged is what is opened.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise OSError("not a regular file")
            blob = client.upload(name.replace("/", "_"), source)
        listed.append({"name": name, "url": f"{client.base_url}/blobs/{blob.id}"})
    except (OSError, SpineError) as e:
        why = e.detail if isinstance(e, SpineError) else e.__class__.__name__
        log.warning("claw.artifact_failed", name=name, why=why)
        notes.append(f"artifact {name} could not be uploaded: {why}")
