"""Idempotency-Key: the first answer again to a repeat, for everything that changes something."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.figures import until_waiting
from tests.support.raw_http import Api
from tests.support.server import Server

REPLAYED = "idempotency-replayed"


def test_a_repeated_submit_makes_one_job(head: Api, name: str) -> None:
    body = {"target": name, "spec": "x"}
    first = head.post("/jobs", body, Idempotency_Key="k1")
    again = head.post("/jobs", body, Idempotency_Key="k1")
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.headers["location"] == first.headers["location"] == f"/jobs/{first.json['id']}"
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


def test_repeats_at_the_same_time_make_one_job(head: Api, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(head.post, "/jobs", {"target": name}, Idempotency_Key="same-time") for _ in range(24)]
        answers = [call.result() for call in calls]
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


def test_the_key_with_another_body_is_422(head: Api, name: str) -> None:
    head.post("/jobs", {"target": name, "spec": 1}, Idempotency_Key="k2")
    answer = head.post("/jobs", {"target": name, "spec": 2}, Idempotency_Key="k2")
    assert (answer.status, answer.error) == (422, "idempotency_mismatch")
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


def test_a_key_belongs_to_its_path(head: Api, name: str) -> None:
    one, two = head.submit(target=name)["id"], head.submit(target=name)["id"]
    for job_id in (one, two):
        answer = head.post(f"/jobs/{job_id}/comment", {"text": "x"}, Idempotency_Key="k3")
        assert (answer.status, answer.json["id"]) == (200, job_id)
        assert REPLAYED not in answer.headers


def test_a_key_belongs_to_its_owner(server: Server, head: Api, name: str) -> None:
    job_id = head.submit(target="any", requires=["nobody-has-this"])["id"]
    for api in (server.left, server.right, head):
        answer = api.post(f"/jobs/{job_id}/comment", {"text": "x"}, Idempotency_Key="k4")
        assert REPLAYED not in answer.headers
    assert len(head.job(job_id)["comments"]) == 3


def test_a_refusal_is_not_kept(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    refused = claw.post(f"/jobs/{job_id}/complete", {}, Idempotency_Key="k5")
    assert (refused.status, refused.error) == (409, "not_running")
    claw.claim(job_id)
    answer = claw.post(f"/jobs/{job_id}/complete", {}, Idempotency_Key="k5")
    assert (answer.status, answer.json["status"]) == (200, "done")
    assert REPLAYED not in answer.headers


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("complete", {"result": 1}),
        ("fail", {"error": "e"}),
        ("fail", {"error": "e", "requeue": False}),
        ("release", {}),
        ("comment", {"text": "x"}),
    ],
)
def test_the_verbs_replay_their_first_answer(head: Api, claw: Api, name: str, verb: str, body: Any) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    first = claw.post(f"/jobs/{job_id}/{verb}", body, Idempotency_Key="verb")
    assert first.status == 200
    after, events = head.job(job_id), head.events(job_id)
    again = claw.post(f"/jobs/{job_id}/{verb}", body, Idempotency_Key="verb")
    assert (again.status, again.body, again.headers[REPLAYED]) == (200, first.body, "true")
    assert head.job(job_id) == after
    assert head.events(job_id) == events


def test_heartbeats_and_logs_take_no_notice_of_a_key(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    for progress in (1, 2):
        answer = claw.post(f"/jobs/{job_id}/heartbeat", {"progress": progress}, Idempotency_Key="beat")
        assert (answer.status, answer.json["progress"]) == (200, progress)
        assert REPLAYED not in answer.headers
    for size in (1, 2):
        answer = claw.call("POST", f"/jobs/{job_id}/log", b"x", {"X-Spine-Fence": "1", "Idempotency-Key": "log"})
        assert (answer.status, answer.json["size"]) == (200, size)


def test_a_claim_by_id_replays_while_its_fence_lives(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    first = claw.post(f"/jobs/{job_id}/claim", Idempotency_Key="c")
    again = claw.post(f"/jobs/{job_id}/claim", Idempotency_Key="c")
    assert (again.status, again.body, again.headers[REPLAYED]) == (200, first.body, "true")
    claw.post(f"/jobs/{job_id}/release")
    before = head.job(job_id)
    over = claw.post(f"/jobs/{job_id}/claim", Idempotency_Key="c")
    assert (over.status, over.error) == (409, "stale_fence")
    assert head.job(job_id) == before


def test_a_claim_of_the_next_replays_while_all_its_fences_live(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=name)["id"] for _ in range(3)]
    first = claw.post("/jobs/claim", {"max": 2}, Idempotency_Key="n")
    assert [job["id"] for job in first.json["jobs"]] == ids[:2]
    again = claw.post("/jobs/claim", {"max": 2}, Idempotency_Key="n")
    assert (again.status, again.body, again.headers[REPLAYED]) == (200, first.body, "true")
    claw.post(f"/jobs/{ids[0]}/complete", {"fence": 1})
    over = claw.post("/jobs/claim", {"max": 2}, Idempotency_Key="n")
    assert (over.status, over.error, over.json["jobId"]) == (409, "stale_fence", ids[0])
    assert head.job(ids[2])["status"] == "queued"


def test_an_empty_claim_is_not_kept(head: Api, claw: Api, name: str) -> None:
    assert claw.post("/jobs/claim", {}, Idempotency_Key="e").status == 204
    head.submit(target=name)
    answer = claw.post("/jobs/claim", {}, Idempotency_Key="e")
    assert answer.status == 200
    assert REPLAYED not in answer.headers


def test_a_second_waiting_claim_with_the_key_takes_over_the_first(head: Api, claw: Api, name: str) -> None:
    body = {"wait": 20}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(claw.post, "/jobs/claim", body, 30, Idempotency_Key="t")
        until_waiting(head, 1)
        second = pool.submit(claw.post, "/jobs/claim", body, 30, Idempotency_Key="t")
        refused = first.result(10)
        assert (refused.status, refused.error, refused.json["retryable"]) == (409, "idempotency_busy", True)
        job = head.submit(target=name)
        answer = second.result(10)
    assert (answer.status, answer.json["jobs"][0]["id"], answer.json["jobs"][0]["attempts"]) == (200, job["id"], 1)
    assert REPLAYED not in answer.headers
    assert claw.claim_next() == []


def test_a_waiting_claim_after_a_kept_answer_replays_at_once(head: Api, claw: Api, name: str) -> None:
    head.submit(target=name)
    first = claw.post("/jobs/claim", {"wait": 20}, Idempotency_Key="w")
    again = claw.post("/jobs/claim", {"wait": 20}, Idempotency_Key="w")
    assert (again.status, again.body, again.headers[REPLAYED]) == (200, first.body, "true")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_of_wrong_form_is_refused(head: Api, name: str, key: str) -> None:
    answer = head.post("/jobs", {"target": name}, Idempotency_Key=key)
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "Idempotency-Key")
    assert head.get(f"/jobs?target={name}").json["jobs"] == []


@pytest.mark.parametrize("key", ["x" * 255, "a b/c:%00?", "ü".encode().decode("latin-1"), "'; DROP TABLE jobs; --"])
def test_any_printable_key_is_taken(head: Api, name: str, key: str) -> None:
    first = head.post("/jobs", {"target": name}, Idempotency_Key=key)
    assert first.status == 201
    assert head.post("/jobs", {"target": name}, Idempotency_Key=key).body == first.body
