"""A bare repository as the outside world of a job: what was really pushed stands there."""

import os
import subprocess
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Run git as a tester who has no configuration; return what it printed."""
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder), "LC_ALL": "C"}
    who |= {f"GIT_{role}_NAME": "Tester" for role in ("AUTHOR", "COMMITTER")}
    who |= {f"GIT_{role}_EMAIL": "tester@localhost" for role in ("AUTHOR", "COMMITTER")}
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **who},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


class Remote:
    """A bare repository whose branch main has one commit."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "app.git"
        first = folder / "first"
        for made in (self.path, first):
            made.mkdir(parents=True)
        git(self.path, "init", "--quiet", "--bare", "--initial-branch=main")
        git(first, "init", "--quiet", "--initial-branch=main")
        (first / "file.txt").write_text("one\n")
        git(first, "add", ".")
        git(first, "commit", "--quiet", "--message", "Begin")
        git(first, "push", "--quiet", str(self.path), "main")

    def branch(self, job_id: str) -> str:
        """Name the branch of a job."""
        return f"spine/job-{job_id}"

    def head(self, job_id: str) -> str | None:
        """Return the commit that a job's branch points to, or None where there is no such branch."""
        listed = git(self.path, "for-each-ref", "--format=%(objectname)", f"refs/heads/{self.branch(job_id)}")
        return listed or None

    def commits(self, job_id: str) -> list[str]:
        """Return the commits that a job's branch has and main has not, newest first."""
        if self.head(job_id) is None:
            return []
        return git(self.path, "log", "--format=%H", f"main..{self.branch(job_id)}").splitlines()

    def show(self, job_id: str, name: str) -> str:
        """Return a file as a job's branch has it."""
        return git(self.path, "show", f"{self.branch(job_id)}:{name}")
