"""From a header to who calls."""

import falcon.asgi
import pytest
from falcon import testing

from contract.clock import SystemClock
from contract.errors import InvalidField, Unauthorized
from contract.ids import token_digest
from spine.api.auth import Auth
from spine.queue.access import Caller, Principal

HEAD, LEFT = Principal("head", "head"), Principal("left-claw", "claw")
AUTH = Auth({token_digest("head-token"): HEAD, token_digest("left-token"): LEFT}, SystemClock())


def request(*headers: tuple[str, str]) -> falcon.asgi.Request:
    return testing.create_asgi_req(headers=list(headers))


@pytest.mark.parametrize("value", ["Bearer head-token", "bearer head-token", "BEARER  head-token "])
def test_a_known_token(value: str) -> None:
    assert AUTH.caller(request(("Authorization", value))) == Caller(HEAD, None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "head-token",
        "Basic head-token",
        "Bearer other-token",
        "Bearer head-toke",
        "Bearer head-token left-token",
        "Bearer head-token, Bearer head-token",
        "Bearer " + token_digest("head-token"),
        "Bearer ÿþ",
    ],
)
def test_no_known_token(value: str) -> None:
    with pytest.raises(Unauthorized):
        AUTH.caller(request(("Authorization", value)))


def test_no_header() -> None:
    with pytest.raises(Unauthorized, match="send Authorization: Bearer <token>"):
        AUTH.caller(request())


def test_two_headers() -> None:
    with pytest.raises(Unauthorized):
        AUTH.caller(request(("Authorization", "Bearer head-token"), ("Authorization", "Bearer left-token")))


def test_a_refusal_does_not_repeat_the_token() -> None:
    with pytest.raises(Unauthorized) as raised:
        AUTH.caller(request(("Authorization", "Bearer wrong-but-secret")))
    assert "secret" not in str(raised.value) + repr(raised.value.members)


def test_the_worker_id() -> None:
    sent = request(("Authorization", "Bearer left-token"), ("X-Worker-Id", "box-1:42"))
    assert AUTH.caller(sent) == Caller(LEFT, "box-1:42")


@pytest.mark.parametrize("worker_id", ["", "x" * 129, "a\x07b", "\x9f"])
def test_a_worker_id_of_wrong_form(worker_id: str) -> None:
    with pytest.raises(InvalidField) as raised:
        AUTH.caller(request(("Authorization", "Bearer left-token"), ("X-Worker-Id", worker_id)))
    assert raised.value.members["field"] == "X-Worker-Id"


def test_roles() -> None:
    head, left = request(("Authorization", "Bearer head-token")), request(("Authorization", "Bearer left-token"))
    assert AUTH.head(head).name == "head"
    assert AUTH.claw(left).name == "left-claw"
    with pytest.raises(Unauthorized):
        AUTH.head(left)
    with pytest.raises(Unauthorized):
        AUTH.claw(head)


@pytest.mark.parametrize(
    ("principal", "target", "sees"),
    [
        (HEAD, "left-claw", True),
        (HEAD, "right-claw", True),
        (HEAD, None, True),
        (LEFT, "left-claw", True),
        (LEFT, "any", True),
        (LEFT, "right-claw", False),
        (LEFT, None, False),
    ],
)
def test_what_is_seen(principal: Principal, target: str | None, sees: bool) -> None:
    assert principal.sees(target) is sees
