"""How a spine is called: base URLs with fail-over, timeouts, bounded retries, an id for each call that both logs have.

Every verb that changes something carries an Idempotency-Key made here, so that repeating it after a lost answer is
safe. What there is to call stands in `contract.client`.
"""

import ssl
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import msgspec
import requests
import structlog

from contract import __version__, requestid, trace, wire
from contract.answers import fault_of, retry_after
from contract.answers import read as _read
from contract.errors import Draining, SpineError, Unauthorized, Unavailable
from contract.multipart import FileForm
from contract.retry import PATIENT, RetryPolicy
from contract.servers import Servers, cannot, nobody_there
from contract.servertime import ServerTime
from contract.sse import ServerEvent, parse_events

T = TypeVar("T")
_log = structlog.get_logger()
_REPEATABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


class Transport:
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
        self._person: str | None = None  # for whom a chat front speaks
        self.traceparent: str | None = None  # the span in which calls are made from now on
        self.on_messages: Callable[[list[wire.Message]], object] = lambda found: None  # what answers carried
        self._local, self.time = threading.local(), ServerTime()

    @property
    def base_url(self) -> str:
        """The base URL that answered last."""
        return self._servers.current

    @property
    def request_id(self) -> str | None:
        """What the logs of both sides call the last call of this thread; None before the first."""
        return getattr(self._local, "request_id", None)

    # --- how a call is made ----------------------------------------------------------------------------------------

    def _get(self, path: str, kind: type[T], params: Any = None) -> T:
        return _read(self._call("GET", path, params=params), kind)

    def _post(self, path: str, body: Any, kind: type[T], key: str | None = None, keyed: bool = True) -> T:
        return _read(self._call("POST", path, body=body, key=(key or fresh_key()) if keyed else None), kind)

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
        """Make one call under an id of its own, the same for all its tries; log it when it failed.

        Raises:
            SpineError: what the server answered, as the class of its code.
            Unavailable: no server answered in time.
        """
        request_id = self._local.request_id = requestid.fresh()
        sent = {**(headers or {}), requestid.HEADER: request_id}
        if self._person is not None:
            sent["X-Spine-For"] = self._person
        if self.traceparent is not None:
            sent[trace.HEADER] = self.traceparent
        try:
            return self._try(method, path, sent, body, raw, form, params, key, extra_seconds, retry or self._retry)
        except SpineError as e:
            if structlog.is_configured():  # else it would print what it logs
                _log.info(
                    "call.failed",
                    method=method,
                    path=path,
                    code=e.code,
                    request_id=request_id,
                    **trace.named(self.traceparent),
                )
            raise

    def _try(
        self,
        method: str,
        path: str,
        sent: dict[str, str],
        body: Any,
        raw: bytes | None,
        form: Callable[[], FileForm] | None,
        params: Any,
        key: str | None,
        extra_seconds: float,
        policy: RetryPolicy,
    ) -> requests.Response:
        """Make one call with fail-over and retries; every call here is safe to repeat (see the class).

        Each server is asked once before a wait. A call that is made once goes on to another server only when the one
        before has certainly not carried it out.

        Raises:
            SpineError: what the server answered, as the class of its code.
            Unavailable: no server answered in time.
        """
        data: bytes | FileForm | None = raw
        if body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        if key:
            sent["Idempotency-Key"] = key
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
        self._local.request_id = requestid.fresh()
        headers = {"Accept": "text/event-stream", requestid.HEADER: self._local.request_id}
        headers |= {"Last-Event-ID": cursor} if cursor else {}
        renewed = False
        while True:
            used, url = self._token, self._servers.current
            try:
                # A ping comes every 15 s, so twice that without a byte means a dead connection.
                with self._session().get(
                    url + path,
                    params=params,
                    headers=headers | _bearer(used),
                    stream=True,
                    timeout=(self._timeouts[0], 35),
                    allow_redirects=False,
                ) as answer:
                    if answer.status_code < 300:
                        yield from parse_events(answer.iter_content(chunk_size=None), heard)
                        return
                    fault = fault_of(answer)
                    if cannot(answer):
                        self._servers.leave(url)
            except requests.RequestException as e:
                self._servers.leave(url)
                raise Unavailable(f"GET {url}{path}: the stream ended ({e.__class__.__name__})") from e
            if renewed or not isinstance(fault, Unauthorized) or not (newer := self._renew(used)):
                raise fault
            renewed, self._token = True, newer


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def fresh_key() -> str:
    """Return an Idempotency-Key that was not used before."""
    return uuid.uuid4().hex
