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
from tests.support.server import MakeProcess, Server, StartSpine

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


def listed(server: Server, query: str = "") -> list[dict[str, Any]]:
    found = server.head.get(f"/notices{query}")
    assert found.status == 200, found.json
    return list(found.json["notices"])


def test_a_spine_that_is_killed_between_sending_and_noting_it_sends_again_under_the_same_id(
    receive: Receive, aliases: Callable[..., str], start_spine: StartSpine
) -> None:
    receiver = receive()
    patient = QUICK | {"SPINE_NOTICE_TIMEOUT_SECONDS": "5"}  # nobody takes the notice again before the server is back
    server = start_spine(SPINE_NOTICES_FILE=aliases(ops=webhook(receiver)), **patient)
    server.process.stop()
    server.process.start_armed("spine.notice-sent")
    job_id = run(server, "text", notify=["ops"])
    server.process.await_point("spine.notice-sent")
    server.process.kill9()
    assert len(receiver.ledger) == 1
    server.process.start()
    (row,) = listed(server)
    assert (row["status"], row["attempts"], row["jobId"]) == ("sending", 1, job_id)
    first, second = receiver.calls(2, 60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == row["id"]
    assert first.body == second.body
    eventually(lambda: listed(server, "?status=sent"))
    assert [each["outcome"] for each in server.head.get(f"/notices/{row['id']}").json["tries"]] == ["lost", "sent"]


def test_a_kill_amid_many_ends_loses_no_notice(
    receive: Receive, aliases: Callable[..., str], start_spine: StartSpine
) -> None:
    receiver = receive(Say(500), OK, Say(500), OK)
    server = start_spine(SPINE_NOTICES_FILE=aliases(ops=webhook(receiver)), **QUICK)
    ended = {run(server, "text", notify=["ops"]) for _ in range(8)}
    server.process.kill9()
    server.process.start()
    ended |= {run(server, "text", notify=["ops"]) for _ in range(4)}
    eventually(lambda: len(listed(server, "?status=sent")) == len(ended), 30)
    assert {call.json["subject"] for call in receiver.ledger} == ended


def test_one_that_hangs_delays_nobody_else(
    receive: Receive, aliases: Callable[..., str], start_spine: StartSpine
) -> None:
    hangs, well = receive(Say(hang=True)), receive()
    path = aliases(slow=webhook(hangs), ops=webhook(well))
    server = start_spine(SPINE_NOTICES_FILE=path, SPINE_NOTICE_TIMEOUT_SECONDS="60")
    for _ in range(5):
        run(server, "text", notify=["slow", "ops"])
    assert len({call.headers["webhook-id"] for call in well.calls(5)}) == 5
    assert len(hangs.ledger) == 1
    assert {row["status"] for row in listed(server, "?alias=@slow")} == {"sending", "waiting"}


def test_a_head_lists_looks_replays_gives_up_and_sends(
    receive: Receive, aliases: Callable[..., str], process: MakeProcess
) -> None:
    receiver = receive(Say(410), OK)
    path = aliases(ops=webhook(receiver), torn={"channel": "discord", "url": "x"})
    made = process(SPINE_NOTICES_FILE=path, SPINE_PUBLIC_URL="https://spine.example.org/", **QUICK)
    server = Server(made.start())
    head = server.head
    found = head.get("/notices/aliases").json["aliases"]
    assert [(alias["name"], alias["channel"], alias["usable"]) for alias in found] == [
        ("ops", "webhook", True),
        ("torn", "discord", False),
    ]
    assert secret(KEY) not in json.dumps(found)
    assert receiver.url not in json.dumps(found)
    job_id = run(server, fail="it broke", delivery={"to": "@ops"})
    (row,) = eventually(lambda: listed(server, f"?status=given_up&jobId={job_id}"))
    assert (row["attempts"], row["text"]) == (1, "it broke")
    assert row["error"] == "the receiver answered 410: it takes no more"
    given_up = [e for e in head.get(f"/jobs/{job_id}/events").json["events"] if e["type"] == "notice.given_up"]
    assert [event["data"]["notice"] for event in given_up] == [row["id"]]
    assert 'outcome="given_up",worker="0"} 1.0' in head.get("/metrics").body.decode()
    again = head.post(f"/notices/{row['id']}/replay", Idempotency_Key="k1")
    assert (again.status, again.json["status"], again.json["error"]) == (200, "waiting", row["error"])
    assert head.post(f"/notices/{row['id']}/replay", Idempotency_Key="k1").headers["idempotency-replayed"] == "true"
    first, second = receiver.calls(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.json["data"]["link"] == f"https://spine.example.org/jobs/{job_id}"
    assert second.json["source"] == "https://spine.example.org"
    eventually(lambda: head.get(f"/notices/{row['id']}").json["status"] == "sent")
    refused = head.post(f"/notices/{row['id']}/give-up")
    assert (refused.status, refused.error) == (409, "not_awaiting")
    by_hand = head.post("/notices", {"alias": "@ops", "text": "hello", "title": "a word", "jobId": job_id})
    assert (by_hand.status, by_hand.json["type"], by_hand.json["createdBy"]) == (201, "notice", "head")
    assert receiver.calls(3)[-1].json["data"]["title"] == "a word"
    told = made.faults()  # both are told loudly
    assert ["notices.alias_unusable" in line or "notices.given_up" in line for line in told] == [True, True]
    assert secret(KEY) not in made.log()
    page = head.get("/notices?limit=1").json
    assert [each["id"] for each in page["notices"]] == [by_hand.json["id"]]
    rest = head.get(f"/notices?limit=1&cursor={page['nextCursor']}").json
    assert ([each["id"] for each in rest["notices"]], rest["nextCursor"]) == ([row["id"]], None)


def test_aliases_that_come_later_find_what_waits_for_them(
    receive: Receive, aliases: Callable[..., str], start_spine: StartSpine
) -> None:
    first, second = receive(), receive()
    server = start_spine(SPINE_NOTICES_FILE=aliases(ops=webhook(first), late=webhook(first)), **QUICK)
    aliases(ops=webhook(first))
    eventually(lambda: len(server.head.get("/notices/aliases").json["aliases"]) == 1)
    refused = server.head.post("/jobs", {"target": "left-claw", "notify": ["late"]})
    assert (refused.status, refused.json["field"]) == (422, "notify[0]")
    run(server, "text", notify=["ops"])
    first.calls(1)
    aliases(ops=webhook(second))
    eventually(lambda: second.ledger or (run(server, "text", notify=["ops"]) and None), every=0.5)


BAD = [
    ("POST", "/notices", {}, 422, "body"),
    ("POST", "/notices", {"alias": "nobody", "text": "t"}, 422, "alias"),
    ("POST", "/notices", {"alias": "Not Good", "text": "t"}, 422, "alias"),
    ("POST", "/notices", {"alias": "ops", "text": ""}, 422, "text"),
    ("POST", "/notices", {"alias": "ops", "text": "x" * 16_385}, 422, "text"),
    ("POST", "/notices", {"alias": "ops", "text": "t", "title": "a\r\nBcc: b"}, 422, "title"),
    ("POST", "/notices", {"alias": "ops", "text": "t", "colour": 1}, 422, "colour"),
    ("POST", "/notices/ntc_none/replay", {}, 404, None),
    ("POST", "/notices/ntc_none/give-up", {}, 404, None),
    ("POST", "/notices/ntc_none/forget", {}, 422, "verb"),
    ("GET", "/notices/ntc_none", None, 404, None),
    ("GET", "/notices?status=lost", None, 422, "status"),
    ("GET", "/notices?limit=0", None, 422, "limit"),
    ("GET", "/notices?cursor=x", None, 422, "cursor"),
    ("GET", "/notices?color=x", None, 422, "color"),
    ("POST", "/jobs", {"notify": ["ops@"]}, 422, "notify[0]"),
    ("POST", "/jobs", {"delivery": {"mode": "sometimes"}}, 422, "delivery.mode"),
    ("POST", "/jobs", {"delivery": {"to": "a\nb"}}, 422, "delivery.to"),
    ("POST", "/jobs", {"delivery": {"to": "@ops", "via": "x"}}, 422, "delivery"),
]


def test_what_is_refused_names_the_field_and_changes_nothing(server: Server) -> None:
    for method, path, body, status, field in BAD:
        data = None if body is None else json.dumps(body).encode()
        answer = server.head.call(method, path, data)
        assert (answer.status, answer.json.get("field")) == (status, field), (path, body, answer.json)
    assert listed(server) == []
    for token in (server.left, server.nobody):
        assert token.get("/notices").status == 401
        assert token.post("/notices", {"alias": "ops", "text": "t"}).status == 401


def test_a_file_that_others_can_read_is_a_fault_at_start(process: MakeProcess, aliases: Callable[..., str]) -> None:
    path = aliases()
    Path(path).chmod(0o644)
    spine = process(SPINE_NOTICES_FILE=path)
    spine.launch()
    assert spine.wait() == 78
    assert f"SPINE_NOTICES_FILE: {path} holds secrets and others can read it: chmod 600" in spine.log()
