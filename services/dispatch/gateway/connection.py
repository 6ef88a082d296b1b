"""A connection that outlives its links: a link that broke is opened anew by the next call, with bounded retries."""

import threading
import time
from typing import Any

from contract.retry import RetryPolicy
from dispatch.gateway import frames, handshake, identity
from dispatch.gateway.errors import GatewayError, MissingScope, NeedsPairing, ProtocolFault, Unreachable, Unsupported
from dispatch.gateway.frames import Response
from dispatch.gateway.handshake import SCOPES, Granted
from dispatch.gateway.link import Call, Link, left
from dispatch.gateway.runs import Events
from dispatch.settings import Settings

OPEN_SECONDS = 15.0
"""One try to connect: TCP, upgrade and handshake."""
CALL_SECONDS = 30.0
_REFUSED = RetryPolicy(attempts=3, base_seconds=0.2, cap_seconds=1.0)
_BROKEN = RetryPolicy(attempts=4, base_seconds=0.2, cap_seconds=2.0)
_STARTING = RetryPolicy(attempts=12, base_seconds=0.5, cap_seconds=4.0)


class Connection:
    """Calls over the link of the moment; any thread may make them.

    Args:
        settings: `settings.gateway` says where and with what, `settings.home` holds the device's identity.
        patience: seconds for which a gateway that is starting or stopping is waited for.

    Raises:
        SettingsError: the address, the token or the identity's folder cannot be used.
    """

    def __init__(self, settings: Settings, patience: float) -> None:
        self._address = settings.gateway.checked()
        self._identity = identity.load(settings.home)
        self._patience = patience
        self._scopes: tuple[str, ...] = SCOPES
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._granted: Granted | None = None
        self._closed = False
        self.events = Events()

    def open(self) -> None:
        """Connect and shake hands.

        Raises:
            GatewayError: any of the family.
        """
        self.live(time.monotonic() + max(self._patience, OPEN_SECONDS))

    def close(self) -> None:
        """Close it for good."""
        with self._lock:
            self._closed = True
            if self._link is not None:
                self._link.close()

    @property
    def granted(self) -> Granted:
        """What the gateway said in the newest handshake."""
        if self._granted is None:
            self.open()
        if self._granted is None:
            raise Unreachable("not connected")
        return self._granted

    @property
    def device_id(self) -> str:
        """This device, as `openclaw devices list` shows it."""
        return self._identity.device_id

    def once(self, method: str, params: dict[str, Any], seconds: float) -> tuple[Link, Call, Response]:
        """Send a request that must not be repeated; the call stays registered, since it may be answered twice."""
        deadline = time.monotonic() + seconds
        link = self.live(deadline)
        if method not in self.granted.methods:
            # Asked for all the same, the gateway would tell of a missing scope.
            raise Unsupported(f"this gateway (OpenClaw {self.granted.version}) has no {method}; use a newer one")
        call = link.send(method, params, left(deadline))
        try:
            answer = call.next(left(deadline))
        except Unreachable as e:
            raise Unreachable(f"{method}: {e.text}", starting=e.starting, sent=True) from e
        if answer is None:
            link.forget(call)
            raise Unreachable(f"{method}: {link.url} did not answer within {seconds:g} s; is it stuck?", sent=True)
        if not answer.ok:
            link.forget(call)
            raise frames.fault(answer, method, link.url)
        return link, call, answer

    def ask(self, method: str, params: dict[str, Any], seconds: float = CALL_SECONDS) -> dict[str, Any]:
        """Send a request that may be repeated, until its deadline."""
        deadline = time.monotonic() + seconds
        waits = _BROKEN.waits()
        while True:
            try:
                _, call, answer = self.once(method, params, left(deadline))
            except Unreachable as e:
                wait = next(waits, None)
                gone = e.sent and self._link is not None and self._link.fault is not None
                if not gone or wait is None or wait >= left(deadline):
                    raise
                time.sleep(wait)
                continue
            self._forget(call)
            if not isinstance(answer.payload, dict):
                raise ProtocolFault(f"{method}: the answer is no object")
            return answer.payload

    def _forget(self, call: Call) -> None:
        if self._link is not None:
            self._link.forget(call)

    def ask_for(self, scope: str) -> None:
        """Open the link anew with one scope more."""
        with self._lock:
            before, self._scopes = self._scopes, (*self._scopes, scope)
            if self._link is not None:
                self._link.close()
            try:
                self.live(time.monotonic() + OPEN_SECONDS)
            except NeedsPairing as e:
                self._scopes = before
                # The gateway knows the device, and wants an operator to agree to more.
                text = f"this gateway wants {scope} for it; on its machine run: openclaw devices approve {e.request_id}"
                raise NeedsPairing(text, request_id=e.request_id, device_id=e.device_id) from e
            except GatewayError as e:
                self._scopes = before
                fix = "approve this device with it (openclaw devices list), or use a gateway of 2026.9 or newer"
                raise MissingScope(f"this gateway wants {scope} for it: {fix} ({e})", scopes=(scope,)) from e

    def live(self, deadline: float) -> Link:
        """Return a link that lives; one that died is opened anew, with bounded retries."""
        with self._lock:
            if self._closed:
                raise Unreachable("this connection to the gateway was closed; connect anew")
            if self._link is not None and self._link.fault is None:
                return self._link
            if self._link is not None:
                self._link.close()
            starting = _STARTING.waits()
            refused = _REFUSED.waits()
            until = min(deadline, time.monotonic() + self._patience)
            while True:
                try:
                    self._link = self._open(deadline)
                    return self._link
                except Unreachable as e:
                    wait = next(starting if e.starting else refused, None)
                    if wait is None:
                        raise
                    wait = max(wait, e.retry_after or 0.0)
                    if time.monotonic() + wait >= (until if e.starting else deadline):
                        raise
                    time.sleep(wait)

    def _open(self, deadline: float) -> Link:
        deadline = min(deadline, time.monotonic() + OPEN_SECONDS)
        link = Link.open(self._address.url, max(0.1, left(deadline)), self.events.put)
        try:
            self._granted = handshake.greet(link, self._address, self._identity, self._scopes, deadline)
        except BaseException:
            link.close()
            raise
        return link
