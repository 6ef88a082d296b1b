"""A job's log: bytes appended at an offset under a fence, so that repeating a lost call is harmless."""

from contract.errors import LogConflict, LogGap, TooLarge
from contract.states import Status
from spine.queue.access import Caller, Principal, not_running, visible
from spine.queue.rules import Rules
from spine.queue.settle import held, stretch
from spine.store import logs
from spine.store.engine import Tx
from spine.store.logs import LogRow


def append(
    tx: Tx, rules: Rules, caller: Caller, job_id: str, fence: int | None, offset: int | None, data: bytes
) -> tuple[int, int]:
    """Append to the newest attempt's log; return its fence and size. `offset` None: at the end (not safe to repeat).

    Raises:
        StaleFence, NotRunning, NotOwner, NotFound, Forbidden
        LogGap: the offset lies beyond the end. LogConflict: other bytes stand there. TooLarge: over the limit.
    """
    job = held(tx, caller, job_id, fence)
    if job.status not in (Status.RUNNING, Status.QUEUED) or job.fence == 0:
        raise not_running(job)
    log = logs.find(tx, job.id, job.fence)
    size = 0 if log is None else log.size
    at = size if offset is None else offset
    if at > size:
        raise LogGap(f"the log ends at {size}, the offset is {at}", size=size, jobId=job.id)
    known = data[: size - at]
    if known and (log is None or log.blob_id is not None or logs.read(tx, job.id, job.fence, at, len(known)) != known):
        raise LogConflict(f"other bytes stand at {at}", size=size, jobId=job.id)
    fresh = data[size - at :]
    if size + len(fresh) > rules.log_max_bytes:
        raise TooLarge(f"an attempt's log holds at most {rules.log_max_bytes} bytes", limit=rules.log_max_bytes)
    if fresh:
        size = logs.append(tx, job.id, job.fence, size, fresh)
    if job.status == Status.RUNNING and not job.accepted:
        stretch(tx, rules, job)
    return job.fence, size


def locate(tx: Tx, principal: Principal, job_id: str, fence: int | None) -> tuple[LogRow, bool]:
    """Return an attempt's log (an empty one when nothing came) and whether it may still grow.

    Raises:
        NotFound, Forbidden
    """
    job = visible(tx, principal, job_id)
    log = logs.find(tx, job.id, fence)
    if log is None:
        log = LogRow(job.id, job.fence if fence is None else fence, 0, None)
    growing = job.status == Status.RUNNING and log.fence == job.fence
    if fence is None and job.status in (Status.QUEUED, Status.WAITING, Status.RUNNING):
        growing = True
    return log, growing
