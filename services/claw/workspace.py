"""The folder of one attempt: workspace, spec, result, output, lease file and hooks; and the repository within it."""

import contextlib
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from claw import leasefile
from claw.git import Git, GitError, quiet_env, repo_allowed
from claw.settings import Settings
from claw.spec import Plan
from claw.state import Held, safe_name

_MARK = "Spine-Attempt"
_MARKED_MOST = 400
"""At most this many commits are looked at for their marks: git's output is cut at 64 KiB."""


class Rooms(msgspec.Struct, frozen=True, kw_only=True):
    """The paths of one attempt."""

    folder: Path
    workspace: Path
    hooks: Path
    spec_file: Path
    result_file: Path
    comments_file: Path
    previous_file: Path
    log_file: Path
    lease_file: Path


def rooms(settings: Settings, held: Held) -> Rooms:
    """Name the paths; every attempt has a folder of its own."""
    folder = settings.work_dir / f"{safe_name(held.job_id)}-{held.fence}"
    return Rooms(
        folder=folder,
        workspace=folder / "workspace",
        hooks=folder / "hooks",
        spec_file=folder / "spec",
        result_file=folder / "result.json",
        comments_file=folder / "comments.jsonl",
        previous_file=folder / "previous-result.json",
        log_file=folder / "build.log",
        lease_file=folder / "lease.json",
    )


def make(found: Rooms, held: Held) -> None:
    """Make the folder afresh, with the hooks that judge every push from it and mark every commit in it."""
    settle(found)
    found.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (found.folder, found.workspace, found.hooks):
        folder.mkdir(mode=0o700)
    judge = [sys.executable, "-I", "-S", leasefile.__file__, str(found.lease_file)]
    mark = ["git", "interpret-trailers", "--in-place", "--if-exists", "replace"]
    mark += ["--trailer", f"Spine-Job: {held.job_id}", "--trailer", f"{_MARK}: {_round(held)}{held.fence}"]
    for name, why, words in (
        ("pre-push", "Refuses a push once the lease has ended.", shlex.join(judge)),
        ("prepare-commit-msg", "Says which attempt made a commit.", f'{shlex.join(mark)} "$1"'),
    ):
        hook = found.hooks / name
        hook.write_text(f"#!/bin/sh\n# {why}\nexec {words}\n")
        hook.chmod(0o700)


def _round(held: Held) -> str:
    """Return what the marks of all attempts of the job's current round begin with."""
    return f"{held.job_id} {held.claimed().round}."


def settle(found: Rooms) -> None:
    """Remove an attempt's folder, also where the job has taken our right to."""

    def open_up(_: object, path: str, __: object) -> None:
        for folder in (Path(path).parent, Path(path)):
            with contextlib.suppress(OSError):
                if folder.is_dir() and not folder.is_symlink() and folder.is_relative_to(found.folder):
                    folder.chmod(0o700)

    # The first pass opens what it could not enter, the second removes it.
    shutil.rmtree(found.folder, onerror=open_up)
    shutil.rmtree(found.folder, ignore_errors=True)


def work_branch(held: Held) -> str:
    """Name the branch of a job: the same for all its attempts and rounds."""
    return f"spine/job-{safe_name(held.job_id)}"


def git_for(settings: Settings, found: Rooms, stop: Callable[[], bool]) -> Git:
    """Return git for the attempt's workspace; its commands end when `stop()` turns true."""
    who = {f"GIT_{role}_NAME": settings.git_name for role in ("AUTHOR", "COMMITTER")}
    who |= {f"GIT_{role}_EMAIL": settings.git_email for role in ("AUTHOR", "COMMITTER")}
    env = quiet_env(settings.base_env) | who
    return Git(found.workspace, found.hooks, env, settings.git_timeout_seconds, stop)


def clone(settings: Settings, git: Git, plan: Plan, held: Held) -> str:
    """Clone the job's repository and stand on its work branch; returns a line for the log.

    Records in `held` the base branch, the commit started from, and where the work branch stood at the remote.

    Raises:
        GitError: with `requeue` false where another attempt cannot do better.
    """
    repo, branch = plan.repo or "", work_branch(held)
    if not repo_allowed(repo, settings.allowed_repos):
        raise GitError(f"spec.repo: {repo} is not in CLAW_ALLOWED_REPOS of this claw", False)
    git.run("clone", "--no-checkout", "--", repo, str(git.folder), cwd=git.folder.parent)
    for name, value in (
        # What the job itself commits and pushes goes through the same name and the same hook.
        ("user.name", settings.git_name),
        ("user.email", settings.git_email),
        ("core.hooksPath", str(git.hooks)),
    ):
        git.run("config", name, value)
    head = git.line("symbolic-ref", "--short", "HEAD") or "main"
    held.base_branch = plan.branch or head
    base = git.line("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{held.base_branch}^{{commit}}")
    held.work_sha = git.line("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{branch}^{{commit}}") or ""
    kept = _accepted(git, held, base)
    held.base_sha = kept or base or ""
    if kept:
        git.run("checkout", "-B", branch, kept)
        return f"cloned {repo}, branch {branch} as it was at {kept[:12]}"
    if base:
        git.run("checkout", "--no-track", "-B", branch, base)
        return f"cloned {repo}, branch {branch} from {held.base_branch} at {base[:12]}"
    if plan.branch is not None or (not held.work_sha and git.line("rev-list", "-n", "1", "--all")):
        raise GitError(f"spec.branch: {repo} has no branch {held.base_branch}", False)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    return f"cloned {repo}, which is empty; branch {branch} begins it"


def _accepted(git: Git, held: Held, base: str | None) -> str:
    """Return where the work branch stands without what earlier attempts of this round have pushed; "" for nowhere.

    Such an attempt died before its result was known, so that its work would stand twice: the coming push replaces it.
    """
    if not held.work_sha:
        return ""
    shown = f"--format=%H %(trailers:key={_MARK},valueonly,separator=%x20)"
    _, said = git.run("log", "--first-parent", f"--max-count={_MARKED_MOST}", shown, held.work_sha)
    commits = (line.partition(" ") for line in said.splitlines())
    kept = next((sha for sha, _, mark in commits if not mark.startswith(_round(held))), "")
    if kept and base and kept != held.work_sha:
        # Nothing but such work stands there: begin at the base branch, as the first attempt did.
        code, _ = git.run("merge-base", "--is-ancestor", kept, base, check=False)
        return "" if code == 0 else kept
    return kept


def commit_all(git: Git, held: Held, message: str) -> str | None:
    """Commit what the job left uncommitted; returns the new head when it differs from the remote's, else None."""
    git.run("add", "--all")
    if git.run("diff", "--cached", "--quiet", check=False)[0] != 0:
        git.run("commit", "--quiet", "--no-verify", "--message", message)
    head = git.line("rev-parse", "--verify", "--quiet", "HEAD")
    return None if head is None or head == (held.work_sha or held.base_sha) else head


def push(git: Git, repo: str, held: Held) -> None:
    """Push the head to the work branch, unless the branch has moved since the clone or the lease has ended.

    Raises:
        GitError: the push did not happen.
    """
    ref = f"refs/heads/{work_branch(held)}"
    # To the address, not to `origin`: the job may have changed what that means.
    git.run("push", "--porcelain", f"--force-with-lease={ref}:{held.work_sha or ''}", "--", repo, f"HEAD:{ref}")
