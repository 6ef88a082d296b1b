"""The typed client of the native API, for heads and claws: base URLs with fail-over, timeouts, bounded retries.

Every verb that changes something carries an Idempotency-Key made here, so that repeating it after a lost answer is
safe. A client may be shared between threads; each thread gets an HTTP session of its own.
"""

import io
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import msgspec
import requests

from contract import __version__, wire
from contract.answers import fault_of, retry_after
from contract.answers import read as _read
from contract.errors import Draining, Unauthorized, Unavailable
from contract.multipart import FileForm
from contract.retry import ONCE, PATIENT, RetryPolicy
from contract.servers import Servers, cannot, nobody_there
from contract.servertime import ServerTime
from contract.sse import ServerEvent, parse_events

T = TypeVar("T")
_REPEATABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


class SpineClient:
    """Speaks to one spine, or to any of several that share a store.

    Args:
        base_urls: one or more, such as `http://127.0.0.1:36725`; the next is tried when one does not answer.
        token: sent as a bearer token, never logged.
        worker_id: sent as X-Worker-Id, binds claims to this process.
        connect_seconds, read_seconds: timeouts of one call; a waiting claim gets its wait on top.
        retry: how often a safe call is repeated.
        sleep: how to wait between two tries (a test or a stopping claw passes its own).
        renew: asked for a newer token when the spine does not know ours; None when there is none.
        lease: of the named lease (name and fence) under which everything is done: see `LeaseClient`.
    """

    def __init__(
        self,
        base_urls: str | Iterable[str],
        token: str,
        *,
        worker_id: str | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 20.0,
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], object] = time.sleep,
        renew: Callable[[str], str | None] = lambda used: None,
        lease: tuple[str, int] | None = None,
    ) -> None:
        self._servers = Servers([base_urls] if isinstance(base_urls, str) else base_urls)
        self._token, self._renew = token, renew
        self._headers = {"User-Agent": f"spinal-cord/{__version__}"}
        if worker_id:
            self._headers["X-Worker-Id"] = worker_id
        if lease is not None:
            self._headers["X-Spine-Lease"] = f"{lease[0]};{lease[1]}"
        self._timeouts = (connect_seconds, read_seconds)
        self._retry, self._sleep = retry, sleep
        self.on_messages: Callable[[list[wire.Message]], object] = lambda found: None  # what answers carried
        self._local, self.time = threading.local(), ServerTime()

    @property
    def base_url(self) -> str:
        """The base URL that answered last."""
        return self._servers.current

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
        answer = self._call("POST", "/jobs/claim", body=body, key=idempotency_key or _key(), extra_seconds=wait)
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

    # --- how a call is made ----------------------------------------------------------------------------------------

    def _get(self, path: str, kind: type[T], params: Any = None) -> T:
        return _read(self._call("GET", path, params=params), kind)

    def _post(self, path: str, body: Any, kind: type[T], key: str | None = None, keyed: bool = True) -> T:
        return _read(self._call("POST", path, body=body, key=(key or _key()) if keyed else None), kind)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # no .netrc: it would replace our bearer token
            # SSL_CERT_FILE, as other programs have it and requests does not: an authority of one's own can be named.
            session.verify = ssl.get_default_verify_paths().cafile or True
            session.headers.update(self._headers)
        return session

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        form: Callable[[], FileForm] | None = None,
        params: Any = None,
        headers: dict[str, str] | None = None,
        key: str | None = None,
        extra_seconds: float = 0,
        retry: RetryPolicy | None = None,
    ) -> requests.Response:
        """Make one call with fail-over and retries; every call here is safe to repeat (see the class).

        Each server is asked once before a wait. A call that is made once goes on to another server only when the one
        before has certainly not carried it out.

        Raises:
            SpineError: what the server answered, as the class of its code.
            Unavailable: no server answered in time.
        """
        sent = dict(headers or {})
        data: bytes | FileForm | None = raw
        if body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        if key:
            sent["Idempotency-Key"] = key
        policy = retry or self._retry
        deadline = time.monotonic() + policy.total_seconds + extra_seconds
        waits = policy.waits()
        renewed = False
        asked: set[str] = set()  # in this round
        while True:
            after: float | None = None
            used, url = self._token, self._servers.current
            if form is not None:
                data = form()
                sent["Content-Type"] = data.content_type
            try:
                answer = self._session().request(
                    method,
                    url + path,
                    data=data,
                    params=params,
                    headers=sent | _bearer(used),
                    timeout=(self._timeouts[0], self._timeouts[1] + extra_seconds),
                    allow_redirects=False,
                )
                self.time.hear(answer.headers.get("Date"))
                if answer.status_code < 300 or answer.status_code == 304:
                    return answer
                fault = fault_of(answer)
                if isinstance(fault, Unauthorized) and not renewed and (newer := self._renew(used)):
                    renewed, self._token = True, newer
                    continue
                if answer.status_code not in _REPEATABLE:
                    raise fault
                after = retry_after(answer)
                lost, untouched = cannot(answer), isinstance(fault, Draining)
            except requests.RequestException as e:
                fault = Unavailable(f"{method} {url}: no answer ({e.__class__.__name__})")
                fault.__cause__ = e
                lost, untouched = True, nobody_there(e)
            if lost:
                asked.add(url)
                self._servers.leave(url)
                repeats = policy.attempts > 1 or untouched
                if repeats and self._servers.current not in asked and time.monotonic() < deadline:
                    continue
                asked.clear()
            wait = next(waits, None)
            if wait is None:
                raise fault
            wait = max(wait, min(after or 0.0, policy.cap_seconds))
            if time.monotonic() + wait > deadline:
                raise fault
            self._sleep(wait)

    def _stream(
        self, path: str, params: dict[str, Any], cursor: str | None, heard: Callable[[], None] | None = None
    ) -> Generator[ServerEvent, None, None]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {}) | _bearer(self._token)
        url = self._servers.current
        try:
            # A ping comes every 15 s, so twice that without a byte means a dead connection.
            with self._session().get(
                url + path,
                params=params,
                headers=headers,
                stream=True,
                timeout=(self._timeouts[0], 35),
                allow_redirects=False,
            ) as answer:
                if answer.status_code >= 300:
                    if cannot(answer):
                        self._servers.leave(url)
                    raise fault_of(answer)
                yield from parse_events(answer.iter_content(chunk_size=None), heard)
        except requests.RequestException as e:
            self._servers.leave(url)
            raise Unavailable(f"GET {url}{path}: the stream ended ({e.__class__.__name__})") from e


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _key() -> str:
    return uuid.uuid4().hex


def _job(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"
