"""A small gateway on a socket of the loopback: it speaks as OpenClaw's does, so far as dispatch listens.

It is what the fast tests run against; `tests/integration/dispatch/test_gateway.py` holds it to the real one. Its
model is told by the session's `model`, as the mock model's: answers, busy, sleeps, echo, scripted. Faults are
attributes, set before the client connects or while it is connected.
"""

import base64
import hashlib
import json
import threading
import time
import uuid
from collections import deque
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from tests.support.fake_sessions import LATER, Bad, FakeSessions, Peer, now
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.server import Server, ServerConnection, serve

TOKEN = "gateway-token-0001"
METHODS = [
    "agent",
    "agent.wait",
    "agents.list",
    "chat.history",
    "chat.send",
    "health",
    "sessions.abort",
    "sessions.list",
    "sessions.patch",
]
V4_METHODS = ["sessions.describe"]
CLIENT_IDS = ("cli", "gateway-client", "test")


class FakeGateway(FakeSessions):
    """Serves between `start` and `stop`.

    Attributes:
        protocol: 3 or 4, which changes shapes as the contract tells.
        token: the shared token; None takes whatever comes.
        agents: ids that exist.
        tick_ms: how often it ticks, and says so.
        granted: scopes that it lets a client have; None grants what was asked.
        upgrade: more than reading and writing has to be approved.
        pairing: it knows no device yet; `approve` changes that.
        mute: "handshake" takes the connection and says nothing, "requests" answers no request.
        slow: seconds before each answer.
        close_next: closes the next handshakes with these codes, in their order.
        drop_before: on a request of this method the connection is cut before the gateway has taken it; on `drop_after`
            after it, and before the answer.
        page: rows in one page of sessions.list.
        shuffle: holds the answers of two requests, and sends the later one first.
        error_text: when set, the next run fails with it.
        garbage: sends this text in place of the challenge.
    """

    def __init__(self, protocol: int = 4, host: str = "127.0.0.1") -> None:
        super().__init__(protocol)
        self.host = host
        self.token: str | None = TOKEN
        self.tick_ms = 15_000
        self.granted: list[str] | None = None
        self.upgrade = False
        self.pairing = False
        self.paired: dict[str, str] = {}
        """Token of each device that was approved."""
        self.mute = ""
        self.slow = 0.0
        self.close_next: deque[int] = deque()
        self.drop_before = self.drop_after = ""
        self.shuffle = False
        self.garbage = ""
        self.without: set[str] = set()
        """Methods that it does not offer."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """(method, params) of each request, in their order."""
        self.connects: list[dict[str, Any]] = []
        self._known_scopes: dict[str, set[str]] = {}
        self._boot = uuid.uuid4().hex
        self._held: list[tuple[Peer, dict[str, Any]]] = []
        self._server: Server | None = None
        self._started = 0
        self.port = 0

    # --- its life --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its address, as OPENCLAW_GATEWAY_URL takes it."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> "FakeGateway":
        """Listen, on the same port each time."""
        self._started = now()
        self._server = serve(self._serve, self.host, self.port, compression=None, max_size=2**25, ping_interval=None)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, name="fake-gateway", daemon=True).start()
        threading.Thread(target=self._tick, args=(self._server,), name="fake-tick", daemon=True).start()
        return self

    def __enter__(self) -> "FakeGateway":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.wake()
        self.kill()

    def stop(self) -> None:
        """End in order, as by SIGTERM: runs under way are waited for, clients are told, rows and history stay."""
        for run in list(self.runs.values()):
            run.over.wait(30)
        for peer in list(self._peers):
            peer.event("shutdown", {"reason": "restart"})
            peer.socket.close(CloseCode.SERVICE_RESTART, "service restart")
        self._end()

    def kill(self, committed: bool = True) -> None:
        """End at once, as by SIGKILL: runs under way are gone.

        Args:
            committed: the row says "running" and the prompt is in the history; else both are gone too.
        """
        for session in list(self.sessions.values()):
            runs = [*session.queue, *([session.active] if session.active else [])]
            session.queue.clear()
            session.active = None
            for run in runs:
                run.cut.set()
            if runs and not committed and self.protocol <= 3:
                session.messages.clear()  # its row goes on to say "running"
            elif runs and not committed:
                session.row = {
                    name: session.row[name] for name in ("key", "sessionId", "agentId") if name in session.row
                }
                gone = {run.id for run in runs}
                session.messages = [m for m in session.messages if m["__openclaw"]["runId"] not in gone]
        self._end()

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        for peer in list(self._peers):
            peer.socket.close_socket()
        server.shutdown()
        self.runs.clear()
        self._boot = uuid.uuid4().hex

    def approve(self) -> None:
        """Pair the device that asked last."""
        self.paired[self.connects[-1]["device"]["id"]] = uuid.uuid4().hex

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return the params of each request for a method."""
        return [params for name, params in self.calls if name == method]

    def _tick(self, server: Server) -> None:
        last = time.monotonic()
        while self._server is server:
            time.sleep(0.02)
            if time.monotonic() - last < self.tick_ms / 1000:
                continue
            last = time.monotonic()
            if self.mute != "ticks":
                for peer in list(self._peers):
                    peer.event("tick", {"ts": now()})

    # --- a connection ----------------------------------------------------------------------------------------------

    def _serve(self, socket: ServerConnection) -> None:
        peer = Peer(socket)
        try:
            if self._greet(peer):
                self._peers.add(peer)
                for raw in socket:
                    self._take(peer, json.loads(raw))
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._peers.discard(peer)

    def _greet(self, peer: Peer) -> bool:
        if self.mute == "handshake":
            peer.socket.recv()
            return False
        if self.close_next:
            peer.socket.close(self.close_next.popleft(), "starting")
            return False
        if self.garbage:
            peer.socket.send(self.garbage)
            return False
        nonce, stamp = uuid.uuid4().hex, now()
        peer.event("connect.challenge", {"nonce": nonce, "ts": stamp})
        frame = json.loads(peer.socket.recv())
        if self.mute == "connect":
            peer.socket.recv()
            return False
        try:
            peer.scopes = self._admit(frame.get("params", {}), nonce, stamp)
        except Bad as e:
            peer.send({"type": "res", "id": frame.get("id"), "ok": False, "error": e.error})
            peer.socket.close(1008, e.error["message"][:100])
            return False
        methods = [*METHODS, *(V4_METHODS if self.protocol > 3 else [])]
        hello = {
            "type": "hello-ok",
            "protocol": self.protocol,
            "server": {"version": "fake", "connId": uuid.uuid4().hex, "bootId": self._boot},
            "features": {"methods": [m for m in methods if m not in self.without], "events": [], "capabilities": []},
            "auth": {"role": "operator", "scopes": self._told_scopes(peer), **self._device_token()},
            "snapshot": {"uptimeMs": now() - self._started},
            "policy": {"maxPayload": 2**25, "tickIntervalMs": self.tick_ms},
        }
        peer.send({"type": "res", "id": frame["id"], "ok": True, "payload": hello})
        return True

    def _admit(self, params: dict[str, Any], nonce: str, stamp: int) -> tuple[str, ...]:
        self.connects.append(params)
        client, device, auth = params["client"], params.get("device"), params.get("auth", {})
        if not params["minProtocol"] <= self.protocol <= params["maxProtocol"]:
            raise Bad(
                "INVALID_REQUEST",
                "protocol mismatch",
                details={"code": "PROTOCOL_MISMATCH", "expectedProtocol": self.protocol},
            )
        if client["id"] not in CLIENT_IDS:
            raise Bad("INVALID_REQUEST", "invalid connect params: at /client/id")
        secret = auth.get("token") or auth.get("password") or ""
        given = self.paired.get(device["id"]) if device else None
        if self.token is not None and secret != self.token and (given is None or auth.get("deviceToken") != given):
            raise Bad("INVALID_REQUEST", "unauthorized: token mismatch", details={"code": "AUTH_TOKEN_MISMATCH"})
        if device is None:
            raise Bad("NOT_PAIRED", "device identity required", details={"code": "DEVICE_IDENTITY_REQUIRED"})
        signed = [
            "v3", device["id"], client["id"], client["mode"], params["role"], ",".join(params["scopes"]),
            str(stamp), auth.get("token") or auth.get("deviceToken", ""), nonce, client["platform"].lower(),
            client["deviceFamily"].lower(),
        ]  # fmt: skip
        key = _unpadded(device["publicKey"])
        if device["nonce"] != nonce or device["id"] != hashlib.sha256(key).hexdigest():
            raise Bad("INVALID_REQUEST", "nonce mismatch", details={"code": "DEVICE_AUTH_NONCE_MISMATCH"})
        try:
            VerifyKey(key).verify("|".join(signed).encode(), _unpadded(device["signature"]))
        except BadSignatureError:
            details = {"code": "DEVICE_AUTH_SIGNATURE_INVALID"}
            raise Bad("INVALID_REQUEST", "device signature invalid", details=details) from None
        if self.upgrade and "operator.admin" in params["scopes"]:
            details = {"code": "PAIRING_REQUIRED", "requestId": "request-2", "deviceId": device["id"]}
            raise Bad("NOT_PAIRED", "pairing required", details=details)
        if self.pairing and given is None:
            details = {"code": "PAIRING_REQUIRED", "requestId": "request-1", "deviceId": device["id"]}
            raise Bad("NOT_PAIRED", "pairing required: device is not approved yet", details=details)
        return tuple(scope for scope in params["scopes"] if self.granted is None or scope in self.granted)

    def _told_scopes(self, peer: Peer) -> list[str]:
        """v3 tells all that the device was ever granted, not what this connection has."""
        if self.protocol > 3:
            return list(peer.scopes)
        known = self._known_scopes.setdefault(self.connects[-1]["device"]["id"], set())
        known.update(peer.scopes)
        return sorted(known)

    def _device_token(self) -> dict[str, str]:
        token = self.paired.get(self.connects[-1]["device"]["id"])
        return {"deviceToken": token} if token else {}

    def _take(self, peer: Peer, frame: dict[str, Any]) -> None:
        method, params = frame["method"], frame.get("params", {})
        if self.mute == "requests":
            return
        if method == self.drop_before:
            self.drop_before = ""
            peer.socket.close_socket()
            return
        self.calls.append((method, params))
        answer: dict[str, Any] = {"type": "res", "id": frame["id"], "ok": True}
        try:
            if (method, self.drop_after) != ("agent.wait", "agent.wait"):  # its answer would come by a way of its own
                answer["payload"] = self.answer(peer, frame["id"], method, params)
        except Bad as e:
            answer |= {"ok": False, "error": e.error}
        if method == self.drop_after:
            self.drop_after = ""
            peer.socket.close_socket()
            return
        if answer.get("payload") is not LATER:
            time.sleep(self.slow)
            self._reply(peer, answer)
        for run in list(self.runs.values()):
            run.accepted.set()

    def _reply(self, peer: Peer, answer: dict[str, Any]) -> None:
        if not self.shuffle:
            peer.send(answer)
            return
        self._held.append((peer, answer))
        if len(self._held) == 2:
            held, self._held = self._held[::-1], []
            for one, found in held:
                one.send(found)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
