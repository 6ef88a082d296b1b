"""The client of named leases, and what a call carries that is made under one."""

import json
from typing import Any

import pytest
from tests.unit.contract.conftest import FakeSpine, Reply

from contract.client import SpineClient
from contract.errors import LeaseHeld
from contract.lease_client import LeaseClient
from contract.retry import ONCE

LEASE: dict[str, Any] = {"name": "my lease", "holder": "me", "fence": 7, "until": "2026-03-01T12:00:00.000Z", "data": 1}


def test_each_verb_is_sent_as_the_spine_takes_it(fake: FakeSpine) -> None:
    fake.say(Reply(200, json.dumps(LEASE).encode()))
    client = LeaseClient(fake.url, "a-token-0001", retry=ONCE)
    assert client.take_lease("my lease", "me", 15).fence == 7
    client.take_lease("my lease", "me", 15, {"at": 1})
    client.renew_lease("my lease", 7, 0.5)
    client.renew_lease("my lease", 7, 0.5, {"at": 1})
    client.release_lease("my lease", 7)
    assert client.lease("my lease").holder == "me"
    assert [(call.method, call.path, json.loads(call.body or b"null")) for call in fake.seen] == [
        ("POST", "/leases/my%20lease/take", {"holder": "me", "ttlSeconds": 15}),
        ("POST", "/leases/my%20lease/take", {"holder": "me", "ttlSeconds": 15, "data": {"at": 1}}),
        ("POST", "/leases/my%20lease/renew", {"fence": 7, "ttlSeconds": 0.5}),
        ("POST", "/leases/my%20lease/renew", {"fence": 7, "ttlSeconds": 0.5, "data": {"at": 1}}),
        ("POST", "/leases/my%20lease/release", {"fence": 7}),
        ("GET", "/leases/my%20lease", None),
    ]


def test_who_has_it_is_told(fake: FakeSpine) -> None:
    fake.say(Reply(409, json.dumps({"error": "lease_held", "detail": "other holds it", "holder": "other"}).encode()))
    with pytest.raises(LeaseHeld) as refused:
        LeaseClient(fake.url, "a-token-0001", retry=ONCE).take_lease("lead", "me", 15)
    assert refused.value.members["holder"] == "other"


def test_what_is_done_under_a_lease_says_so(fake: FakeSpine) -> None:
    fake.say(Reply(200, json.dumps({"ok": True}).encode()))
    SpineClient(fake.url, "a-token-0001", lease=("my lease", 7)).health()
    SpineClient(fake.url, "a-token-0001").health()
    assert [call.headers.get("X-Spine-Lease") for call in fake.seen] == ["my lease;7", None]
