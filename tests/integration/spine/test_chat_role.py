"""The role of the chat front: what people say in a chat becomes calls of its token, and it may do nothing else."""

import http.client
from typing import Any

import pytest
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine

from contract.head_client import HeadClient

CHAT = "chat-token-00001"


@pytest.fixture
def server(start_spine: StartSpine) -> Server:
    return start_spine(CHAT_TOKEN=CHAT)


@pytest.fixture
def chat(server: Server) -> Api:
    return Api(server.port, CHAT)


def kinds(head: Api, job_id: str) -> list[tuple[str, str]]:
    """Return what happened to a job, and by whom."""
    return [(event["type"], event["by"]) for event in head.get(f"/jobs/{job_id}/events").json["events"]]


def test_it_takes_a_job_from_submit_to_review_in_its_own_name(server: Server, chat: Api) -> None:
    made = chat.post("/jobs", {"label": "discord:123", "needsApproval": True, "needsReview": True, "spec": "write"})
    assert (made.status, made.json["createdBy"], made.json["status"]) == (201, "chat", "waiting")
    path = f"/jobs/{made.json['id']}"
    assert chat.get(f"{path}/why").json["reasons"][0]["code"] == "approval"
    approved = chat.post(f"{path}/approve", {"specDigest": made.json["approval"]["specDigest"]})
    assert (approved.status, approved.json["status"], approved.json["approval"]["by"]) == (200, "queued", "chat")
    fence = server.left.claim(made.json["id"])["fence"]
    assert chat.post(f"{path}/comment", {"text": "be quick"}).status == 200
    told = server.left.post(f"{path}/heartbeat", {"fence": fence}).json["newComments"]
    assert [(comment["by"], comment["text"]) for comment in told] == [("chat", "be quick")]
    assert server.left.call("POST", f"{path}/log", b"one line\n").status == 200
    assert chat.get(f"{path}/log").body == b"one line\n"
    server.left.post(f"{path}/complete", {"fence": fence, "result": {"notes": "fine"}})
    accepted = chat.post(f"{path}/review", {"decision": "accept", "fence": fence})
    assert (accepted.status, accepted.json["review"]["state"], accepted.json["review"]["by"]) == (
        200,
        "accepted",
        "chat",
    )
    assert kinds(server.head, made.json["id"]) == [
        ("job.created", "chat"),
        ("job.approved", "chat"),
        ("job.ready", "chat"),
        ("job.claimed", "left-claw"),
        ("job.comment", "chat"),
        ("job.completed", "left-claw"),
        ("job.reviewed", "chat"),
    ]
    assert [attempt["outcome"] for attempt in chat.get(f"{path}/attempts").json["attempts"]] == ["done"]


def test_it_says_for_whom_it_speaks(server: Server, chat: Api) -> None:
    job = chat.post("/jobs", {"needsApproval": True, "needsReview": True}, X_Spine_For="discord:1").json
    assert job["createdBy"] == "chat/discord:1"
    path = f"/jobs/{job['id']}"
    client = HeadClient(f"http://127.0.0.1:{server.port}", CHAT)
    anna, otto = client.speaking_for("discord:2"), client.speaking_for("telegram:ö 3")
    approval = anna.approve(job["id"]).approval
    assert approval is not None
    assert approval.by == "chat/discord:2"
    server.left.claim(job["id"])
    assert [comment.by for comment in otto.comment(job["id"], "hm").comments] == ["chat/telegram:__3"]
    server.left.post(f"{path}/complete", {"result": {}})
    assert chat.post(f"{path}/review", {"decision": "accept"}).json["review"]["by"] == "chat"
    assert kinds(server.head, job["id"]) == [
        ("job.created", "chat/discord:1"),
        ("job.approved", "chat/discord:2"),
        ("job.ready", "chat/discord:2"),
        ("job.claimed", "left-claw"),
        ("job.comment", "chat/telegram:__3"),
        ("job.completed", "left-claw"),
        ("job.reviewed", "chat"),
    ]


def test_a_name_that_nobody_can_have_is_refused(server: Server, chat: Api) -> None:
    for person in ("", " ", "a b", "<b>", "head,x", "x" * 129, ":1"):
        answer = chat.post("/jobs", {}, X_Spine_For=person)
        assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "X-Spine-For"), person
    assert server.head.get("/jobs").json["jobs"] == []


def test_others_speak_for_nobody(server: Server) -> None:
    job = server.head.post("/jobs", {"target": "left-claw"}, X_Spine_For="discord:1").json
    assert job["createdBy"] == "head"
    told = server.left.post(f"/jobs/{job['id']}/comment", {"text": "hm"}, X_Spine_For="discord:1").json
    assert [comment["by"] for comment in told["comments"]] == ["left-claw"]


def test_two_people_may_use_the_same_idempotency_key(chat: Api) -> None:
    def made(person: str) -> str:
        return str(chat.post("/jobs", {}, X_Spine_For=person, Idempotency_Key="one").json["id"])

    assert made("discord:1") == made("discord:1") != made("discord:2")


def test_it_counts_what_somebody_has_in_progress_and_looks_for_the_newest(server: Server, chat: Api) -> None:
    made = [chat.post("/jobs", {"label": f"discord:{n % 2}"}).json["id"] for n in range(4)]
    server.left.claim(made[0])

    def found(query: str) -> list[str]:
        return [job["id"] for job in chat.get(f"/jobs?label=discord:0&{query}").json["jobs"]]

    assert found("status=queued&status=running&limit=1") == [made[0]]
    assert found("status=queued,running") == [made[0], made[2]]
    assert found("order=newest&limit=1") == [made[2]]
    refused = chat.get("/jobs?order=youngest")
    assert (refused.status, refused.json["field"]) == (422, "order")


def test_it_rejects_and_cancels(chat: Api) -> None:
    first = chat.post("/jobs", {"needsApproval": True}).json["id"]
    assert chat.post(f"/jobs/{first}/reject", {"reason": "no"}).json["error"] == "no"
    second = chat.post("/jobs", {}).json["id"]
    assert chat.post(f"/jobs/{second}/cancel").json["status"] == "cancelled"


def test_it_sees_jobs_of_everybody(server: Server, chat: Api) -> None:
    job = server.head.submit(target="left-claw")["id"]
    assert chat.get(f"/jobs/{job}").status == 200
    assert [found["id"] for found in chat.get("/jobs").json["jobs"]] == [job]
    server.head.post("/groups", {"name": "all of it", "jobIds": [job]})
    server.head.post("/targets/left-claw/pause")
    assert [event["type"] for event in server.head.events()] == ["job.created", "group.opened", "target.paused"]
    page = chat.get("/events").json
    assert [(event["type"], event["jobId"]) for event in page["events"]] == [("job.created", job)]
    rest = chat.get(f"/events?cursor={page['nextCursor']}").json
    assert (rest["events"], rest["gap"]) == ([], False)
    with chat.stream(f"/events?cursor={rest['nextCursor']}") as stream:
        server.head.post(f"/jobs/{job}/cancel")
        kind, data, _ = stream.next()
        assert (kind, data["by"]) == ("job.cancelled", "head")


def test_a_list_of_jobs_is_not_for_it_and_changes_nothing(server: Server, chat: Api) -> None:
    for body in ([{}], [{}, {}], []):
        answer = chat.post("/jobs", body)
        assert (answer.status, answer.error) == (401, "unauthorized")
    assert server.head.get("/jobs").json["jobs"] == []


def test_a_refused_call_changes_nothing(server: Server, chat: Api) -> None:
    head = server.head
    job = head.submit(target="left-claw")["id"]
    before = head.job(job), len(head.events())
    calls: list[tuple[str, Any]] = [
        (f"/jobs/{job}/{verb}", {"fence": 1}) for verb in ("claim", "heartbeat", "complete", "fail", "release")
    ]
    calls += [(f"/jobs/bulk/{verb}", {"all": True}) for verb in ("cancel", "retry", "release")]
    calls += [("/jobs/claim", {}), ("/machines/join-codes", {"name": "spy"}), ("/machines/left-claw/revoke", None)]
    calls += [("/messages", {"to": "left-claw", "text": "hm"}), ("/notices", {"alias": "ops", "text": "hm"})]
    calls += [(f"/jobs/{job}/log", "x"), ("/leases/one/take", {"holder": "me"}), ("/targets/any/pause", None)]
    for path, body in calls:
        answer = chat.post(path, body)
        assert (answer.status, answer.error) == (401, "unauthorized"), (path, answer)
    assert (head.job(job), len(head.events())) == before


def test_it_cannot_sign_in_at_the_dashboard(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/ui/sign-in", f"token={CHAT}", headers)
    answer = connection.getresponse()
    page = answer.read().decode()
    assert (answer.status, answer.getheader("Set-Cookie")) == (403, None)
    assert "This is the token of a chat front. Sign in with a head" in page
    connection.request("GET", "/ui/jobs", headers={"Authorization": f"Bearer {CHAT}"})
    answer = connection.getresponse()
    answer.read()
    assert (answer.status, answer.getheader("Location")) == (303, "/ui/sign-in?next=%2Fui%2Fjobs")
    connection.close()


def test_a_foreign_dialect_does_not_know_it(start_spine: StartSpine) -> None:
    server = start_spine(
        CHAT_TOKEN=CHAT, SKYCLAW_TOKEN="skyclaw-token-1", BOT_TOKEN="bot-token-00001", WORKER_TOKEN="worker-token-01"
    )
    chat = Api(server.port, CHAT)
    assert chat.get("/skyclaw/tasks").status == 401
    assert chat.get("/broker/jobs/x").status == 401
