"""The repository of a job: what is pushed, and what refuses to be."""

import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from tests.integration.claw.conftest import base_env, git
from tests.unit.claw.conftest import job

from claw import leasefile, workspace
from claw.git import Git, GitError
from claw.settings import Settings, from_env
from claw.spec import parse
from claw.state import ClaimTry, Held
from contract.wire import Job


@pytest.fixture
def settings(tmp_path: Path, repo: Path) -> Settings:
    env = base_env(HOME=str(tmp_path), SPINE_TOKEN="a-token-of-a-claw", CLAW_ALLOWED_REPOS=str(repo.parent))
    return from_env(env | {"CLAW_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def held() -> Held:
    claim = ClaimTry(key="k", targets=None, capabilities=[], wait=0.0)
    return Held(claim=claim, job_id="j1", fence=4, job=msgspec.convert(job(), Job))


@pytest.fixture
def rooms(settings: Settings, held: Held) -> workspace.Rooms:
    made = workspace.rooms(settings, held)
    workspace.make(made, held)
    return made


@pytest.fixture
def work(settings: Settings, rooms: workspace.Rooms) -> Git:
    return workspace.git_for(settings, rooms, lambda: False)


def lease(rooms: workspace.Rooms, seconds: float) -> None:
    ends_wall, ends_boot = time.time() + seconds, leasefile.boot_seconds() + seconds
    leasefile.write(rooms.lease_file, leasefile.Lease("j1", 4, True, ends_wall, ends_boot, leasefile.boot_id()))


def changed(settings: Settings, work: Git, held: Held, repo: Path) -> str:
    workspace.clone(settings, work, parse({"run": "true", "repo": str(repo)}), held)
    (work.folder / "new.txt").write_text("new\n")
    head = workspace.commit_all(work, held, "Change")
    assert head is not None
    return head


def test_a_push_needs_a_lease(settings: Settings, work: Git, held: Held, repo: Path, rooms: workspace.Rooms) -> None:
    head = changed(settings, work, held, repo)
    lease(rooms, -1)
    with pytest.raises(GitError, match="push refused: the lease on job j1") as caught:
        workspace.push(work, str(repo), held)
    assert caught.value.requeue
    assert git(repo, "branch", "--list", "spine/*") == ""
    lease(rooms, 60)
    workspace.push(work, str(repo), held)
    assert git(repo, "rev-parse", "spine/job-j1") == head


def test_a_push_of_the_job_itself_needs_the_lease_too(
    settings: Settings, work: Git, held: Held, repo: Path, rooms: workspace.Rooms
) -> None:
    changed(settings, work, held, repo)
    lease(rooms, -1)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        git(work.folder, "push", "origin", "HEAD:refs/heads/mine")
    assert "push refused: the lease on job j1" in caught.value.stderr
    lease(rooms, 60)
    git(work.folder, "push", "origin", "HEAD:refs/heads/mine")


def test_a_push_that_was_made_already_is_no_fault(
    settings: Settings, work: Git, held: Held, repo: Path, rooms: workspace.Rooms
) -> None:
    changed(settings, work, held, repo)
    lease(rooms, 60)
    workspace.push(work, str(repo), held)
    workspace.push(work, str(repo), held)


@pytest.mark.parametrize("there", [True, False])
def test_a_branch_that_moved_since_the_clone_is_left_alone(
    settings: Settings, work: Git, held: Held, repo: Path, rooms: workspace.Rooms, there: bool
) -> None:
    if there:
        git(repo, "branch", "spine/job-j1", "main")
    changed(settings, work, held, repo)
    other = git(repo, "commit-tree", "-p", "main", "-m", "Other", "main^{tree}")
    git(repo, "update-ref", "refs/heads/spine/job-j1", other)
    lease(rooms, 60)
    with pytest.raises(GitError, match="stale info"):
        workspace.push(work, str(repo), held)
    assert git(repo, "rev-parse", "spine/job-j1") == other


def test_a_base_branch_that_is_not_there_is_named(settings: Settings, work: Git, held: Held, repo: Path) -> None:
    plan = parse({"run": "true", "repo": str(repo), "branch": "release"})
    with pytest.raises(GitError, match=r"spec.branch: .* has no branch release") as caught:
        workspace.clone(settings, work, plan, held)
    assert not caught.value.requeue


def test_an_empty_repository_gets_its_first_branch(
    settings: Settings, work: Git, held: Held, repo: Path, rooms: workspace.Rooms
) -> None:
    empty = repo.parent / "empty.git"
    empty.mkdir()
    git(empty, "init", "--quiet", "--bare", "--initial-branch=main")
    head = changed(settings, work, held, empty)
    lease(rooms, 60)
    workspace.push(work, str(empty), held)
    assert git(empty, "rev-parse", "spine/job-j1") == head


def test_a_folder_that_the_job_closed_is_removed_all_the_same(rooms: workspace.Rooms) -> None:
    inner = rooms.workspace / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0o500)
    workspace.settle(rooms)
    assert not rooms.folder.exists()
