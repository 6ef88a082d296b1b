"""Comments: what people and claws say about a job, in any status."""

from spine.queue.access import Caller, visible
from spine.queue.mentions import note_mentions
from spine.store import comments, events, jobs
from spine.store.engine import Tx
from spine.store.jobs import JobRow


def comment(tx: Tx, caller: Caller, job_id: str, text: str) -> JobRow:
    """Add a comment; the holder gets it as `newComments` with its next heartbeat.

    Raises:
        NotFound, Forbidden
    """
    job = visible(tx, caller.principal, job_id)
    comments.add(tx, job.id, caller.name, text)
    note_mentions(tx, job.id, text)
    events.append(tx, "job.comment", caller.name, job.id, job.target, {"text": text})
    return jobs.count_comment(tx, job)
