"""compose/backup.sh, which is `make backup` and `make restore`: what was saved is what is back."""

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.stack import Stack

from contract.errors import NotFound
from contract.wire import Job

pytestmark = pytest.mark.docker

RAISED = 1_000_000


def test_save_go_on_and_load(stack: Stack, until_status: Callable[..., Job], tmp_path: Path) -> None:
    done = until_status(stack.head.submit({"target": "any", "spec": {"run": "echo before"}}).id, "done")
    waiting = stack.head.submit({"target": "left-claw", "spec": {"run": "true"}, "delaySeconds": 3600})
    file = tmp_path / "new" / "spine.tar"
    saved = stack.script("backup.sh", "save", str(file))
    assert (saved.returncode, saved.stdout) == (0, f"backup: wrote {file}\n"), saved.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert "./spine.db" in tar.getnames()
    again = stack.script("backup.sh", "save", str(file))
    assert (again.returncode, "exists; nothing is written over" in again.stderr) == (1, True)
    assert os.listdir(file.parent) == ["spine.tar"]
    stack.head.cancel(waiting.id)
    later = until_status(stack.head.submit({"target": "any", "spec": {"run": "echo after"}}).id, "done")

    loaded = stack.script("backup.sh", "load", str(file))
    assert loaded.returncode == 0, loaded.stderr
    assert stack.health("spine") == "healthy"
    with pytest.raises(NotFound):
        stack.head.job(later.id)
    back = stack.head.job(done.id)
    assert (back.status, back.result, back.fence) == ("done", done.result, done.fence + RAISED)
    assert (stack.head.job(waiting.id).status, stack.head.job(waiting.id).fence) == ("waiting", RAISED)
    code, kept = stack.sh("spine", "ls -d /data/before-restore-*; ls /backups")
    assert (code, len(kept.splitlines())) == (0, 1), kept
    stack.head.cancel(waiting.id)
    following = stack.head.submit({"target": "any", "spec": {"run": "true"}}).id
    assert until_status(following, "done").fence == 1


def test_what_is_no_backup_changes_nothing(stack: Stack, until_status: Callable[..., Job], tmp_path: Path) -> None:
    job = until_status(stack.head.submit({"target": "any", "spec": {"run": "true"}}).id, "done")
    started = stack.container("spine").attrs["State"]["StartedAt"]
    broken, other = tmp_path / "broken.tar", tmp_path / "other.tar"
    broken.write_bytes(b"no archive")
    for file, why in ((broken, "is no whole tar file; nothing was changed"), (tmp_path / "none.tar", "cannot read")):
        refused = stack.script("backup.sh", "load", str(file))
        assert (refused.returncode, why in refused.stderr) == (1, True)
    assert stack.container("spine").attrs["State"]["StartedAt"] == started, "such a file does not even stop it"
    # What only the program can tell costs a stop, and the spine goes on with what it had.
    with tarfile.open(other, "w") as tar:
        tar.add(Path(__file__), "./notes.txt")
    refused = stack.script("backup.sh", "load", str(other))
    assert refused.returncode == 65, refused.stderr
    assert stack.health("spine") == "healthy"
    assert stack.head.job(job.id) == job
    assert stack.sh("spine", "ls /backups") == (0, "")
