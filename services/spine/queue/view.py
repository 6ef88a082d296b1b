"""Rows as the records of the wire, encoded."""

from collections.abc import Iterable
from typing import Any

import msgspec

from contract import wire
from contract.clock import iso, iso_or_none
from spine.queue.notices import Said
from spine.store import comments, notices
from spine.store.attempts import AttemptRow
from spine.store.comments import CommentRow
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.notices import NoticeRow

_encode = msgspec.json.Encoder().encode
# Most members of most jobs.
_PLAIN = {text: msgspec.Raw(text.encode()) for text in ("[]", "{}", "null")}


def raw(text: str | None) -> Any:
    """Put stored JSON text into a record as it stands."""
    if text is None:
        return None
    return _PLAIN.get(text) or msgspec.Raw(text.encode())


def comment_records(rows: Iterable[CommentRow]) -> list[wire.CommentRecord]:
    """Return comments as records."""
    return [wire.CommentRecord(t=iso(row.at), by=row.author, text=row.text) for row in rows]


def job_record(tx: Tx, job: JobRow, new_since: int | None = None) -> wire.Job:
    """Return a job as a record; with `new_since` (a comment's seq) it carries `newComments`."""
    rows = comments.of_job(tx, job.id) if job.comments else []
    record = wire.Job(
        id=job.id,
        target=job.target,
        status=job.status,
        created_at=iso(job.created_at),
        updated_at=iso(job.updated_at),
        created_by=job.created_by,
        claimed_by=job.claimed_by,
        lease_until=iso_or_none(job.lease_until),
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        spec=raw(job.spec),
        meta=raw(job.meta),
        comments=comment_records(rows),
        result=raw(job.result),
        error=job.error,
        priority=job.priority,
        timeout_seconds=job.timeout_seconds,
        requires=raw(job.requires),
        label=job.label,
        parent_id=job.parent_id,
        traceparent=job.traceparent,
        fence=job.fence,
        round=job.round,
        worker_id=job.worker_id,
        machine=job.machine,
        started_at=iso_or_none(job.started_at),
        finished_at=iso_or_none(job.finished_at),
        version=job.version,
        not_before=iso_or_none(job.not_before),
        concurrency_key=job.concurrency_key,
        concurrency_limit=job.concurrency_limit,
        after=raw(job.after),
        retry=raw(job.retry),
        dedupe_key=job.dedupe_key,
        needs_review=bool(job.needs_review),
        notify=raw(job.notify),
        delivery=raw(job.delivery),
    )
    if job.approval is not None:
        record.needs_approval = True
        record.approval = wire.Approval(state=job.approval, spec_digest=job.spec_digest or "", by=job.approval_by)
    if job.review is not None:
        record.review = wire.ReviewState(state=job.review, by=job.review_by)
    if job.progress is not None:
        record.progress = raw(job.progress)
    if job.release_reason is not None:
        record.release_reason = job.release_reason
    if job.schedule_id is not None:
        record.schedule_id = job.schedule_id
    if new_since is not None:
        record.new_comments = comment_records(row for row in rows if row.seq > new_since)
    return record


def job(tx: Tx, row: JobRow, new_since: int | None = None, messages: list[wire.Message] | None = None) -> bytes:
    """Encode one job, with the messages for its holder when there are some."""
    record = job_record(tx, row, new_since)
    if messages:
        record.messages = messages
    return _encode(record)


def job_list(tx: Tx, rows: Iterable[JobRow], truncated: bool = False, next_cursor: str | None = None) -> bytes:
    """Encode a list of jobs."""
    record = wire.JobList(jobs=[job_record(tx, row) for row in rows])
    if truncated:
        record.truncated = True
    if next_cursor is not None:
        record.next_cursor = next_cursor
    return _encode(record)


def claimed(tx: Tx, rows: Iterable[JobRow], messages: list[wire.Message]) -> bytes:
    """Encode what a claim got, with the messages for the one who claims when there are some."""
    record = wire.Claimed(jobs=[job_record(tx, row) for row in rows])
    if messages:
        record.messages = messages
    return _encode(record)


def attempt_record(row: AttemptRow) -> wire.Attempt:
    """Return an attempt as a record."""
    record = wire.Attempt(
        fence=row.fence,
        round=row.round,
        attempt=row.attempt,
        outcome=row.outcome,
        claimed_by=row.claimed_by,
        worker_id=row.worker_id,
        machine=row.machine,
        started_at=iso(row.started_at),
        ended_at=iso_or_none(row.ended_at),
        error=row.error,
    )
    if row.result is not None:
        record.result = raw(row.result)
    if row.cause is not None:
        record.cause = row.cause
    if row.late_at is not None:
        record.late_at = iso(row.late_at)
        if row.late_result is not None:
            record.late_result = raw(row.late_result)
        if row.late_error is not None:
            record.late_error = row.late_error
    return record


def attempts(rows: Iterable[AttemptRow]) -> bytes:
    """Encode a job's attempts."""
    return _encode(wire.AttemptList(attempts=[attempt_record(row) for row in rows]))


def notice_record(row: NoticeRow) -> wire.Notice:
    """Return a notice as a record."""
    said = msgspec.json.decode(row.said, type=Said)
    return wire.Notice(
        id=row.id,
        type=said.type,
        status=row.status,
        alias=row.addressee,
        channel=row.channel,
        to=row.recipient,
        job_id=row.job_id,
        title=said.title,
        text=said.text,
        created_by=row.created_by,
        created_at=iso(row.created_at),
        due_at=iso(row.due_at) if row.ended_at is None else None,
        attempts=row.attempts,
        error=row.error,
        ended_at=iso_or_none(row.ended_at),
    )


def notice(row: NoticeRow) -> bytes:
    """Encode one notice."""
    return _encode(notice_record(row))


def notice_with_tries(tx: Tx, row: NoticeRow) -> bytes:
    """Encode one notice with every attempt at it."""
    record = notice_record(row)
    record.tries = [
        wire.NoticeAttempt(
            fence=t.fence,
            started_at=iso(t.started_at),
            ended_at=iso_or_none(t.ended_at),
            outcome=t.outcome,
            detail=t.detail,
        )
        for t in notices.attempts(tx, row.id)
    ]
    return _encode(record)


def notice_list(rows: Iterable[NoticeRow], next_cursor: str | None) -> bytes:
    """Encode a page of notices."""
    return _encode(wire.NoticeList(notices=[notice_record(row) for row in rows], next_cursor=next_cursor))
