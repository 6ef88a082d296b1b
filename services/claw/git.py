"""How this claw calls git: nobody is asked, no hook of a repository and no odd transport runs, and time is limited."""

import re
import shutil
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from claw.process.run import run_guarded
from contract.redaction import redact

_OUTPUT_MOST = 64 << 10
# What git, ssh and the big hosts say when a repeat cannot help.
_FINAL = re.compile(
    r"not found|does not exist|does not appear to be a git repository|could not read (username|password)"
    r"|terminal prompts disabled|authentication failed|access denied|permission denied|host key verification failed"
    r"|dubious ownership|invalid credentials|repository .* not exported",
    re.IGNORECASE,
)


class GitError(Exception):
    """A git command failed; `requeue` tells whether another attempt may do better."""

    def __init__(self, message: str, requeue: bool) -> None:
        super().__init__(message)
        self.requeue = requeue


class Git(NamedTuple):
    """One folder's git. `hooks` is the only folder from which hooks run."""

    folder: Path
    hooks: Path
    env: Mapping[str, str]
    timeout_seconds: int
    stop: Callable[[], bool]

    def run(self, *words: str, check: bool = True, cwd: Path | None = None) -> tuple[int, str]:
        """Run one command; returns exit code and output (both streams, 64 KiB at most, secrets masked).

        Raises:
            GitError: it failed and `check` is set.
        """
        kept = bytearray()

        def sink(chunk: bytes) -> None:
            kept.extend(chunk[: _OUTPUT_MOST - len(kept)])

        ended = run_guarded(
            ["git", *_options(self.hooks), *words],
            cwd=cwd or self.folder,
            env=self.env,
            sink=sink,
            timeout_seconds=self.timeout_seconds,
            grace_seconds=2,
            stop=self.stop,
        )
        said = redact(kept.decode("utf-8", "replace")).strip()
        if check and ended.code != 0:
            what = f"git {words[0]}"
            if ended.timed_out:
                raise GitError(f"{what} did not end within {self.timeout_seconds} s (CLAW_GIT_TIMEOUT_SECONDS)", True)
            raise GitError(f"{what} failed: {_short(said)}", not _FINAL.search(said))
        return ended.code, said

    def line(self, *words: str) -> str | None:
        """Return the last line that a command prints, or None when it fails."""
        code, said = self.run(*words, check=False)
        return (said.splitlines() or [""])[-1] if code == 0 else None


def _options(hooks: Path) -> list[str]:
    settings = (
        f"core.hooksPath={hooks}",
        "core.fsmonitor=false",
        "protocol.ext.allow=never",
        "commit.gpgSign=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "advice.detachedHead=false",
        "http.lowSpeedLimit=1",
        "http.lowSpeedTime=60",
    )
    return [word for setting in settings for word in ("-c", setting)]


def quiet_env(base: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which git and ssh fail rather than ask."""
    nothing = shutil.which("true", path=base.get("PATH")) or "/bin/true"
    return {
        **base,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": nothing,
        "SSH_ASKPASS": nothing,
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        "GIT_SSH_COMMAND": base.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20"),
    }


def repo_allowed(repo: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a repository matches one entry: a glob, or a prefix that ends at a slash.

    A path that climbs (`..`, also as %2e), an option (`-…`) and a remote helper (`name::address`) match nothing.
    """
    plain = unquote(repo)
    if repo.startswith("-") or "::" in repo or ".." in re.split(r"[/\\:]", plain):
        return False
    return any(
        fnmatchcase(repo, entry)
        if any(c in entry for c in "*?[")
        else repo == entry or repo.startswith(entry if entry.endswith(("/", ":")) else entry + "/")
        for entry in allowed
    )


def _short(said: str) -> str:
    lines = [line for line in said.splitlines() if line and not line.startswith("Cloning into")]
    return " / ".join(lines[-6:])[:1500] or "it said nothing"
