"""Whether a commit is on a remote: asked of the remote itself, never of what lies in a folder here."""

import os
import subprocess
import tempfile

from dispatch import settings
from dispatch.faults import Rejected

LIST_SECONDS, FETCH_SECONDS = 30.0, 120.0
_GIT = ("git", "-c", "credential.interactive=false", "-c", "core.hooksPath=/dev/null")


def remote_of(repository: str | None) -> str:
    """Return the repository that a label names, else the `origin` of the working directory.

    Raises:
        Rejected: there is neither.
    """
    if repository:
        return repository
    found = _git(("remote", "get-url", "origin"), LIST_SECONDS)
    if found is None or not found.strip():
        raise Rejected(
            "--sha: no remote is known to look it up on; dispatch with --repo URL, or signal from a clone", "sha"
        )
    return found.strip()


def check(sha: str, repository: str) -> None:
    """Let a commit through that is on the remote.

    Raises:
        Rejected: it is not there, or the remote cannot be asked.
    """
    tips = _git(("ls-remote", "--", repository), LIST_SECONDS)
    if tips is None:
        raise Rejected(
            f"--sha: {shown(repository)} cannot be asked for its commits; check the address and its access", "sha"
        )
    if any(line.startswith(sha.lower()) for line in tips.splitlines()):
        return
    with tempfile.TemporaryDirectory() as folder:
        at = ("--git-dir", folder)
        steps: tuple[tuple[str, ...], ...] = (
            (*at, "init", "--quiet", "--bare"),
            (*at, "remote", "add", "origin", repository),
            (*at, "fetch", "--quiet", "--no-tags", "--filter=tree:0", "origin", "+refs/heads/*:refs/remotes/origin/*"),
        )
        for step in steps:
            if _git(step, FETCH_SECONDS) is None:
                raise Rejected(f"--sha: {shown(repository)} cannot be fetched from; check its access", "sha")
        known = _git((*at, "rev-list", "--remotes"), FETCH_SECONDS) or ""
        if not any(line.startswith(sha.lower()) for line in known.splitlines()):
            raise Rejected(f"--sha: {sha} is on no branch of {shown(repository)}; push it first", "sha")


def shown(repository: str) -> str:
    """Return an address without the user and the password in it."""
    scheme, slashes, rest = repository.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if slashes else repository


def _git(words: tuple[str, ...], seconds: float) -> str | None:
    env = {
        **settings.for_commands(),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            [*_GIT, *words],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
