"""Frames that come, and the error of ours that each refusal of a gateway becomes."""

from typing import Any

import pytest

from dispatch.gateway import errors, frames
from dispatch.gateway.errors import GatewayError
from dispatch.gateway.frames import Response, Told

URL = "ws://127.0.0.1:18789"

REFUSALS: dict[str, tuple[dict[str, Any], type[GatewayError], str, bool]] = {
    "wrong token": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "AUTH_TOKEN_MISMATCH"}},
        errors.Unauthorized, "OPENCLAW_GATEWAY_TOKEN", False,
    ),
    "wrong password": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "AUTH_PASSWORD_MISMATCH"}},
        errors.Unauthorized, r"gateway\.auth\.password", False,
    ),
    "a device's token that was taken back": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "AUTH_DEVICE_TOKEN_MISMATCH"}},
        errors.Unauthorized, "once gave to this device", False,
    ),
    "too many wrong ones": (
        {"code": "X", "message": "m", "retryAfterMs": 3000, "details": {"code": "AUTH_RATE_LIMITED"}},
        errors.Unauthorized, "for a while", True,
    ),
    "signature": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "DEVICE_AUTH_SIGNATURE_EXPIRED"}},
        errors.Unauthorized, "clock", False,
    ),
    "fewer scopes": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "AUTH_SCOPE_MISMATCH"}},
        errors.MissingScope, "approve", False,
    ),
    "not paired": (
        {"code": "NOT_PAIRED", "message": "m", "details": {"code": "PAIRING_REQUIRED", "requestId": "r-1"}},
        errors.NeedsPairing, "openclaw devices approve r-1", False,
    ),
    "no device": (
        {"code": "NOT_PAIRED", "message": "m", "details": {"code": "DEVICE_IDENTITY_REQUIRED"}},
        errors.NeedsPairing, "openclaw devices list", False,
    ),
    "protocol": (
        {"code": "INVALID_REQUEST", "message": "m", "details": {"code": "PROTOCOL_MISMATCH", "expectedProtocol": 7}},
        errors.Unsupported, "protocol 7", False,
    ),
    "scope": (
        {"code": "FORBIDDEN", "message": "missing scope: operator.admin"},
        errors.MissingScope, r"agent: missing scope: operator\.admin", False,
    ),
    "unknown agent": (
        {"code": "INVALID_REQUEST", "message": 'invalid agent params: unknown agent id "x"'},
        errors.UnknownAgent, "openclaw agents list", False,
    ),
    "an agent that was removed": (
        {"code": "INVALID_REQUEST", "message": 'Agent "x" no longer exists in configuration'},
        errors.UnknownAgent, "openclaw agents list", False,
    ),
    "starting": (
        {"code": "UNAVAILABLE", "message": "m", "retryAfterMs": 500, "details": {"reason": "startup-sidecars"}},
        errors.Unreachable, "still starting", True,
    ),
    "overloaded": (
        {"code": "UNAVAILABLE", "message": "The AI service is temporarily overloaded."},
        errors.Overloaded, "overloaded", True,
    ),
    "unavailable": (
        {"code": "UNAVAILABLE", "message": "no lane for line 529"},
        errors.Refused, r"\(UNAVAILABLE\)", True,
    ),
    "invalid": (
        {"code": "INVALID_REQUEST", "message": "unexpected property 'x'"},
        errors.Refused, "unexpected property 'x'", False,
    ),
    "retryable": ({"code": "Y", "message": "m", "retryable": True}, errors.Refused, "agent: m", True),
    "nothing said": ({}, errors.Refused, "no reason given", False),
    "odd": ({"code": 5, "message": ["m"], "details": "d", "retryAfterMs": "soon"}, errors.Refused, "agent", False),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal(name: str) -> None:
    error, kind, text, retryable = REFUSALS[name]
    found = frames.fault(Response(id="1", ok=False, error=error), "agent", URL)
    assert type(found) is kind
    assert found.retryable is retryable
    assert found.retry_after == ({500: 0.5, 3000: 3.0}.get(error.get("retryAfterMs", 0)) if retryable else None)
    with pytest.raises(kind, match=text):
        raise found


def test_a_scope_that_is_missing_is_named() -> None:
    error = {"code": "FORBIDDEN", "message": "missing scope: operator.admin"}
    found = frames.fault(Response(id="1", ok=False, error=error), "agent", URL)
    assert isinstance(found, errors.MissingScope)
    assert found.scopes == ("operator.admin",)


FRAMES = {
    '{"type":"res","id":"1","ok":true,"payload":{"a":1}}': Response(id="1", ok=True, payload={"a": 1}),
    '{"type":"res","id":"1","ok":false,"error":{"code":"X"},"more":1}': Response(id="1", ok=False, error={"code": "X"}),
    '{"type":"event","event":"tick","seq":5}': Told(event="tick"),
    '{"type":"another"}': None,
}


@pytest.mark.parametrize("text", FRAMES)
def test_read(text: str) -> None:
    assert frames.read(text) == FRAMES[text]


@pytest.mark.parametrize(
    "text", ["", "x", "5", "[]", '{"type":"res"}', '{"type":"event"}', '{"type":"res","id":5}', b"\xff"]
)
def test_what_is_no_frame(text: str | bytes) -> None:
    with pytest.raises(errors.ProtocolFault, match="is it a gateway"):
        frames.read(text)


def test_request() -> None:
    wanted = '{"type":"req","id":"1","method":"agent","params":{"message":"ä"}}'
    assert frames.request("1", "agent", {"message": "ä"}) == wanted


def test_each_error_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
    assert len({kind.code for kind in kinds}) == len(kinds) == 10
