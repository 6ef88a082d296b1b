"""What a claw is given that is broken or hostile: a clear failure, bounded harm, and the next job is done."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.claw_process import Machine, command_lines, processes_of_job
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.repository import Remote

from contract.client import SpineClient
from contract.wire import Job

pytestmark = pytest.mark.acceptance

MIB = 1 << 20


def check_next_job(head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]) -> None:
    """Check that the claw is well: the next job is done, and nothing is held or left running."""
    job_id = head.submit({"target": machine.name, "spec": {"run": ledger.note("next")}}).id
    assert until_status(job_id, "done").attempts == 1
    assert ledger.marks(job_id) == ["next"]
    eventually(machine.at_rest, what="an empty state file")


@pytest.mark.parametrize(
    "content",
    [b'{"version": 1, "cl', b"\x00\xff\xfe", b'{"version": 99}', b"[" * 200_000],
    ids=["cut", "binary", "newer", "deep"],
)
def test_a_broken_state_file_is_set_aside_and_reported(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job], content: bytes
) -> None:
    machine.state.mkdir()
    machine.state_file.write_bytes(content)
    claw = machine.run()
    check_next_job(head, machine, ledger, until_status)
    assert claw.poll() is None
    aside = list(machine.state.glob("current-job.json.broken-*"))
    assert [path.read_bytes() for path in aside] == [content]
    assert "it was set aside as" in machine.log()
    assert machine.log().count("claw.state_broken") == 1


def test_a_file_that_breaks_while_a_job_runs_costs_that_job_one_attempt(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    run = f"{ledger.note('begun')}; [ $SPINE_FENCE = 2 ] || sleep 30"
    job_id = head.submit({"target": machine.name, "spec": {"run": run}}).id
    machine.run()
    eventually(lambda: ledger.marks(job_id) == ["begun"], what="the phase")
    machine.crash()
    machine.state_file.write_bytes(b'{"version": 1, "job')
    machine.run()
    job = until_status(job_id, "done")
    assert [attempt.outcome for attempt in head.attempts(job_id)] == ["expired", "done"]
    assert ledger.marks(job_id, job.fence) == ["begun"]


# --- repositories --------------------------------------------------------------------------------------------------


@pytest.fixture
def closed_host() -> Iterator[tuple[str, list[str]]]:
    """A web server that asks everybody for a password, and what it was asked."""
    asked: list[str] = []

    class Asking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404 if "/none" in self.path else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="closed"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["closed.git", "none.git"])
def test_a_repository_that_asks_for_a_password_or_is_not_there_fails_once(
    head: SpineClient,
    machine_of: Callable[..., Machine],
    ledger: Ledger,
    until_status: Callable[..., Job],
    closed_host: tuple[str, list[str]],
    name: str,
) -> None:
    url, asked = closed_host
    machine = machine_of(CLAW_ALLOWED_REPOS=url)
    job_id = head.submit({"target": machine.name, "spec": {"repo": f"{url}/{name}", "run": ledger.note("ran")}}).id
    machine.run()
    job = until_status(job_id, "failed", "dead", seconds=60)
    assert (job.status, job.attempts) == ("failed", 1)
    assert "git clone failed" in str(job.error)
    assert ("not found" if name == "none.git" else "Authentication failed") in str(job.error)
    assert 1 <= len(asked) <= 2, "once without a password, perhaps once with the empty one"
    check_next_job(head, machine, ledger, until_status)
    assert ledger.marks(job_id) == []


def test_a_local_repository_that_does_not_exist_fails_once(
    head: SpineClient, machine: Machine, ledger: Ledger, remote: Remote, until_status: Callable[..., Job]
) -> None:
    spec = {"repo": str(remote.path.parent / "none.git"), "run": ledger.note("ran")}
    job_id = head.submit({"target": machine.name, "spec": spec}).id
    machine.run()
    job = until_status(job_id, "failed", "dead")
    assert (job.status, job.attempts) == ("failed", 1)
    assert "does not exist" in str(job.error)
    check_next_job(head, machine, ledger, until_status)


def test_a_host_that_refuses_to_talk_is_tried_while_attempts_last(
    head: SpineClient, machine_of: Callable[..., Machine], ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it meanwhile
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        machine = machine_of(CLAW_ALLOWED_REPOS=url)
        spec = {"repo": f"{url}/app.git", "run": ledger.note("ran")}
        job_id = head.submit({"target": machine.name, "spec": spec, "maxAttempts": 2}).id
        machine.run()
        job = until_status(job_id, "failed", "dead")
    assert (job.status, job.attempts) == ("dead", 2)
    assert "git clone failed" in str(job.error)
    check_next_job(head, machine, ledger, until_status)


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    ["{nonsense", "[1, 2]", '{"outcome": "perhaps"}', "\\377\\376"],
)
def test_a_result_file_that_cannot_be_used_fails_with_its_beginning(
    head: SpineClient, machine: Machine, until_status: Callable[..., Job], content: str
) -> None:
    job_id = head.submit({"target": machine.name, "spec": {"run": f"printf '{content}' > $SPINE_RESULT_FILE"}}).id
    machine.tick_through("phases")
    job = until_status(job_id, "failed", "dead")
    assert (job.status, job.attempts) == ("failed", 1)
    assert "the result file" in str(job.error)
    assert machine.at_rest()


def test_a_flood_of_output_is_capped_and_takes_little_memory(
    head: SpineClient, machine_of: Callable[..., Machine], ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    machine = machine_of(CLAW_LOG_MAX_BYTES=str(2 * MIB))
    # 30 MB in about three seconds, in lines of a megabyte.
    flood = "i=0; while [ $i -lt 30 ]; do head -c 1000000 /dev/zero | tr '\\0' x; echo; sleep 0.1; i=$((i+1)); done"
    run = f"{flood}; {ledger.note('flooded')}; echo the end; while [ ! -e {machine.folder}/gate ]; do sleep 0.05; done"
    job_id = head.submit({"target": machine.name, "spec": {"run": run}}).id
    machine.run()
    eventually(lambda: ledger.marks(job_id) == ["flooded"], 30, what="the end of the flood")
    peak = memory_peak(machine.worker_pid())
    (machine.folder / "gate").touch()
    job = until_status(job_id, "done")
    assert peak < 120 * MIB, f"the worker took {peak / MIB:.0f} MiB"
    log = head.read_log(job_id)
    assert MIB < len(log) <= 2 * MIB
    assert b"[output cut here: the limit of 2097152 bytes is reached]" in log[-200:]
    assert job.result["notes"].splitlines()[-1] == "the end", "the last lines are known all the same"
    check_next_job(head, machine, ledger, until_status)


def memory_peak(pid: int) -> int:
    """Return the most memory that a process ever had (bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.parametrize(
    ("run", "limit", "status", "error"),
    [
        ("for n in 1 2 3 4 5 6 7 8; do (sleep 300 & sleep 300 &) & done; sleep 0.2; exit 0", None, "done", None),
        ("setsid sleep 300 & nohup sleep 300 & exit 0", None, "done", None),
        ("trap '' TERM INT HUP; while :; do sleep 0.2; done", 1, "dead", "timed out after 1 s"),
        ("exec >&- 2>&-; sleep 0.5; exit 3", None, "dead", "exit code 3"),
        ("sleep 300 & echo held; exit 0", None, "done", None),
        ("kill -9 $PPID; sleep 300", None, "dead", "SIGKILL"),
        ("kill -STOP $$; sleep 300", 1, "dead", "timed out after 1 s"),
    ],
    ids=["forks", "sessions", "ignores SIGTERM", "closes stdout", "holds the pipe", "kills its guard", "stops itself"],
)
def test_a_command_that_behaves_badly_ends_in_time_and_leaves_nothing(
    head: SpineClient,
    machine: Machine,
    ledger: Ledger,
    until_status: Callable[..., Job],
    run: str,
    limit: int | None,
    status: str,
    error: str | None,
) -> None:
    spec = {"phases": [{"name": "bad", "run": run, "timeoutSeconds": limit}]}
    job_id = head.submit({"target": machine.name, "spec": spec, "maxAttempts": 1}).id
    machine.run()
    job = until_status(job_id, "done", "dead", "failed", seconds=60)
    assert job.status == status, job.error
    assert (error is None and job.error is None) or str(error) in str(job.error)
    assert job.attempts == 1
    eventually(lambda: not processes_of_job(job_id), what="the end of all that the job had started")
    check_next_job(head, machine, ledger, until_status)


def test_a_job_that_ignores_sigterm_is_killed_at_its_own_time_limit(
    head: SpineClient, machine: Machine, ledger: Ledger, until_status: Callable[..., Job]
) -> None:
    run = f"trap '' TERM INT HUP; {ledger.note('begun')}; while :; do sleep 0.2; done"
    fields = {"target": machine.name, "spec": {"run": run}, "maxAttempts": 1, "timeoutSeconds": 10}
    job_id = head.submit(fields).id
    machine.run()
    job = until_status(job_id, "dead", "failed", seconds=60)
    assert (job.status, job.attempts, ledger.marks(job_id)) == ("dead", 1, ["begun"])
    eventually(lambda: not processes_of_job(job_id), what="the end of all that the job had started")
    check_next_job(head, machine, ledger, until_status)


# --- the token -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["variable", "file"])
def test_the_token_is_nowhere_that_a_job_or_a_passer_by_can_read(
    head: SpineClient, machine: Machine, remote: Remote, until_status: Callable[..., Job], given: str
) -> None:
    token = machine.token.encode()
    by: dict[str, str | None] = {}
    if given == "file":
        secret = machine.folder.parent / "token"
        secret.write_bytes(token)
        secret.chmod(0o600)
        by = {"SPINE_TOKEN": None, "SPINE_TOKEN_FILE": str(secret)}
    gate, seen = machine.folder / "gate", machine.folder / "seen"
    # The job tells all that it can find, ancestors and all.
    run = (
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; "
        f"cat /proc/self/environ /proc/$PPID/environ > {seen}; "
        f'printf \'{{"notes": "%s"}}\' "$(env | tr \'\\n"\\\\\' \'   \')" > $SPINE_RESULT_FILE; '
        f"touch {seen}.whole; while [ ! -e {gate} ]; do sleep 0.05; done"
    )
    job_id = head.submit({"target": machine.name, "spec": {"repo": str(remote.path), "run": run}}).id
    machine.run(**by)
    eventually(Path(f"{seen}.whole").exists, what="the phase")
    assert [words for _, words in command_lines() if machine.token in " ".join(words)] == []
    children = processes_of_job(job_id)
    assert len(children) >= 2, "the guard and the command"
    for pid in children:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # a `sleep` may have ended since the look
            assert token not in Path(f"/proc/{pid}/environ").read_bytes()
    for pid in machine.workers():
        # To other processes of its user a worker's environment is closed: only root may look.
        with contextlib.suppress(PermissionError):
            assert token not in Path(f"/proc/{pid}/environ").read_bytes()
    assert token not in seen.read_bytes()
    check_no_token(machine, token)
    gate.touch()
    job = until_status(job_id, "done")
    log = head.read_log(job_id)
    assert b"SPINE_JOB_ID" in log
    assert token not in log
    assert machine.token not in str(job)
    for artifact in job.result["artifacts"]:
        assert token not in head.download(artifact["url"].rsplit("/", 1)[1])
    check_no_token(machine, token)


def check_no_token(machine: Machine, token: bytes) -> None:
    """Check every file that the claw keeps, and what it logs."""
    looked_at = 0
    # The folder of an attempt that has ended is being removed meanwhile; walk() bears that.
    for folder, _, names in os.walk(machine.state):
        for path in filter(Path.is_file, (Path(folder, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                assert token not in path.read_bytes(), path
                looked_at += 1
    assert looked_at
    assert token not in machine.log().encode()
