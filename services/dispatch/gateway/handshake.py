"""The handshake: answer the challenge with a signed identity, and see what was granted (contract: gateway, 3)."""

import platform
import sys
import time
from typing import Any

import msgspec

from contract import __version__
from dispatch.gateway import frames
from dispatch.gateway.errors import MissingScope, NeedsPairing, ProtocolFault, Unreachable, Unsupported
from dispatch.gateway.identity import Identity
from dispatch.gateway.link import Link, left
from dispatch.settings import Address

# From the gateway's closed lists; our own name goes where it is free.
CLIENT_ID = "gateway-client"
CLIENT_MODE = "backend"
ROLE = "operator"
READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
SCOPES = (READ, WRITE)
NEEDED = ("agent", "agent.wait", "chat.history", "chat.send", "sessions.abort", "sessions.list", "sessions.patch")
OLDEST, NEWEST = 3, 4
_FAMILY = "server"
_TICK_MS = 30_000


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What this connection may do, by the gateway's word. `boot_id` changes when the gateway restarts (v4).

    `started_at` is when its process began (epoch ms by our clock, rather too early than too late), where it tells.
    """

    protocol: int
    version: str
    boot_id: str | None
    started_at: int | None
    scopes: frozenset[str]
    methods: frozenset[str]
    tick_seconds: float


def greet(link: Link, address: Address, identity: Identity, scopes: tuple[str, ...], deadline: float) -> Granted:
    """Carry the handshake out, and keep the token that the gateway may give to this device.

    Raises:
        Unauthorized, NeedsPairing, Unsupported, Unreachable, ProtocolFault: as the gateway answers.
        MissingScope: it granted less than was asked for.
    """
    challenge = link.challenge(left(deadline))
    asked_at = time.time_ns() // 1_000_000
    call = link.send("connect", _connect(challenge, address, identity, scopes), left(deadline))
    answer = call.next(left(deadline))
    link.forget(call)
    if answer is None:
        raise Unreachable(f"{address.url} did not answer the handshake in time; is the gateway stuck?")
    if not answer.ok:
        found = frames.fault(answer, "connect", address.url)
        if isinstance(found, NeedsPairing) and not found.device_id:
            found.device_id = identity.device_id
        raise found
    hello = answer.members
    granted = _granted(hello, address.url, asked_at, scopes)
    _compare(granted, scopes, address.url)
    token = _dict(hello.get("auth")).get("deviceToken")
    if isinstance(token, str) and token:
        identity.keep_token(address.url, token)
    link.expect_ticks(granted.tick_seconds)
    return granted


def _connect(
    challenge: dict[str, Any], address: Address, identity: Identity, scopes: tuple[str, ...]
) -> dict[str, Any]:
    nonce = challenge.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise ProtocolFault(f"{address.url}: the challenge holds no nonce; is it a gateway?")
    stamp = challenge.get("ts")
    signed_at = stamp if isinstance(stamp, int) else time.time_ns() // 1_000_000
    system = platform.system().lower() or sys.platform
    auth, secret = _auth(address, identity)
    signature = identity.sign(
        [
            "v3",
            identity.device_id,
            CLIENT_ID,
            CLIENT_MODE,
            ROLE,
            ",".join(scopes),
            str(signed_at),
            secret,
            nonce,
            system,
            _FAMILY,
        ]
    )
    device = {
        "id": identity.device_id,
        "publicKey": identity.public_key,
        "signature": signature,
        "signedAt": signed_at,
        "nonce": nonce,
    }
    client = {
        "id": CLIENT_ID,
        "mode": CLIENT_MODE,
        "version": __version__,
        "platform": system,
        "deviceFamily": _FAMILY,
        "displayName": "Spinal Cord dispatch",
    }
    return {
        "minProtocol": OLDEST,
        "maxProtocol": NEWEST,
        "client": client,
        "role": ROLE,
        "scopes": list(scopes),
        "caps": [],
        "auth": auth,
        "device": device,
        "userAgent": f"spinal-cord/{__version__}",
    }


def _auth(address: Address, identity: Identity) -> tuple[dict[str, str], str]:
    """Return the member `auth`, and the secret that the signature covers."""
    if address.token:
        return {"token": str(address.token)}, str(address.token)
    if address.password:
        return {"password": str(address.password)}, ""
    token = identity.token_for(address.url)
    return ({"deviceToken": token}, token) if token else ({}, "")


def _granted(hello: dict[str, Any], url: str, asked_at: int, asked: tuple[str, ...]) -> Granted:
    protocol, features = hello.get("protocol"), _dict(hello.get("features"))
    if not isinstance(protocol, int) or not isinstance(features.get("methods"), list):
        raise ProtocolFault(f"{url}: the handshake's answer has no protocol or no methods; is it a gateway?")
    if not OLDEST <= protocol <= NEWEST:
        raise Unsupported(f"{url} speaks protocol {protocol}, this client {OLDEST} to {NEWEST}")
    server, tick = _dict(hello.get("server")), _dict(hello.get("policy")).get("tickIntervalMs")
    uptime = _dict(hello.get("snapshot")).get("uptimeMs")
    scopes, boot = _dict(hello.get("auth")).get("scopes"), server.get("bootId")
    return Granted(
        protocol=protocol,
        version=str(server.get("version") or "unknown"),
        started_at=asked_at - int(uptime) if isinstance(uptime, int | float) and uptime > 0 else None,
        boot_id=boot if isinstance(boot, str) else None,
        # v3 tells all that the device was approved for; the connection has only what it asked for.
        scopes=frozenset(map(str, scopes)) & frozenset(asked) if isinstance(scopes, list) else frozenset(),
        methods=frozenset(map(str, features["methods"])),
        tick_seconds=(tick if isinstance(tick, int | float) and tick > 0 else _TICK_MS) / 1000,
    )


def _compare(granted: Granted, scopes: tuple[str, ...], url: str) -> None:
    held = granted.scopes | ({READ} if WRITE in granted.scopes else set())
    lost = tuple(scope for scope in scopes if scope not in held)
    if lost:
        raise MissingScope(
            f"{url} let this device in without {', '.join(lost)}: approve it anew with these scopes "
            "(openclaw devices list), or give the gateway's own token",
            scopes=lost,
        )
    gone = sorted(set(NEEDED) - granted.methods)
    if gone:
        raise Unsupported(f"{url} (OpenClaw {granted.version}) has no {', '.join(gone)}; use 2026.4.1 or newer")


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
