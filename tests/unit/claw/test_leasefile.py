"""The lease on disk, and the hook that reads it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from claw import leasefile
from claw.leasefile import Lease, refusal


def lease(**more: object) -> Lease:
    boot = leasefile.boot_seconds()
    plain = Lease("j1", 4, True, time.time() + 60, boot + 60, leasefile.boot_id())
    return plain._replace(**more)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"held": False}, "job j1 is not held any more"),
        ({"ends_wall": time.time() - 1}, "the lease on job j1 (fence 4) has ended"),
        ({"ends_boot": leasefile.boot_seconds() - 1}, "the lease on job j1 (fence 4) has ended"),
        ({"boot_id": "another"}, "the machine was started anew since the lease was given"),
    ],
)
def test_a_lease_allows_a_push_until_it_ends_on_either_clock(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "lease.json"
    leasefile.write(path, lease(**change))
    assert refusal(path) == said


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"held": true}', '{"held": true, "fence": 1, "extra": 2}'])
def test_what_cannot_be_read_refuses(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "lease.json"
    if content is not None:
        path.write_text(content)
    assert (refusal(path) or "").startswith("the lease file cannot be read")


def test_the_hook_runs_without_any_environment(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    words = [sys.executable, "-I", "-S", leasefile.__file__, str(path)]
    leasefile.write(path, lease())
    assert subprocess.run(words, env={}, capture_output=True, check=False).returncode == 0
    leasefile.write(path, lease(held=False))
    refused = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, "push refused: job j1 is not held any more\n")
