"""The new fields and decisions over HTTP: what is refused, by which code, and that nothing changes."""

from typing import Any

import pytest
from tests.support.raw_http import Api


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"timeoutSeconds": 2_592_001}, "timeoutSeconds"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"notBefore": "soon"}, "notBefore"),
        ({"notBefore": "2030-01-01T00:00:00"}, "notBefore"),
        ({"requires": ["a b"]}, "requires[0]"),
        ({"requires": ["x"] * 33}, "requires"),
        ({"concurrencyKey": ""}, "concurrencyKey"),
        ({"concurrencyKey": "k", "concurrencyLimit": 0}, "concurrencyLimit"),
        ({"concurrencyKey": "a\u0000"}, "concurrencyKey"),
        ({"retry": {}}, "retry"),
        ({"retry": {"backoffSeconds": 1, "factor": 0.5}}, "retry.factor"),
        ({"retry": {"backoffSeconds": 1, "faktor": 2}}, "retry"),
        ({"dedupeKey": "x" * 201}, "dedupeKey"),
        ({"after": "job_1"}, "after"),
        ({"after": [""]}, "after[0]"),
        ({"after": ["x"] * 1001}, "after"),
        ({"needsApproval": "yes"}, "needsApproval"),
        ({"needsReview": 1}, "needsReview"),
        ({"notify": ["Not Good"]}, "notify[0]"),
        ({"traceparent": "00-x"}, "traceparent"),
        ({"parentId": ""}, "parentId"),
        ({"label": "x" * 201}, "label"),
    ],
)
def test_a_field_of_wrong_form(head: Api, name: str, fields: dict[str, Any], field: str) -> None:
    answer = head.post("/jobs", {"target": name} | fields)
    assert (answer.status, answer.error) == (422, "invalid_field"), answer
    assert answer.json["field"].startswith(field), answer.json
    assert head.get(f"/jobs?target={name}").json["jobs"] == []


def test_dependencies_that_cannot_be(head: Api, name: str) -> None:
    """An id is given out with the answer, so that a job can neither name itself nor close a cycle."""
    ended = head.submit(target=name)["id"]
    head.post(f"/jobs/{ended}/cancel")
    for after in (["job_never"], ["../x"], [ended], [ended, "job_never"]):
        answer = head.post("/jobs", {"target": name, "after": after})
        assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "after"), answer
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("cancel", {"raeson": "x"}, "raeson"),
        ("reject", {"why": "x"}, "why"),
        ("approve", {"digest": "0" * 64}, "digest"),
        ("approve", {"specDigest": "0"}, "specDigest"),
        ("approve", {"specDigest": "G" * 64}, "specDigest"),
        ("review", {}, "decision"),
        ("review", {"decision": "maybe"}, "decision"),
        ("review", {"decision": "accept", "comment": "x"}, "comment"),
        ("retry", {"now": True}, "now"),
        ("adopt", {}, "fence"),
        ("adopt", {"fence": -1}, "fence"),
        ("adopt", {"fence": "1"}, "fence"),
        ("adopt", {"fence": 7}, "fence"),
    ],
)
def test_decisions_are_read_strictly(head: Api, name: str, verb: str, body: Any, field: str) -> None:
    job = head.submit(target=name, needsApproval=True, needsReview=True)
    answer = head.post(f"/jobs/{job['id']}/{verb}", body)
    assert (answer.status, answer.error) == (422, "invalid_field"), answer
    assert field in (answer.json["field"], answer.json["detail"].split("`")[1] if "`" in answer.json["detail"] else "")
    assert head.job(job["id"]) == job


@pytest.mark.parametrize("verb", ["cancel", "approve", "reject", "review", "retry", "adopt"])
def test_only_a_head_decides_and_only_on_what_is_there(head: Api, claw: Api, name: str, verb: str) -> None:
    body = {"review": {"decision": "accept"}, "adopt": {"fence": 1}}.get(verb)
    job = head.submit(target=name)
    assert claw.post(f"/jobs/{job['id']}/{verb}", body).status == 401
    answer = head.post(f"/jobs/job_never/{verb}", body)
    assert (answer.status, answer.error) == (404, "not_found")
    assert head.job(job["id"]) == job


def test_an_approval_of_another_spec(head: Api, name: str) -> None:
    job = head.submit(target=name, spec={"run": "rm -r build"}, needsApproval=True)
    digest = job["approval"]["specDigest"]
    answer = head.post(f"/jobs/{job['id']}/approve", {"specDigest": "0" * 64})
    assert (answer.status, answer.error, answer.json["specDigest"]) == (409, "spec_changed", digest)
    assert head.job(job["id"]) == job
    assert head.post(f"/jobs/{job['id']}/approve", {"specDigest": digest}).json["status"] == "queued"


def test_a_review_nobody_asked_for(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    claw.claim(job["id"])
    claw.post(f"/jobs/{job['id']}/complete", {"fence": 1})
    answer = head.post(f"/jobs/{job['id']}/review", {"decision": "rework"})
    assert (answer.status, answer.error, answer.json["status"]) == (409, "not_awaiting", "done")


def test_a_fence_that_left_nothing(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    claw.claim(job["id"])
    answer = head.post(f"/jobs/{job['id']}/adopt", {"fence": 1})
    assert (answer.status, answer.error) == (409, "no_late_result")
    assert head.job(job["id"])["fence"] == 1


def test_a_dedupe_key_that_is_taken(head: Api, name: str) -> None:
    first = head.submit(target=name, dedupeKey=name)
    head.post(f"/jobs/{first['id']}/cancel")
    second = head.submit(target=name, dedupeKey=name)
    answer = head.post(f"/jobs/{first['id']}/retry")
    assert (answer.status, answer.error, answer.json["jobId"]) == (409, "dedupe_conflict", second["id"])
    assert head.post("/jobs", {"target": name, "dedupeKey": name}).status == 200


def test_a_cancelled_holder_is_told(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    claw.claim(job["id"])
    cancelled = head.post(f"/jobs/{job['id']}/cancel", {"reason": "not wanted"}).json
    assert (cancelled["status"], cancelled["claimedBy"], cancelled["error"]) == ("cancelled", name, "not wanted")
    answer = claw.post(f"/jobs/{job['id']}/heartbeat", {"fence": 1})
    assert (answer.status, answer.error) == (409, "not_running")
    assert (answer.json["status"], answer.json["cancelRequested"]) == ("cancelled", True)
    late = claw.post(f"/jobs/{job['id']}/complete", {"fence": 1, "result": {"n": 1}})
    assert (late.status, late.json["lateResult"]) == (409, "kept")
    assert head.attempts(job["id"])[0]["lateResult"] == {"n": 1}
    assert head.post(f"/jobs/{job['id']}/adopt", {"fence": 1}).json["result"] == {"n": 1}


def test_unknown_words_in_a_query(head: Api, name: str) -> None:
    job = head.submit(target=name)
    for path in (f"/jobs/{job['id']}/why?x=1", f"/jobs/{job['id']}/attempts?limt=1"):
        assert head.get(path).status == 422, path
