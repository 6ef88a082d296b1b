"""Plans and approvals in the broker's dialect: kept by the spine, approved once (contract: Broker, weakness 11)."""

import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.facades_broker.conftest import Broker
from tests.support.raw_http import Api
from tests.support.spine_process import SpineProcess

ENDED = {"ok": True, "status": "done"}


def planned(broker: Broker, plan_id: str) -> str:
    """Have a plan made; return its text."""
    plan = {"type": "plan", "plan_id": plan_id, "summary": "Echo plan for: x", "requires_approval": True}
    text, job_id = json.dumps(plan), broker.create("plan_echo", "x")
    assert broker.take() == job_id
    assert broker.result(job_id, text).json == ENDED
    return text


PLAN = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a01"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (f"../plans/{PLAN}", "unknown plan_id"),
        (f"/var/lib/openclaw-runner/state/plans/{PLAN}", "unknown plan_id"),
        (f"{PLAN}.json", "unknown plan_id"),
        (f"{PLAN}/../{PLAN}", "unknown plan_id"),
        (f"{PLAN}\x00", "unknown plan_id"),
        (PLAN.upper(), "unknown plan_id"),
        (PLAN.replace("-", ""), "unknown plan_id"),
        ("٥" + PLAN[1:], "unknown plan_id"),
        ("..", "unknown plan_id"),
        ("", "plan_id required"),
        (" \n", "plan_id required"),
    ],
)
def test_an_approval_of_what_is_no_plan_id_reaches_no_worker(broker: Broker, payload: str, error: str) -> None:
    planned(broker, PLAN)
    job = broker.job(broker.create("approve_echo", payload))
    assert (job["status"], job["error"], job["started_at"]) == ("failed", error, None)
    assert broker.next() is None


def test_a_plan_is_approved_once_and_on_the_record(broker: Broker, head: Api, module_spine: SpineProcess) -> None:
    """Single-use, recorded with who and when, and bound to the text that was shown."""
    plan_id = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a02"
    text = planned(broker.by("w"), plan_id)
    approval = broker.create("approve_echo", f" {plan_id}\n")
    digest = hashlib.sha256(text.encode()).hexdigest()
    spec = head.job(approval)["spec"]
    assert spec["plan"] == {"id": plan_id, "jobId": spec["plan"]["jobId"], "digest": digest}
    assert broker.job(spec["plan"]["jobId"])["result"] == text
    (event,) = [e for e in head.events(spec["plan"]["jobId"]) if e["type"] == "plan.approved"]
    assert (event["by"], event["data"]) == ("broker", {"planId": plan_id, "digest": digest, "approval": approval})
    again = broker.job(broker.create("approve_echo", plan_id))
    told = f"plan {plan_id} was approved already, at {event['at']} by broker"
    assert (again["status"], again["error"]) == ("failed", told)
    assert broker.take() == approval
    assert broker.next() is None
    broker.result(approval, "applied")
    assert broker.job(broker.create("approve_echo", plan_id))["error"] == told
    assert [e for e in head.events() if e["type"] == "plan.approved" and e["data"]["planId"] == plan_id] == [event]
    with sqlite3.connect(module_spine.data_dir / "spine.db") as store:
        kept = store.execute("SELECT digest, approved_by, approval FROM plans WHERE id = ?", (plan_id,)).fetchall()
    store.close()
    assert kept == [(digest, "broker", approval)]


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_plan_whose_approval_failed_may_be_approved_anew(broker: Broker, head: Api, end: str) -> None:
    plan_id = {"fail": "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a03", "cancel": "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a04"}[end]
    planned(broker, plan_id)
    first = broker.create("approve_echo", plan_id)
    if end == "fail":
        assert broker.take() == first
        broker.fail(first, "no disk")
    else:
        assert head.post(f"/jobs/{first}/cancel").status == 200
    second = broker.create("approve_echo", plan_id)
    assert broker.job(second)["status"] == "queued"
    assert broker.take() == second
    broker.result(second)
    assert "was approved already" in broker.job(broker.create("approve_echo", plan_id))["error"]


def test_two_approvals_at_once(broker: Broker) -> None:
    """One of them wins."""
    plan_id = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a05"
    planned(broker, plan_id)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: broker.create("approve_echo", plan_id), range(8)))
    assert sorted(broker.job(job_id)["status"] for job_id in ids) == ["failed"] * 7 + ["queued"]


def test_a_plan_that_says_it_is_another_s_is_not_taken_for_it(broker: Broker, head: Api) -> None:
    """The first plan of an id stays, and only a plan job makes one."""
    plan_id = "5b0c1cde-7a51-4b5e-9b39-6f0d3c1f0a06"
    ping = broker.create("ping", plan_id)
    broker.take()
    broker.result(ping, json.dumps({"type": "plan", "plan_id": plan_id}))
    text = planned(broker, plan_id)
    forged = broker.create("plan_echo", "evil")
    broker.take()
    broker.result(forged, json.dumps({"type": "plan", "plan_id": plan_id, "summary": "something else"}))
    approval = head.job(broker.create("approve_echo", plan_id))
    assert approval["spec"]["plan"]["digest"] == hashlib.sha256(text.encode()).hexdigest()
