"""HTTP as a plain client speaks it, without the product's own client: calls, raw bytes, event streams, many polls."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

TIMEOUT = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back. Header names in lower case; one that came twice is joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The `error` member of a refusal; with the body at hand when there is none."""
        try:
            return str(self.json["error"])
        except (ValueError, KeyError, TypeError):
            raise AssertionError(f"no problem document: {self.status} {self.body[:300]!r}") from None


@dataclass(frozen=True)
class Api:
    """Calls to one server with one token, a connection each."""

    port: int
    token: str | None = None
    worker_id: str | None = None
    host: str = "127.0.0.1"

    def by(self, worker_id: str | None) -> "Api":
        """The same token in another worker process."""
        return replace(self, worker_id=worker_id)

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of a call."""
        found = {}
        if self.token is not None:
            found["Authorization"] = f"Bearer {self.token}"
        if self.worker_id is not None:
            found["X-Worker-Id"] = self.worker_id
        return found | dict(more or {})

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """Make a call with the bytes as they are."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=self.headers(headers))
            response = connection.getresponse()
            return Answer(response.status, _joined(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> Answer:
        """GET."""
        return self.call("GET", path, headers=headers, timeout=timeout)

    def post(self, path: str, body: Any = None, timeout: float = TIMEOUT, **headers: str) -> Answer:
        """POST a JSON value, or an empty body for None; `Idempotency_Key="…"` becomes a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return self.call("POST", path, b"", sent, timeout)
        return self.call("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"} | sent, timeout)

    # --- short words for what nearly every test does -----------------------------------------------------------------

    def submit(self, **fields: Any) -> dict[str, Any]:
        """Submit a job that is expected to be taken; return it."""
        answer = self.post("/jobs", fields)
        assert answer.status == 201, answer
        job: dict[str, Any] = answer.json
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        answer = self.get(f"/jobs/{job_id}")
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.json
        return job

    def claim(self, job_id: str, **fields: Any) -> dict[str, Any]:
        """Claim a job by id; return it."""
        answer = self.post(f"/jobs/{job_id}/claim", fields or None)
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.json
        return job

    def claim_next(self, timeout: float = TIMEOUT, **fields: Any) -> list[dict[str, Any]]:
        """POST /jobs/claim; return the jobs, none for a 204."""
        answer = self.post("/jobs/claim", fields, timeout=timeout + float(fields.get("wait", 0)))
        if answer.status == 204:
            assert answer.body == b""
            return []
        assert answer.status == 200, answer
        jobs: list[dict[str, Any]] = answer.json["jobs"]
        return jobs

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return a job's attempts."""
        answer = self.get(f"/jobs/{job_id}/attempts")
        assert answer.status == 200, answer
        attempts: list[dict[str, Any]] = answer.json["attempts"]
        return attempts

    def events(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """Return all events, or those of a job (up to 1,000)."""
        answer = self.get(f"/jobs/{job_id}/events?limit=1000" if job_id else "/events?limit=1000")
        assert answer.status == 200, answer
        events: list[dict[str, Any]] = answer.json["events"]
        return events

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> "EventStream":
        """Open a stream of server-sent events; the caller closes it (`with`)."""
        return EventStream(self, path, dict(headers or {}))

    def poll(self, **fields: Any) -> "Poll":
        """Send a claim that waits, without waiting for its answer."""
        return Poll(self, fields)


class EventStream:
    """An open stream; `events` yields (event, data, id) with a deadline for each."""

    def __init__(self, api: Api, path: str, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection(api.host, api.port, timeout=TIMEOUT)
        self._connection.request("GET", path, headers=api.headers({"Accept": "text/event-stream"} | headers))
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.headers = _joined(self.response.getheaders())
        self._parsed = self._parse()

    def __enter__(self) -> "EventStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.response.close()
        self._connection.close()

    def next(self) -> tuple[str, Any, str | None]:
        """Return the next event; comments are passed over. Times out as any call does."""
        return next(self._parsed)

    def until(self, event: str) -> list[tuple[str, Any, str | None]]:
        """Return events up to and with the first of this kind."""
        found: list[tuple[str, Any, str | None]] = []
        while not found or found[-1][0] != event:
            found.append(self.next())
        return found

    def rest(self) -> list[tuple[str, Any, str | None]]:
        """Return all further events: the server must end the stream."""
        return list(self._parsed)

    def _parse(self) -> Iterator[tuple[str, Any, str | None]]:
        kind, event_id = "message", None
        data: list[str] = []
        while line := self.response.readline():
            text = line.decode().rstrip("\r\n")
            if not text:
                if data:
                    yield kind, json.loads("\n".join(data)), event_id
                kind, data = "message", []
                continue
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                event_id = value


class Poll:
    """One waiting claim on a connection of its own: sent at once, answered later."""

    def __init__(self, api: Api, fields: dict[str, Any]) -> None:
        body = json.dumps(fields).encode()
        lines = [f"{k}: {v}" for k, v in api.headers({"Host": "localhost", "Content-Length": str(len(body))}).items()]
        self._socket = socket.create_connection((api.host, api.port), TIMEOUT)
        self._socket.sendall("\r\n".join(["POST /jobs/claim HTTP/1.1", *lines, "", ""]).encode() + body)

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def answer(self, seconds: float = TIMEOUT) -> Answer:
        """Wait for the answer."""
        self._socket.settimeout(seconds)
        return read_answer(self._socket)

    def jobs(self, seconds: float = TIMEOUT) -> list[dict[str, Any]]:
        """Wait for the answer and return its jobs."""
        answer = self.answer(seconds)
        assert answer.status in (200, 204), answer
        return [] if answer.status == 204 else list(answer.json["jobs"])

    def close(self) -> None:
        """Vanish."""
        self._socket.close()


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Open a raw connection."""
    return socket.create_connection((host, port), TIMEOUT)


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    """Read one answer from a raw connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, _joined(response.getheaders()), response.read())


def exchange(port: int, sent: bytes, timeout: float = TIMEOUT) -> Answer:
    """Send raw bytes, read one answer."""
    with connect(port) as connection:
        connection.settimeout(timeout)
        connection.sendall(sent)
        return read_answer(connection)


def multipart(
    content: bytes,
    filename: str | None = "a.bin",
    name: str = "file",
    content_type: str | None = "application/octet-stream",
) -> tuple[bytes, dict[str, str]]:
    """Write a form with one part; return the body and its headers."""
    about = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"--limit\r\nContent-Disposition: {about}\r\n{kind}\r\n".encode()
    return head + content + b"\r\n--limit--\r\n", {"Content-Type": "multipart/form-data; boundary=limit"}


def _joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def elapsed(since: float) -> float:
    """Seconds since a `time.monotonic()`."""
    return time.monotonic() - since
