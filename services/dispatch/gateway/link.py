"""One WebSocket to a gateway: a thread reads, answers find the calls that wait for them, silence ends the link.

A link is opened once and dies once; `dispatch.gateway.client` opens the next.
"""

import contextlib
import ipaddress
import logging
import queue
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from dispatch.gateway import frames
from dispatch.gateway.errors import GatewayError, ProtocolFault, Unreachable
from dispatch.gateway.frames import Response, Told

MAX_FRAME = 26 * 1024 * 1024
"""Bytes; a gateway sends at most 25 MiB."""
_LOGGER = logging.getLogger("dispatch.gateway.socket")
_LOGGER.setLevel(logging.WARNING)  # at debug the library writes down every frame, the token's too
_STARTING = frozenset({1012, 1013})
_CLOSE_SECONDS = 2.0
_SILENT_TICKS = 2
_UNTIL_POLICY_SECONDS = 60.0


class Call:
    """A request under way: its answers, in the order in which they come."""

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self._answers: queue.Queue[Response | GatewayError] = queue.Queue()

    def put(self, found: Response | GatewayError) -> None:
        """Add an answer, or the end of the link."""
        self._answers.put(found)

    def next(self, seconds: float) -> Response | None:
        """Return the next answer, or None when none came in time.

        Raises:
            GatewayError: the link is dead, so that none will come.
        """
        try:
            found = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if isinstance(found, GatewayError):
            self._answers.put(found)
            raise found
        return found


class Link:
    """Opened by `open`; every method may be called from any thread.

    Args:
        url: for messages.
        socket: an open connection; the link owns it.
        on_event: called by the reading thread with every event.
    """

    def __init__(self, url: str, connection: ClientConnection, on_event: Callable[[Told], None]) -> None:
        self.url = url
        self._socket, self._on_event = connection, on_event
        self._calls: dict[str, Call] = {}
        self._challenge: queue.Queue[Told | GatewayError] = queue.Queue()
        self._lock = threading.Lock()
        self._fault: GatewayError | None = None
        self._silence = _UNTIL_POLICY_SECONDS
        self._reader = threading.Thread(target=self._read, name="gateway-reader", daemon=True)
        self._reader.start()

    @classmethod
    def open(cls, url: str, seconds: float, on_event: Callable[[Told], None]) -> "Link":
        """Connect.

        Raises:
            Unreachable: nobody listens, or nobody answers within `seconds`.
            ProtocolFault: what answers is no gateway.
        """
        try:
            connection = connect(
                url,
                open_timeout=seconds,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=None,  # the gateway's tick tells that it lives
                compression=None,
                max_size=MAX_FRAME,
                proxy=None if _loopback(url) else True,
                logger=_LOGGER,
                legacy=True,
            )
        except InvalidStatus as e:
            status = e.response.status_code
            text = f"{url} answers HTTP {status} instead of opening a WebSocket; is it a gateway, or a proxy before it?"
            if status in (502, 503, 504):
                raise Unreachable(text) from e
            raise ProtocolFault(text) from e
        except ssl.SSLError as e:
            raise ProtocolFault(f"{url}: {e.reason or e}; is its certificate one that this machine trusts?") from e
        except (TimeoutError, OSError, InvalidMessage) as e:
            why = f"no answer within {seconds:.1f} s" if isinstance(e, TimeoutError) else _reason(e)
            raise Unreachable(
                f"{url} cannot be reached: {why}; is the gateway running (openclaw gateway status)?"
            ) from e
        except (InvalidHandshake, WebSocketException, ImportError) as e:  # a SOCKS proxy needs a package more
            raise ProtocolFault(f"{url} does not speak WebSocket ({e}); is it a gateway?") from e
        return cls(url, connection, on_event)

    @property
    def fault(self) -> GatewayError | None:
        """Why the link is dead; None while it lives."""
        return self._fault

    def expect_ticks(self, seconds: float) -> None:
        """From now on, silence of two such intervals ends the link."""
        self._silence = _SILENT_TICKS * seconds

    def challenge(self, seconds: float) -> dict[str, Any]:
        """Return the payload of the event with which a gateway begins.

        Raises:
            GatewayError: it did not come in time, or the link died.
        """
        try:
            found = self._challenge.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise Unreachable(
                f"{self.url} took the connection and says nothing; is it a gateway, and is it not stuck?"
            ) from None
        if isinstance(found, GatewayError):
            raise found
        return found.payload if isinstance(found.payload, dict) else {}

    def send(self, method: str, params: dict[str, Any], seconds: float) -> Call:
        """Send a request, and return where its answers will come.

        Raises:
            GatewayError: the link is dead, or the gateway took no more bytes for `seconds`.
        """
        call = Call(uuid.uuid4().hex)
        with self._lock:
            if self._fault is not None:
                raise self._fault
            self._calls[call.id] = call
        # A gateway that reads nothing would hold the sender for ever: the cut ends that.
        guard = threading.Timer(max(0.01, seconds), self._cut)
        guard.daemon = True
        guard.start()
        try:
            self._socket.send(frames.request(call.id, method, params))
        except (ConnectionClosed, OSError) as e:
            self._reader.join(_CLOSE_SECONDS)
            raise self._fault or Unreachable(f"{self.url}: the connection broke while {method} was sent") from e
        finally:
            guard.cancel()
        return call

    def forget(self, call: Call) -> None:
        """Await no answer of this call any more; one that still comes is dropped."""
        with self._lock:
            self._calls.pop(call.id, None)

    def close(self) -> None:
        """End the link in order, within two seconds or so."""
        self._die(Unreachable(f"{self.url}: the connection was closed by this side"))
        guard = threading.Timer(_CLOSE_SECONDS, self._cut)
        guard.daemon = True
        guard.start()
        with contextlib.suppress(WebSocketException, OSError):
            self._socket.close()
        guard.cancel()
        self._reader.join(_CLOSE_SECONDS)

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        try:
            while self._fault is None:
                self._take(frames.read(self._socket.recv(timeout=self._silence)))
        except TimeoutError:
            self._die(Unreachable(f"{self.url}: silent for {self._silence:.0f} s, two of its ticks; the link is dead"))
        except ConnectionClosed as e:
            self._die(self._closed(e))
        except GatewayError as e:
            self._die(e)
        except Exception as e:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._die(ProtocolFault(f"{self.url}: {e.__class__.__name__} while reading"))
        self._cut()

    def _closed(self, e: ConnectionClosed) -> Unreachable:
        code = e.rcvd.code if e.rcvd else None
        reason = f": {e.rcvd.reason}" if e.rcvd and e.rcvd.reason else ""
        if code in _STARTING:
            return Unreachable(f"{self.url} stops or starts (close {code}{reason})", starting=True)
        told = f"closed the connection ({code}{reason})" if code else "broke the connection off"
        return Unreachable(f"{self.url} {told}")

    def _take(self, frame: frames.Frame | None) -> None:
        if isinstance(frame, Response):
            with self._lock:
                call = self._calls.get(frame.id)
            if call is not None:
                call.put(frame)
        elif isinstance(frame, Told):
            if frame.event == "connect.challenge":
                self._challenge.put(frame)
            else:
                self._on_event(frame)

    def _die(self, fault: GatewayError) -> None:
        with self._lock:
            if self._fault is not None:
                return
            self._fault = fault
            waiting = list(self._calls.values())
            self._calls.clear()
        self._challenge.put(fault)
        for call in waiting:
            call.put(fault)
        self._on_event(Told(event="link"))


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(e: BaseException) -> str:
    return e.strerror if isinstance(e, OSError) and e.strerror else str(e) or e.__class__.__name__


def left(deadline: float) -> float:
    """Return the seconds until a moment of the monotonic clock, at least 0."""
    return max(0.0, deadline - time.monotonic())
