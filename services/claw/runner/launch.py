"""The detached worker of a held job: started, recognised after a restart, and ended."""

import subprocess
import sys
from typing import IO, cast

import structlog

from claw import outcome, workspace
from claw.process import identity
from claw.runner import outbox
from claw.runner.attempt import job_marks
from claw.settings import Settings, worker_environ
from claw.state import Held, Journal
from contract.durable import write_durably
from contract.ids import token_digest

_LOG_MOST_BYTES = 4 << 20
_RESTARTS_MOST = 3

log = structlog.get_logger()


def start(settings: Settings, journal: Journal, held: Held) -> None:
    """Start a worker in a session of its own and write down who it is.

    It begins only when it reads the token (and the name of its file) from its standard input, which comes after it has
    been written down: a worker that nobody knows of never runs a job.
    """
    errors = journal.folder / "worker.log"
    if errors.exists() and errors.stat().st_size > _LOG_MOST_BYTES:
        errors.replace(errors.with_suffix(".log.1"))
    with errors.open("ab") as out:
        errors.chmod(0o600)
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "claw.worker", str(journal.folder)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=journal.folder,
            env=worker_environ(),
            start_new_session=True,
        )
    token = settings.token_now()
    held.worker_pid, held.worker_start = worker.pid, identity.start_mark(worker.pid)
    held.worker_token = token_digest(token)
    journal.save(held)
    try:
        with cast("IO[bytes]", worker.stdin) as pipe:
            pipe.write(f"{token}\n{settings.token_file or ''}\n".encode())
    except OSError:
        log.error("claw.worker_did_not_start", job_id=held.job_id, pid=worker.pid)
    # It is known by pid and start mark from here on, to us as to a later process.
    worker.returncode = 0
    log.info("claw.worker_started", job_id=held.job_id, fence=held.fence, pid=worker.pid)


def take_up(settings: Settings, journal: Journal, held: Held) -> None:
    """Leave our token for the worker of this job, if one runs that somebody before us has started.

    It may have another one, and cannot always read the file that ours came from: systemd shows each service the
    credentials that were there when it was started.
    """
    token = settings.token_now()
    if held.worker_token == token_digest(token) or not running(held):
        return
    try:
        write_durably(journal.handed_token, f"{token}\n".encode())
    except OSError as e:  # the worker goes on with its own as long as that is good
        log.warning("claw.token_not_handed", job_id=held.job_id, error=str(e))


def running(held: Held) -> bool:
    """Tell whether the worker of this job runs."""
    return identity.alive(held.worker_pid, held.worker_start)


def wait_end(held: Held, seconds: float) -> bool:
    """Wait until the worker of this job has ended, at most `seconds`; tells whether none runs."""
    if held.worker_pid is None or held.worker_start is None:
        return True
    return identity.wait_end(held.worker_pid, held.worker_start, seconds)


def begun(held: Held) -> bool:
    """Tell whether a process has ever been given this job."""
    return held.worker_pid is not None or held.in_phase


def end(settings: Settings, held: Held) -> None:
    """End the worker, asking first, and everything that the job has left running."""
    if held.worker_pid is not None and held.worker_start is not None:
        # A worker that is asked gives the job back itself; it needs its grace for the child, and a moment to report.
        identity.end_process(held.worker_pid, held.worker_start, settings.kill_grace_seconds + 10)
    sweep(held)


def sweep(held: Held) -> None:
    """Kill what a dead worker's job may have left running."""
    if not identity.kill_marked(job_marks(held)):
        log.error("claw.left_running", job_id=held.job_id, fence=held.fence)


def resumable(held: Held) -> bool:
    """Tell whether a new worker may go on where a dead one stopped: between two phases nothing is done twice."""
    return not held.in_phase and held.restarts < _RESTARTS_MOST


def mourn(journal: Journal, held: Held) -> None:
    """Put the failure of a worker that died into the outbox."""
    sweep(held)
    log.error("claw.worker_died", job_id=held.job_id, fence=held.fence, pid=held.worker_pid)
    where = f" in phase {held.phase + 1}" if held.in_phase else ""
    outbox.write(journal, held, outcome.fail(f"the claw's worker died{where} before the job had ended"))


def tidy(settings: Settings, held: Held) -> None:
    """Remove the folder of an attempt that has ended without its worker."""
    if not settings.keep_workspaces:
        workspace.settle(workspace.rooms(settings, held))
