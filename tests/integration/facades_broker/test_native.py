"""The native side of a broker's jobs: a head sees and steers them, a claw that offers the dialect may do them."""

from typing import Any

from tests.integration.facades_broker.conftest import Broker
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess


def claw_of(spine: SpineProcess) -> Api:
    return Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"], "w1")


def test_a_head_sees_them_as_they_are_kept(broker: Broker, head: Api) -> None:
    job_id = broker.create("ping", "žluť", requires={"caps": [" llm", "repo", "llm"]})
    job = head.job(job_id)
    assert {name: job[name] for name in ("target", "requires", "spec", "createdBy", "status", "maxAttempts")} == {
        "target": "any", "requires": ["broker", "llm", "repo"], "spec": {"command": "ping", "payload": "žluť"},
        "createdBy": "broker", "status": "queued", "maxAttempts": 5,
    }  # fmt: skip
    assert [job["id"] for job in head.get("/jobs?status=queued&target=any").json["jobs"]] == [job_id]
    assert broker.by("mac-1").take(X_Worker_Caps="llm,repo") == job_id
    job = head.job(job_id)
    assert {name: job[name] for name in ("status", "claimedBy", "machine", "workerId", "attempts", "fence")} == {
        "status": "running", "claimedBy": "broker:mac-1", "machine": "broker:mac-1", "workerId": "mac-1",
        "attempts": 1, "fence": 1,
    }  # fmt: skip
    (machine,) = [one for one in head.get("/machines").json["machines"] if one["name"] == "broker:mac-1"]
    assert (machine["running"], machine["capabilities"]) == ([job_id], ["broker", "llm", "repo"])
    broker.by("mac-1").result(job_id, '{"a": "ů"}')
    job = head.job(job_id)
    assert (job["status"], job["result"], job["error"]) == ("done", '{"a": "ů"}', None)
    assert [(event["type"], event["by"]) for event in head.events(job_id)] == [
        ("job.created", "broker"), ("job.claimed", "broker:mac-1"), ("job.completed", "broker:mac-1"),
    ]  # fmt: skip


def test_a_worker_without_a_name(broker: Broker, head: Api) -> None:
    job_id = broker.create()
    broker.take()
    assert (head.job(job_id)["claimedBy"], head.job(job_id)["workerId"]) == ("broker:", None)
    broker.fail(job_id, "no disk")
    assert (head.job(job_id)["status"], head.job(job_id)["error"]) == ("failed", "no disk")
    assert head.attempts(job_id)[0]["outcome"] == "failed"


def test_a_head_cancels_and_retries(broker: Broker, head: Api) -> None:
    queued, running = broker.create(), broker.create()
    assert head.post(f"/jobs/{queued}/cancel", {"reason": "not wanted"}).status == 200
    assert broker.take() == running
    assert head.post(f"/jobs/{running}/cancel").status == 200
    assert [(broker.job(one)["status"], broker.job(one)["error"]) for one in (queued, running)] == [
        ("failed", "cancelled: not wanted"), ("failed", "cancelled"),
    ]  # fmt: skip
    told = broker.result(running, "too late")
    assert told.json == {"ok": True, "status": "failed", "note": "already failed; result ignored"}
    assert (broker.job(running)["result"], head.attempts(running)[0]["lateResult"]) == (None, "too late")
    assert head.post(f"/jobs/{queued}/retry").status == 200
    job = broker.job(queued)
    assert (job["status"], job["error"], job["finished_at"], job["worker_id"]) == ("queued", None, None, None)
    assert broker.by("w").take() == queued
    assert broker.by("w").result(queued).json == {"ok": True, "status": "done"}
    assert broker.next() is None


def test_a_head_s_own_jobs_for_the_dialect(broker: Broker, head: Api) -> None:
    """By their priority, then by age; one that waits for a person reads as queued and is given to nobody."""
    first = broker.create()
    spec = {"command": "ping", "payload": "urgent"}
    urgent = head.submit(target="any", requires=["broker"], priority=5, spec=spec)["id"]
    held = head.submit(target="any", requires=["broker"], needsApproval=True, spec=spec)["id"]
    assert (broker.job(held)["status"], broker.job(held)["payload"]) == ("queued", "urgent")
    refused = broker.result(held)
    assert (refused.status, refused.json) == (400, {"detail": "job not in running state: queued"})
    assert broker.fail(held).status == 409
    assert [broker.take(), broker.take()] == [urgent, first]
    assert broker.next() is None
    assert head.post(f"/jobs/{held}/approve").status == 200
    assert broker.take() == held
    # One that no broker made: what it holds is shown as the texts that the dialect has.
    other: Any = head.submit(target="any", requires=["broker"], spec={"run": "true"})["id"]
    assert (broker.job(other)["command"], broker.job(other)["payload"]) == ("", "")
    listed = head.submit(target="any", requires=["broker"], spec=[1])["id"]
    assert broker.job(listed)["command"] == ""
    assert [broker.take(), broker.take()] == [other, listed]


def test_a_worker_takes_nothing_that_is_not_its_dialect_s(broker: Broker, head: Api) -> None:
    native = head.submit(target="any", spec={"command": "ping", "payload": "x"})["id"]
    assert broker.next(X_Worker_Caps="shell") is None
    for answer in (broker.bot("GET", f"/jobs/{native}"), broker.result(native), broker.fail(native)):
        assert (answer.status, answer.json) == (404, {"detail": "job not found"})
    assert head.job(native)["status"] == "queued"


def test_a_claw_of_ours_takes_one_when_it_offers_the_dialect(broker: Broker, module_spine: SpineProcess) -> None:
    claw = claw_of(module_spine)
    job_id = broker.create("ping", "x")
    assert claw.claim_next(capabilities=["shell"]) == []
    (job,) = claw.claim_next(capabilities=["shell", "broker"])
    assert (job["id"], job["spec"]) == (job_id, {"command": "ping", "payload": "x"})
    shown = broker.job(job_id)
    assert (shown["status"], shown["worker_id"]) == ("running", "w1")
    refused = broker.by("mac-1").result(job_id, "mine")
    assert (refused.status, refused.json) == (409, {"detail": "job is held by w1"})
    assert claw.post(f"/jobs/{job_id}/complete", {"fence": 1, "result": "pong: x"}).status == 200
    shown = broker.job(job_id)
    assert (shown["status"], shown["result"], shown["error"]) == ("done", "pong: x", None)


def test_a_claw_of_ours_fails_one(broker: Broker, module_spine: SpineProcess) -> None:
    claw = claw_of(module_spine)
    job_id = broker.create("approve_echo", "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0c01")
    assert len(claw.claim_next(capabilities=["broker"])) == 1
    body = {"fence": 1, "error": "unknown plan_id", "requeue": False}
    assert claw.post(f"/jobs/{job_id}/fail", body).status == 200
    shown = broker.job(job_id)
    assert (shown["status"], shown["result"], shown["error"]) == ("failed", None, "unknown plan_id")


def test_a_result_that_is_no_text_is_shown_as_json(broker: Broker, module_spine: SpineProcess) -> None:
    claw = claw_of(module_spine)
    job_id = broker.create()
    claw.claim_next(capabilities=["broker"])
    claw.post(f"/jobs/{job_id}/complete", {"fence": 1, "result": {"ok": True}})
    assert broker.job(job_id)["result"] == '{"ok":true}'


def test_a_plan_that_a_claw_of_ours_made_can_be_approved_once(
    broker: Broker, head: Api, module_spine: SpineProcess
) -> None:
    claw = claw_of(module_spine)
    plan_id = broker.create("plan_echo", "x")
    claw.claim_next(capabilities=["broker"])
    text = f'{{"type": "plan", "plan_id": "{plan_id}", "summary": "Echo plan for: x"}}'
    assert claw.post(f"/jobs/{plan_id}/complete", {"fence": 1, "result": text}).status == 200
    assert broker.job(plan_id)["result"] == text
    approval = broker.create("approve_echo", plan_id)
    (job,) = claw.claim_next(capabilities=["broker"])
    assert (job["id"], job["spec"]["plan"]["id"], job["spec"]["plan"]["jobId"]) == (approval, plan_id, plan_id)
    assert "was approved already" in broker.job(broker.create("approve_echo", plan_id))["error"]
