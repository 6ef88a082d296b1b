"""The three frames of the wire, and how an error in one becomes one of ours (contract: gateway, 2 to 4)."""

from typing import Any

import msgspec

from dispatch.gateway import errors
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.patterns import OVERLOAD


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to the request with this id; one request can get two."""

    id: str
    ok: bool
    payload: Any = None
    error: dict[str, Any] | None = None

    @property
    def members(self) -> dict[str, Any]:
        """The payload, when it is an object."""
        return self.payload if isinstance(self.payload, dict) else {}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event."""

    event: str
    payload: Any = None


Frame = Response | Told

AGENT_FIX = "name an agent that the gateway's configuration has (openclaw agents list)"

_encode = msgspec.json.Encoder().encode


def request(request_id: str, method: str, params: dict[str, Any]) -> str:
    """Write a request."""
    return _encode({"type": "req", "id": request_id, "method": method, "params": params}).decode()


def read(text: str | bytes) -> Frame | None:
    """Read what the gateway sent; None is a frame of a kind that this client has no use for.

    Raises:
        ProtocolFault: it is no frame at all.
    """
    try:
        raw = msgspec.json.decode(text)
        if isinstance(raw, dict) and raw.get("type") == "res":
            return msgspec.convert(raw, Response)
        if isinstance(raw, dict) and raw.get("type") == "event":
            return msgspec.convert(raw, Told)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise errors.ProtocolFault(f"the gateway sent a frame that cannot be read ({e}); is it a gateway?") from e
    if not isinstance(raw, dict):
        raise errors.ProtocolFault("the gateway sent JSON that is no frame; is it a gateway?")
    return None


def fault(response: Response, method: str, url: str) -> GatewayError:
    """Return the error that an answer with `ok: false` stands for."""
    raw = response.error or {}
    code, told = str(raw.get("code") or ""), str(raw.get("message") or "no reason given")
    found = raw.get("details")
    details: dict[str, Any] = found if isinstance(found, dict) else {}
    detail = str(details.get("code") or "")
    after = raw.get("retryAfterMs")
    retry_after = after / 1000 if isinstance(after, int | float) and after >= 0 else None
    if detail == "AUTH_SCOPE_MISMATCH":
        return errors.MissingScope(f"{url}: {told}; approve this device anew (openclaw devices list)")
    if detail == "AUTH_RATE_LIMITED":
        text = f"{url} takes no token for a while, after too many wrong ones: {told}"
        return errors.Unauthorized(text, retryable=True, retry_after=retry_after)
    if detail.startswith(("AUTH_", "DEVICE_AUTH_")):
        return errors.Unauthorized(f"{url} does not take {_refused(detail)}: {told} ({detail})")
    if code == "NOT_PAIRED" or detail in ("PAIRING_REQUIRED", "DEVICE_IDENTITY_REQUIRED"):
        return _pairing(details, told)
    if detail == "PROTOCOL_MISMATCH":
        speaks = details.get("expectedProtocol", "another one")
        return errors.Unsupported(
            f"{url} speaks protocol {speaks}, this client 3 and 4: use a gateway that has one of them"
        )
    if code == "FORBIDDEN" or detail == "MISSING_SCOPE":
        return errors.MissingScope(
            f"{method}: {told}; the scope is missing, or the gateway does not know a member of the call",
            scopes=_scopes(details, told),
        )
    if "no longer exists in configuration" in told or "unknown agent" in told.lower():
        return errors.UnknownAgent(f"{told}; {AGENT_FIX}")
    if code == "UNAVAILABLE" and details.get("reason") == "startup-sidecars":
        return errors.Unreachable(f"{url} is still starting: {told}", starting=True, retry_after=retry_after)
    if code == "UNAVAILABLE" and OVERLOAD.search(told):
        return errors.Overloaded(f"{method}: {told}", retry_after=retry_after)
    return errors.Refused(
        f"{method}: {told}" + (f" ({code})" if code else ""),
        gateway_code=code,
        retryable=raw.get("retryable") is True or code == "UNAVAILABLE",
        retry_after=retry_after,
    )


def _refused(detail: str) -> str:
    if detail.startswith("DEVICE_AUTH_"):
        return "this device's signature (is the clock right? else move device.json away and pair anew)"
    if detail.startswith("AUTH_PASSWORD_"):
        return "the password: let gateway.auth.password in openclaw.json be the gateway's own"
    if detail == "AUTH_DEVICE_TOKEN_MISMATCH":
        return "the token that it once gave to this device: set OPENCLAW_GATEWAY_TOKEN to the gateway's own"
    return "the token: set OPENCLAW_GATEWAY_TOKEN, or gateway.auth.token in openclaw.json, to the gateway's own"


def _pairing(details: dict[str, Any], told: str) -> errors.NeedsPairing:
    request_id, device_id = str(details.get("requestId") or ""), str(details.get("deviceId") or "")
    fix = f"openclaw devices approve {request_id}" if request_id else "openclaw devices list, then approve this device"
    return errors.NeedsPairing(
        f"the gateway does not know this device yet ({told}); on its machine run: {fix}",
        request_id=request_id,
        device_id=device_id,
    )


def _scopes(details: dict[str, Any], told: str) -> tuple[str, ...]:
    named = details.get("missingScope") or details.get("scope")
    if isinstance(named, str):
        return (named,)
    return tuple(word.strip(".,;") for word in told.split() if word.startswith("operator."))
