"""Notices on a real server, to receivers on loopback sockets. What the receiver's ledger holds is the truth."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.receiver import OK, Receiver, Say
from tests.support.server import Server, StartSpine

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
QUICK = {"SPINE_NOTICE_RETRY_SECONDS": "1", "SPINE_NOTICE_TIMEOUT_SECONDS": "1"}

Receive = Callable[..., Receiver]


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def webhook(receiver: Receiver, *keys: bytes) -> dict[str, Any]:
    return {"channel": "webhook", "url": f"{receiver.url}/in", "secrets": [secret(key) for key in keys or (KEY,)]}


@pytest.fixture
def receive() -> Iterator[Receive]:
    made: list[Receiver] = []

    def make(*script: Say) -> Receiver:
        made.append(Receiver(*script))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def aliases(tmp_path: Path) -> Callable[..., str]:
    def write(**entries: dict[str, Any]) -> str:
        path = tmp_path / "notices.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(entries))
        return str(path)

    return write


def run(server: Server, result: Any = None, fail: str | None = None, **fields: Any) -> str:
    """Submit a job, claim it and end it; return its id."""
    job = server.head.post("/jobs", {"target": "left-claw", "spec": "s", **fields}).json
    server.left.post(f"/jobs/{job['id']}/claim")
    if fail is not None:
        done = server.left.post(f"/jobs/{job['id']}/fail", {"error": fail, "requeue": False})
    else:
        done = server.left.post(f"/jobs/{job['id']}/complete", {"result": result})
    assert done.status == 200, done.json
    return str(job["id"])


def test_the_end_of_a_job_reaches_a_receiver_that_was_down_for_its_first_two_tries(
    receive: Receive, aliases: Callable[..., str], start_spine: StartSpine
) -> None:
    receiver = receive(Say(503), Say(500), OK)
    server = start_spine(SPINE_NOTICES_FILE=aliases(ops=webhook(receiver, KEY, OTHER)), **QUICK)
    job_id = run(server, {"notes": "all is well"}, notify=["@ops"], label="nightly")
    calls = receiver.calls(3)
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    last = calls[-1]
    found = last.json
    assert (found["specversion"], found["type"], found["subject"]) == ("1.0", "spine.job.completed", job_id)
    assert found["id"] == last.headers["webhook-id"]
    assert found["data"]["text"] == "all is well"
    assert found["data"]["job"]["label"] == "nightly"
    signed = f"{last.headers['webhook-id']}.{last.headers['webhook-timestamp']}.".encode() + last.body
    assert last.headers["webhook-signature"].split() == [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in (KEY, OTHER)
    ]
    eventually(lambda: server.head.get("/notices").json["notices"][0]["status"] == "sent")
    tries = server.head.get(f"/notices/{found['id']}").json["tries"]
    assert [each["outcome"] for each in tries] == ["failed", "failed", "sent"]
    assert len(receiver.ledger) == 3
