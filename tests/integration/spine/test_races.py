"""Calls that meet at the server at the same moment: one wins, the other is told, and the history is one path."""

import itertools
import os
import random
import threading
from collections.abc import Callable
from functools import partial

import pytest
from tests.support.raw_http import Answer, Api
from tests.support.server import Server

Call = Callable[[], Answer]
# More rounds in a soak, as many as there are claws with names of their own for; no two meet in just the same way.
SOAK = os.environ.get("SOAK") == "1"
ROUNDS = range(25 if SOAK else 3)
pytestmark = [pytest.mark.soak] if SOAK else []
rounds = pytest.mark.parametrize("round_", ROUNDS)


def at_once(*calls: Call) -> list[Answer]:
    """Make calls from a thread each, at the same moment; return the answers in the order of the calls."""
    gate = threading.Barrier(len(calls))
    answers: dict[int, Answer] = {}

    def one(n: int, call: Call) -> None:
        gate.wait()
        answers[n] = call()

    threads = [threading.Thread(target=one, args=(n, call)) for n, call in enumerate(calls)]
    random.shuffle(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[n] for n in range(len(calls))]


def said(answer: Answer) -> str:
    return "ok" if answer.status in (200, 201) else answer.error


def types(head: Api, job_id: str) -> list[str]:
    return [event["type"] for event in head.events(job_id)]


@rounds
def test_complete_against_cancel(head: Api, claw: Api, name: str, round_: int) -> None:
    for _ in range(10):
        job_id = claw.claim(head.submit(target=name)["id"])["id"]
        complete, cancel = at_once(
            partial(claw.post, f"/jobs/{job_id}/complete", {"fence": 1, "result": 1}),
            partial(head.post, f"/jobs/{job_id}/cancel"),
        )
        job = head.job(job_id)
        if job["status"] == "done":
            assert (said(complete), said(cancel)) == ("ok", "terminal_status")
            assert types(head, job_id)[2:] == ["job.completed"]
            assert job["result"] == 1
        else:
            assert (said(complete), said(cancel)) == ("not_running", "ok")
            assert complete.json["lateResult"] == "kept"
            assert types(head, job_id)[2:] == ["job.cancelled", "job.late_result"]
            assert (job["status"], job["result"]) == ("cancelled", None)
            assert head.attempts(job_id)[0]["lateResult"] == 1


@rounds
def test_fail_against_complete(head: Api, claw: Api, name: str, round_: int) -> None:
    for requeue in (True, False) * 5:
        job_id = claw.claim(head.submit(target=name)["id"])["id"]
        complete, fail = at_once(
            partial(claw.post, f"/jobs/{job_id}/complete", {"fence": 1}),
            partial(claw.post, f"/jobs/{job_id}/fail", {"fence": 1, "error": "x", "requeue": requeue}),
        )
        job = head.job(job_id)
        if job["status"] == "done":
            assert (said(complete), said(fail)) == ("ok", "not_running")
            assert types(head, job_id)[2:] == ["job.completed", "job.late_result"]
        else:
            assert (said(complete), said(fail)) == ("not_running", "ok")
            assert job["status"] == ("queued" if requeue else "failed")
            assert types(head, job_id)[2:] == ["job.failed", "job.late_result"]
        assert head.attempts(job_id)[0]["outcome"] == ("done" if job["status"] == "done" else "failed")


@rounds
def test_adopt_against_claim(head: Api, claw: Api, name: str, round_: int) -> None:
    for _ in range(10):
        job_id = claw.claim(head.submit(target=name)["id"])["id"]
        head.post(f"/jobs/{job_id}/release", {})
        assert said(claw.post(f"/jobs/{job_id}/complete", {"fence": 1, "result": "late"})) == "not_running"
        adopt, claim = at_once(
            partial(head.post, f"/jobs/{job_id}/adopt", {"fence": 1}),
            partial(claw.by("w2").post, f"/jobs/{job_id}/claim"),
        )
        assert said(adopt) == "ok"
        job = head.job(job_id)
        assert (job["status"], job["result"]) == ("done", "late")
        if said(claim) == "ok":
            assert job["fence"] == 3
            assert [a["outcome"] for a in head.attempts(job_id)] == ["released", "superseded"]
            assert said(claw.by("w2").post(f"/jobs/{job_id}/heartbeat", {"fence": 2})) == "stale_fence"
        else:
            assert (said(claim), job["fence"]) == ("terminal_status", 2)
            assert [a["outcome"] for a in head.attempts(job_id)] == ["released"]


@rounds
def test_approve_against_reject(head: Api, name: str, round_: int) -> None:
    for _ in range(10):
        job_id = head.submit(target=name, needsApproval=True)["id"]
        answers = at_once(
            partial(head.post, f"/jobs/{job_id}/approve"),
            partial(head.post, f"/jobs/{job_id}/reject"),
        )
        status = head.job(job_id)["status"]
        assert [said(answer) for answer in answers] == {
            "queued": ["ok", "not_awaiting"],
            "cancelled": ["not_awaiting", "ok"],
        }[status]


@rounds
def test_accept_against_rework(head: Api, claw: Api, name: str, round_: int) -> None:
    for _ in range(10):
        job_id = claw.claim(head.submit(target=name, needsReview=True)["id"])["id"]
        claw.post(f"/jobs/{job_id}/complete", {"fence": 1})
        answers = at_once(
            partial(head.post, f"/jobs/{job_id}/review", {"decision": "accept"}),
            partial(head.post, f"/jobs/{job_id}/review", {"decision": "rework"}),
        )
        status = head.job(job_id)["status"]
        assert [said(answer) for answer in answers] == {
            "done": ["ok", "not_awaiting"],
            "queued": ["not_awaiting", "ok"],
        }[status]


@rounds
@pytest.mark.parametrize("limit", [1, 3])
def test_claims_of_the_last_slot(head: Api, claw: Api, name: str, limit: int, round_: int) -> None:
    """As many as the limit run, whether the jobs are asked for by id or are next in line."""
    jobs = [head.submit(target=name, concurrencyKey=name, concurrencyLimit=limit)["id"] for _ in range(8)]
    by_id: list[Call] = [partial(claw.post, f"/jobs/{job_id}/claim") for job_id in jobs[:4]]
    answers = at_once(*by_id, *[partial(claw.by(f"w{n}").post, "/jobs/claim", {"max": 3}) for n in range(4)])
    running = [job_id for job_id in jobs if head.job(job_id)["status"] == "running"]
    assert len(running) == limit
    taken = [answer.json["id"] for answer in answers[:4] if answer.status == 200]
    taken += [job["id"] for answer in answers[4:] if answer.status == 200 for job in answer.json["jobs"]]
    assert sorted(taken) == sorted(running)
    assert {said(answer) for answer in answers[:4]} <= {"ok", "not_claimable", "already_claimed"}


@rounds
def test_twelve_submits_with_one_idempotency_key(head: Api, name: str, round_: int) -> None:
    answers = at_once(*[partial(head.post, "/jobs", {"target": name}, Idempotency_Key=name)] * 12)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


@rounds
def test_twelve_submits_with_one_dedupe_key(head: Api, name: str, round_: int) -> None:
    answers = at_once(
        *[partial(head.post, "/jobs", {"target": name, "dedupeKey": name})] * 6,
        *[partial(head.post, "/jobs", [{"target": name, "dedupeKey": name}] * 2)] * 6,
    )
    assert sorted(answer.status for answer in answers) == [200] * 11 + [201]
    ids = {answer.json["id"] for answer in answers[:6]} | {j["id"] for a in answers[6:] for j in a.json["jobs"]}
    assert len(ids) == 1
    assert len(head.get(f"/jobs?target={name}").json["jobs"]) == 1


@rounds
def test_a_retry_against_a_submit_with_its_dedupe_key(head: Api, name: str, round_: int) -> None:
    for n in range(10):
        first = head.submit(target=name, dedupeKey=f"{name}-{n}")["id"]
        head.post(f"/jobs/{first}/cancel")
        retry, submit = at_once(
            partial(head.post, f"/jobs/{first}/retry"),
            partial(head.post, "/jobs", {"target": name, "dedupeKey": f"{name}-{n}"}),
        )
        if said(retry) == "ok":
            assert (submit.status, submit.json["id"]) == (200, first)
        else:
            assert (said(retry), submit.status) == ("dedupe_conflict", 201)


_numbers = itertools.count()


@rounds
def test_a_join_code_used_by_many_at_once(server: Server, head: Api, round_: int) -> None:
    machine = f"racer-{next(_numbers)}"
    code = head.post("/machines/join-codes", {"name": machine}).json["code"]
    answers = at_once(*[partial(server.nobody.post, "/join", {"code": code})] * 6)
    first, *others = sorted(answer.status for answer in answers)
    assert (first, len(others)) == (201, 5)
    assert set(others) <= {404, 429}  # in a long run they come to look like guesses
    (token,) = [answer.json["token"] for answer in answers if answer.status == 201]
    assert Api(server.port, token).get("/jobs").status == 200


@rounds
def test_a_revoke_against_claims(server: Server, head: Api, round_: int) -> None:
    """Whatever the claims got, nothing runs under the revoked token afterwards."""
    machine = f"doomed-{next(_numbers)}"
    code = head.post("/machines/join-codes", {"name": machine}).json["code"]
    api = Api(server.port, server.nobody.post("/join", {"code": code}).json["token"], "w1")
    jobs = [head.submit(target=machine)["id"] for _ in range(20)]
    assert len(api.claim_next()) == 1
    answers = at_once(
        partial(head.post, f"/machines/{machine}/revoke"),
        *[partial(api.post, "/jobs/claim", {"max": 2})] * 4,
        *[partial(api.post, f"/jobs/{job_id}/claim") for job_id in jobs[10:14]],
    )
    assert said(answers[0]) == "ok"
    assert {head.job(job_id)["status"] for job_id in jobs} == {"queued"}


@rounds
def test_the_last_two_that_a_job_waits_for_end_at_once(head: Api, claw: Api, name: str, round_: int) -> None:
    for _ in range(5):
        needs = [head.submit(target=name)["id"] for _ in range(2)]
        job_id = head.submit(target=name, after=needs)["id"]
        for need in needs:
            claw.claim(need)
        at_once(*[partial(claw.post, f"/jobs/{need}/complete", {"fence": 1}) for need in needs])
        assert types(head, job_id) == ["job.created", "job.ready"]
        assert [job["id"] for job in claw.claim_next()] == [job_id]
