"""A token that is renewed, a document that has not changed, a code that is sent once."""

import pytest
from tests.unit.claw.conftest import FakeSpine, problem

from contract.errors import NotFound, Unauthorized, Unavailable
from contract.fleet_client import FleetClient
from contract.retry import RetryPolicy

EAGER = RetryPolicy(attempts=3, base_seconds=0.001)
MACHINE = {
    "id": "box",
    "name": "box",
    "state": "active",
    "capabilities": ["shell"],
    "facts": {},
    "firstSeenAt": "2026-01-02T10:00:00.000Z",
    "seenAt": "2026-01-02T10:00:00.000Z",
    "revokedAt": None,
    "running": [],
}


def tokens(fake: FakeSpine) -> list[str | None]:
    return [headers.get("Authorization") for _, headers, _ in fake.asked]


def test_a_token_that_is_refused_is_renewed_once_and_kept(fake: FakeSpine) -> None:
    client = FleetClient(fake.url, "old", retry=EAGER, renew=lambda used: {"old": "new"}.get(used))
    fake.script = [problem("unauthorized", 401), (200, MACHINE)]
    assert client.tell_facts("box", ["shell"], {}).name == "box"
    client.tell_facts("box", ["shell"], {})
    assert tokens(fake) == ["Bearer old", "Bearer new", "Bearer new"]


@pytest.mark.parametrize(("newer", "asked"), [("new", ["Bearer old", "Bearer new"]), (None, ["Bearer old"])])
def test_a_token_that_is_refused_for_good_is_not_tried_for_ever(
    fake: FakeSpine, newer: str | None, asked: list[str]
) -> None:
    client = FleetClient(fake.url, "old", retry=EAGER, renew=lambda used: newer)
    fake.script = [problem("unauthorized", 401)]
    with pytest.raises(Unauthorized):
        client.tell_facts("box", ["shell"], {})
    assert tokens(fake) == asked


def test_a_code_is_sent_once_and_without_a_token(fake: FakeSpine) -> None:
    client = FleetClient(fake.url, "", retry=EAGER)
    fake.script = [problem("unavailable", 503)]
    with pytest.raises(Unavailable):
        client.join("ABCD", ["shell"], {"cpus": 2})
    assert fake.bodies() == [{"code": "ABCD", "capabilities": ["shell"], "facts": {"cpus": 2}}]
    assert tokens(fake) == [None]
    fake.script = [problem("not_found", 404)]
    with pytest.raises(NotFound):
        client.join("ABCD", ["shell"], {})


def test_a_name_cannot_lead_to_another_route(fake: FakeSpine) -> None:
    fake.script = [(201, {"name": "x", "token": "t"})]
    FleetClient(fake.url, "old").rotate("../head", 5)
    assert fake.asked[0][0] == "/machines/..%2Fhead/rotate"
    assert fake.bodies() == [{"graceSeconds": 5}]
