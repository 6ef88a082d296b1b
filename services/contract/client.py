"""The typed client of the native API, for heads and claws: what there is to call. How, `contract.transport` knows.

A client may be shared between threads; each thread gets an HTTP session of its own.
"""

import io
from collections.abc import Callable, Generator, Iterable
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from contract import wire
from contract.answers import read as _read
from contract.multipart import FileForm
from contract.retry import ONCE
from contract.sse import ServerEvent
from contract.transport import Transport, fresh_key


class SpineClient(Transport):
    """Jobs, what a claw says, logs, events, blobs."""

    # --- jobs ------------------------------------------------------------------------------------------------------

    def submit(self, fields: dict[str, Any], idempotency_key: str | None = None) -> wire.Job:
        """Submit one job; `fields` are the members of `wire.Submit` in camelCase."""
        return self._post("/jobs", fields, wire.Job, key=idempotency_key)

    def job(self, job_id: str) -> wire.Job:
        """Return a job.

        Raises:
            NotFound, Forbidden: as the server says.
        """
        return self._get(_job(job_id), wire.Job)

    def jobs(self, **query: str | int) -> wire.JobList:
        """List jobs, oldest first; `query` holds filters such as status, target, limit, cursor."""
        return self._get("/jobs", wire.JobList, params=query)

    def attempts(self, job_id: str) -> list[wire.Attempt]:
        """Return every claim of a job, oldest first."""
        return self._get(f"{_job(job_id)}/attempts", wire.AttemptList).attempts

    def comment(self, job_id: str, text: str) -> wire.Job:
        """Add a comment."""
        return self._post(f"{_job(job_id)}/comment", {"text": text}, wire.Job)

    # --- what a claw says ------------------------------------------------------------------------------------------

    def claim(
        self,
        *,
        capabilities: Iterable[str] = (),
        targets: Iterable[str] | None = None,
        most: int = 1,
        wait: float = 0,
        idempotency_key: str | None = None,
    ) -> list[wire.Job]:
        """Claim up to `most` jobs, waiting up to `wait` seconds (30 at most); an empty list when none came."""
        body: dict[str, Any] = {"capabilities": list(capabilities), "max": most, "wait": wait}
        if targets is not None:
            body["targets"] = list(targets)
        answer = self._call("POST", "/jobs/claim", body=body, key=idempotency_key or fresh_key(), extra_seconds=wait)
        if answer.status_code == 204:
            return []
        found = _read(answer, wire.Claimed)
        self._hear(found.messages)
        return found.jobs

    def claim_one(self, job_id: str, capabilities: Iterable[str] | None = None) -> wire.Job:
        """Claim one job by id, with a full lease at once.

        Raises:
            AlreadyClaimed, TerminalStatus, MaxAttemptsReached, NotClaimable, Forbidden, NotFound
        """
        body = {} if capabilities is None else {"capabilities": list(capabilities)}
        return self._post(f"{_job(job_id)}/claim", body, wire.Job)

    def heartbeat(self, job_id: str, fence: int, progress: Any = msgspec.UNSET) -> wire.Job:
        """Extend the lease; the answer carries `newComments`.

        Raises:
            StaleFence, NotRunning: the job is not this holder's any more; stop working on it.
        """
        body = {"fence": fence} if progress is msgspec.UNSET else {"fence": fence, "progress": progress}
        job = self._post(f"{_job(job_id)}/heartbeat", body, wire.Job, keyed=False)
        self._hear(job.messages)
        return job

    def _hear(self, found: list[wire.Message] | msgspec.UnsetType) -> None:
        if not isinstance(found, msgspec.UnsetType):
            self.on_messages(found)

    def complete(self, job_id: str, fence: int, result: Any, idempotency_key: str | None = None) -> wire.Job:
        """Report success.

        Raises:
            StaleFence: with `lateResult: kept` in its members when the spine stored the result all the same.
        """
        body = {"fence": fence, "result": result}
        return self._post(f"{_job(job_id)}/complete", body, wire.Job, key=idempotency_key)

    def fail(
        self,
        job_id: str,
        fence: int,
        error: str | None,
        requeue: bool = True,
        idempotency_key: str | None = None,
        result: Any = None,
        cause: str | None = None,
        not_before: str | None = None,
    ) -> wire.Job:
        """Report failure: another try with `requeue`, while attempts last. A result stays on a job that ends.

        `cause`: transient, overload or permanent. `not_before` (ISO 8601): when another try may begin.
        """
        body = {"fence": fence, "error": error, "requeue": requeue} | ({} if result is None else {"result": result})
        body |= {n: v for n, v in (("cause", cause), ("notBefore", not_before)) if v is not None}
        return self._post(f"{_job(job_id)}/fail", body, wire.Job, key=idempotency_key)

    def release(
        self,
        job_id: str,
        fence: int,
        reason: str | None = None,
        count_attempt: bool = True,
        idempotency_key: str | None = None,
        not_before: str | None = None,
    ) -> wire.Job:
        """Give the job back to the queue, to be claimed at `not_before` (ISO 8601) at the earliest."""
        body = {"fence": fence, "reason": reason, "countAttempt": count_attempt}
        body |= {} if not_before is None else {"notBefore": not_before}
        return self._post(f"{_job(job_id)}/release", body, wire.Job, key=idempotency_key)

    # --- logs, events, blobs ---------------------------------------------------------------------------------------

    def append_log(self, job_id: str, fence: int, offset: int, data: bytes) -> wire.LogState:
        """Append bytes at an offset of this attempt's log; repeating the same bytes is harmless.

        Raises:
            LogGap: go on from its `size`. LogConflict: other bytes stand there.
        """
        answer = self._call(
            "POST",
            f"{_job(job_id)}/log",
            raw=data,
            params={"offset": offset},
            headers={"X-Spine-Fence": str(fence), "Content-Type": "application/octet-stream"},
        )
        return _read(answer, wire.LogState)

    def read_log(self, job_id: str, offset: int = 0, fence: int | None = None, limit: int | None = None) -> bytes:
        """Return a range of the newest attempt's log, or of the one with `fence`."""
        params = {k: v for k, v in {"offset": offset, "fence": fence, "limit": limit}.items() if v is not None}
        return self._call("GET", f"{_job(job_id)}/log", params=params).content

    def follow_log(self, job_id: str, offset: int = 0, fence: int | None = None) -> Generator[ServerEvent, None, None]:
        """Yield `log` events as bytes arrive and a last `end` event; the connection is made once, not resumed."""
        params = {"follow": 1, "offset": offset} | ({} if fence is None else {"fence": fence})
        return self._stream(f"{_job(job_id)}/log", params, None)

    def events(self, cursor: str | None = None, job_id: str | None = None, limit: int = 100) -> wire.EventPage:
        """Return a page of events after `cursor`."""
        path = "/events" if job_id is None else f"{_job(job_id)}/events"
        params: dict[str, str | int] = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        return self._get(path, wire.EventPage, params=params)

    def follow_events(
        self, cursor: str | None = None, job_id: str | None = None, heard: Callable[[], None] | None = None
    ) -> Generator[ServerEvent, None, None]:
        """Yield events as they happen, from a cursor on; the connection is made once, not resumed.

        `heard` is called whenever bytes arrive: a stream on which nothing happens has a ping every 15 s.
        """
        return self._stream("/events" if job_id is None else f"{_job(job_id)}/events", {}, cursor, heard)

    def upload(
        self, filename: str, content: BinaryIO | bytes, content_type: str = "application/octet-stream"
    ) -> wire.Blob:
        """Store a file, read in blocks from where it stands to its end.

        A repeat after a lost answer stores it twice, which wastes space and breaks nothing.
        """
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        start = source.tell()
        size = source.seek(0, io.SEEK_END) - start

        def form() -> FileForm:
            source.seek(start)
            return FileForm("file", filename, source, size, content_type)

        answer = self._call("POST", "/blobs", form=form)
        return _read(answer, wire.Blob)

    def download(self, blob_id: str) -> bytes:
        """Return a stored file's bytes (meant for small ones)."""
        return self._call("GET", f"/blobs/{quote(blob_id, safe='')}").content

    # --- the server itself -----------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Return the health document (no retries hidden: it is a probe)."""
        return _read(self._call("GET", "/health", retry=ONCE), dict[str, Any])

    def skill(self) -> str:
        """Return the skill document."""
        return self._call("GET", "/skill.md").content.decode()


def _job(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"
