"""Messages over HTTP: with heartbeats and claims, to a claw that waits, over a kill, and what is refused."""

import json

import pytest
from tests.support.figures import until_waiting
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine


def test_a_heartbeat_carries_what_is_there_and_nothing_else(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    claw.claim(job["id"])
    assert "messages" not in claw.post(f"/jobs/{job['id']}/heartbeat").json
    sent = head.post("/messages", {"to": name, "text": "mind the gap", "kind": "constraint", "jobId": job["id"]})
    assert sent.status == 201
    assert sent.json["receipts"] == [{"reader": name, "state": "pending", "deliveredAt": None, "readAt": None}]
    (told,) = claw.post(f"/jobs/{job['id']}/heartbeat").json["messages"]
    assert (told["text"], told["kind"], told["by"], told["jobId"]) == ("mind the gap", "constraint", "head", job["id"])
    assert "messages" not in head.post(f"/jobs/{job['id']}/heartbeat").json
    assert claw.post(f"/messages/{told['id']}/read").json["state"] == "read"
    (receipt,) = head.get(f"/messages/{told['id']}").json["receipts"]
    assert receipt["state"] == "read"
    assert receipt["deliveredAt"] <= receipt["readAt"]


def test_a_claim_that_waits_is_woken_by_a_message(head: Api, claw: Api, name: str) -> None:
    poll = claw.poll(wait=20)
    try:
        until_waiting(head, 1)
        head.post("/messages", {"to": name, "text": "hello"})
        answer = poll.answer(5.0)
        assert (answer.status, answer.json["jobs"]) == (200, [])
        assert [message["text"] for message in answer.json["messages"]] == ["hello"]
    finally:
        poll.close()
    until_waiting(head, 0)
    assert claw.post("/jobs/claim", {}).status == 204


def test_a_claim_brings_jobs_and_messages(head: Api, claw: Api, name: str) -> None:
    head.submit(target=name)
    head.post("/messages", {"to": name, "text": "hello"})
    answer = claw.post("/jobs/claim", {}).json
    assert (len(answer["jobs"]), len(answer["messages"])) == (1, 1)


def test_what_was_answered_is_there_after_a_kill(start_spine: StartSpine) -> None:
    server = start_spine()
    head, claw = server.head, server.claw("c0")
    sent = head.post("/messages", {"to": "c0", "text": "hello"}).json["id"]
    server.process.kill9()
    server.process.start()
    assert [message["id"] for message in claw.post("/jobs/claim", {}).json["messages"]] == [sent]


def test_a_repeat_with_the_same_key_sends_once(head: Api, claw: Api, name: str) -> None:
    sent = [head.post("/messages", {"to": name, "text": "once"}, Idempotency_Key=f"m-{name}") for _ in range(2)]
    assert sent[0].json == sent[1].json
    assert sent[1].headers["idempotency-replayed"] == "true"
    assert [m["text"] for m in claw.get("/messages").json["messages"]] == ["once"]


BAD: list[tuple[dict[str, object], int, str]] = [
    ({"to": "c1"}, 422, "body"),
    ({"to": "c1", "text": ""}, 422, "text"),
    ({"to": "c1", "text": "x" * 16_385}, 413, "text"),
    ({"to": "c1", "text": "a\u0000b"}, 422, "text"),
    ({"to": "c1", "text": "x", "kind": "spawn"}, 422, "kind"),
    ({"to": "C 1", "text": "x"}, 422, "to"),
    ({"to": "c1", "text": "x", "priority": 101}, 422, "priority"),
    ({"to": "c1", "text": "x", "ttlSeconds": 0}, 422, "ttlSeconds"),
    ({"to": "c1", "text": "x", "jobID": "j"}, 422, "jobID"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD)
def test_what_is_wrong_names_its_field(head: Api, body: dict[str, object], status: int, field: str) -> None:
    answer = head.post("/messages", body)
    assert (answer.status, answer.json["field"]) == (status, field), json.dumps(body)[:80]


WRONG = ["box=outbox", "unread=2", "limit=0", "limit=201", "cursor=x", "cursor=1.99999999999999999999", "status=read"]


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_question_is_refused(head: Api, query: str) -> None:
    answer = head.get(f"/messages?{query}")
    assert (answer.status, answer.json["field"]) == (422, query.partition("=")[0])


def test_who_may_not(server: Server, claw: Api, name: str) -> None:
    sent = server.head.post("/messages", {"to": name, "text": "x"}).json["id"]
    other = server.left
    assert other.get(f"/messages/{sent}").status == 403
    assert other.post(f"/messages/{sent}/read").status == 403
    assert server.head.post(f"/messages/{sent}/read").status == 403
    assert claw.get("/messages?box=all").status == 403
    assert claw.get("/messages/nosuch").status == 404
    assert server.nobody.get("/messages").status == 401
