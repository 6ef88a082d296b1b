"""`make run`: a spine and a claw as real processes, one real job on a real repository, then serve until Ctrl-C.

Everything lies in one folder (`.spinal-cord`): tokens, data, logs, the repository. It is kept from run to run;
`make clean` removes it.
"""

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from processes import Failure, Processes, alone, await_answer, free_port, write_private
from rich.console import Console

HERE = Path(__file__).resolve().parent
CLAW_DRAIN_SECONDS = 5
TAIL_LINES = 25
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WHO = {"NAME": "Greeter", "EMAIL": "greeter@localhost"}
PHASES = (
    ("test", "python3 -B -m unittest -v"),
    ("release", "python3 release.py"),
    (
        "test again",
        "mkdir -p reports && python3 -B -m unittest -v > reports/tests.txt 2>&1; c=$?; cat reports/tests.txt; exit $c",
    ),
)

console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


class Stopped(Exception):
    """Someone asked us to end: Ctrl-C or SIGTERM."""


def heading(text: str) -> None:
    console.print(f"\n{text}", style="bold underline")


def fact(name: str, text: str, style: str = "") -> None:
    console.print(f"  {name:<11} ", end="", style="dim")
    console.print(text, style=style)


def shown(path: Path) -> str:
    """Return a path as a person in this folder would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class Demo:
    """One folder with everything, and the processes that work in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes = Processes(folder)
        self.base = self.processes.environment
        self.tokens: dict[str, str] = {}
        self.url = ""
        self.done = False

    def head(self, *words: str, capture: bool = False) -> subprocess.CompletedProcess[bytes]:
        """Run spine-head with the head's token."""
        sys.stdout.flush()
        env = self.base | {"SPINE_BASE_URL": self.url, "SPINE_TOKEN_FILE": str(self.folder / "head.token")}
        return subprocess.run(
            [sys.executable, "-P", "-m", "head.cli", *words], env=env, stdout=subprocess.PIPE if capture else None
        )

    def git(self, *words: str) -> str:
        """Run git; return its output."""
        who = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in WHO.items()}
        done = subprocess.run(["git", *words], env=self.base | who, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"git {shlex.join(words)}: {done.stderr.strip()}")
        return done.stdout

    # --- the parts of the demonstration ------------------------------------------------------------------------------

    def make_tokens(self) -> None:
        """Make a token for each role, once: one file for the spine, and one each for the head and the left claw."""
        tokens = self.folder / "tokens.env"
        if not tokens.exists():
            words = [sys.executable, "-P", "-m", "spine.cli", "token", "--env-file", str(tokens)]
            subprocess.run(words, env=self.base, check=True, stdout=subprocess.DEVNULL)
        self.tokens = dict(line.split("=", 1) for line in tokens.read_text().splitlines() if "=" in line)
        for variable, name in (("HEAD_TOKEN", "head"), ("LEFT_CLAW_TOKEN", "left-claw")):
            write_private(self.folder / f"{name}.token", self.tokens[variable] + "\n")
        fact("tokens", f"{shown(tokens)} (only you can read it)")

    def start_spine(self) -> None:
        """Start the spine and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {"SPINE_HOST": "127.0.0.1", "SPINE_PORT": str(port), "SPINE_DATA_DIR": str(self.folder / "data")}
        process = self.processes.start("spine", ["spine.cli", "serve"], self.tokens | settings)
        await_answer(self.url, process)
        token_file = shlex.quote(str(self.folder / "head.token"))
        write_private(
            self.folder / "head.env",
            f"unset SPINE_TOKEN\nexport SPINE_BASE_URL={self.url} SPINE_TOKEN_FILE={token_file}\n",
        )
        fact("spine", f"{self.url}  pid {process.pid}, log {shown(self.folder / 'spine.log')}")

    def start_claw(self) -> None:
        """Start the left claw with its own token and no other, allowed to work on repositories of this folder."""
        settings = {
            "SPINE_BASE_URL": self.url,
            "SPINE_TOKEN_FILE": str(self.folder / "left-claw.token"),
            "CLAW_NAME": "demo",
            "CLAW_STATE_DIR": str(self.folder / "claw"),
            "CLAW_ALLOWED_REPOS": str(self.folder),
            "CLAW_HEARTBEAT_SECONDS": "2",
            "CLAW_DRAIN_SECONDS": str(CLAW_DRAIN_SECONDS),
        }
        process = self.processes.start("claw", ["claw.cli", "run"], settings)
        fact("left claw", f"pid {process.pid}, log {shown(self.folder / 'claw.log')}")

    def make_repository(self) -> Path:
        """Make a repository with a small package and its tests, and the bare one that claws clone and push to."""
        bare = self.folder / "greeter.git"
        if not bare.exists():
            source = self.folder / "greeter"
            shutil.rmtree(source, ignore_errors=True)
            shutil.copytree(HERE / "greeter", source, ignore=shutil.ignore_patterns("__pycache__", "reports"))
            self.git("init", "--quiet", "--initial-branch=main", str(source))
            self.git("-C", str(source), "add", "--all")
            self.git("-C", str(source), "commit", "--quiet", "--message", "Greet by name")
            unfinished = self.folder / "greeter.git.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            self.git("clone", "--quiet", "--bare", str(source), str(unfinished))
            unfinished.rename(bare)
        fact("repository", shown(bare))
        return bare

    def do_job(self, repo: Path) -> str:
        """Submit the job, follow it to its end, return its id."""
        words = ["submit", "--label", "Release the greeter", "--repo", str(repo), "--artifact", "reports/*.txt"]
        words += [part for name, command in PHASES for part in ("--phase", f"{name}={command}")]
        console.print(
            "  $ spine-head submit --label 'Release the greeter' --repo … --phase test=… (3 phases)", style="dim"
        )
        done = self.head(*words, "--json", capture=True)
        if done.returncode:
            raise Failure(f"the job was not accepted (exit code {done.returncode})")
        job_id = str(json.loads(done.stdout)["id"])
        console.print(f"  $ spine-head watch {job_id}", style="dim")
        code = self.head("watch", job_id).returncode
        if code:
            self.head("logs", job_id)
            raise Failure(f"the job did not succeed (spine-head watch ended with {code})")
        return job_id

    def show_branch(self, repo: Path, job_id: str) -> None:
        """Print what the claw pushed, as the remote repository has it."""
        branch = f"spine/job-{job_id}"
        words = ["log", "--oneline", "--stat", f"main..{branch}"]
        heading("Branch")
        console.print(f"  $ git -C {shown(repo)} {shlex.join(words)}", style="dim")
        for line in self.git("-C", str(repo), *words).splitlines():
            console.print(f"  {line}")

    def show_addresses(self, repo: Path, job_id: str) -> None:
        """Print where everything is."""
        heading("Addresses")
        fact("spine", f"{self.url}  (for agents: {self.url}/skill.md)")
        fact("dashboard", f"{self.url}/ui  (sign in with the token in {shown(self.folder / 'head.token')})")
        fact("job's log", f"{self.url}/jobs/{job_id}/log")
        fact("tokens", shown(self.folder / "tokens.env"))
        fact("repository", shown(repo))

    def show_more(self, job_id: str) -> None:
        """Print command lines that work as they stand, while the spine serves."""
        script = Path(sys.executable).with_name("spine-head")
        command = shown(script) if script.exists() else f"{shlex.quote(sys.executable)} -m head.cli"
        into = f". {shlex.quote(dotted(shown(self.folder / 'head.env')))} && {command}"
        heading("More")
        for words in (f"show {job_id}", f"logs {job_id}", "submit --run 'uname -a' --wait", "list", "--help"):
            console.print(f"  {into} {words}")


def dotted(path: str) -> str:
    """Return a path that `.` of a POSIX shell finds: one without a slash would be looked for in PATH."""
    return path if "/" in path else f"./{path}"


def tell_failure(demo: Demo, why: str) -> None:
    console.print(f"\nFailed: {why}", style="bold red")
    for name in ("spine", "claw"):
        log = demo.folder / f"{name}.log"
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
            console.print(f"\nThe end of {shown(log)}:", style="bold")
            console.print("\n".join(lines))


def interrupted(*_: object) -> None:
    raise Stopped


def run(demo: Demo, once: bool) -> None:
    """Show everything; returns after the result, or else serves until it is stopped."""
    console.print("Spinal Cord: a spine, a claw, and one real job", style="bold")
    heading("Start")
    demo.make_tokens()
    repo = demo.make_repository()
    demo.start_spine()
    demo.start_claw()
    heading("Job")
    job_id = demo.do_job(repo)
    demo.show_branch(repo, job_id)
    demo.show_addresses(repo, job_id)
    demo.done = True
    if once:
        console.print("\nThe spine and the claw are stopped now; without ONCE=1 they go on.", style="dim")
    else:
        demo.show_more(job_id)
        console.print("\nServing until Ctrl-C.", style="bold")
        raise Failure(f"the {demo.processes.ends.get()} has ended by itself")


def end(demo: Demo) -> None:
    """End the processes; a second Ctrl-C must not leave them behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for told in demo.processes.stop():
        console.print(told, style="red")


def main() -> int:
    """Return 0 when the job was done, 1 after a failure, 130 when stopped before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the result")
    parser.add_argument("--folder", type=Path, default=Path(".spinal-cord"), help="where everything is kept")
    given = parser.parse_args()
    demo = Demo(given.folder.resolve())
    for number in SIGNALS:
        signal.signal(number, interrupted)
    try:
        with alone(demo.folder):
            try:
                run(demo, given.once)
            finally:
                end(demo)
    except Stopped:
        console.print("\nStopped.", style="bold")
        return 0 if demo.done else 130
    except (Failure, OSError, subprocess.SubprocessError) as e:
        tell_failure(demo, str(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
