"""The fence: when it is sent it decides before ownership and status; and what holds where none is sent."""

from typing import Any, NamedTuple

import pytest
from tests.support.raw_http import Answer, Api
from tests.support.server import Server


class Two(NamedTuple):
    """A job that was claimed twice: `old` was passed by `new`."""

    job_id: str
    old: int
    new: int


@pytest.fixture
def two(server: Server, head: Api, claw: Api, name: str) -> Two:
    """A job that worker w1 gave up and worker w2 holds."""
    job_id = head.submit(target=name)["id"]
    old = claw.claim(job_id)["fence"]
    assert claw.post(f"/jobs/{job_id}/release", {"fence": old}).status == 200
    new = claw.by("w2").claim(job_id)["fence"]
    return Two(job_id, old, new)


def say(api: Api, job_id: str, verb: str, fence: int | None, how: str = "body", **fields: Any) -> Answer:
    """Say a verb with its fence in the body or in the header."""
    if fence is None:
        return api.post(f"/jobs/{job_id}/{verb}", fields)
    if how == "body":
        return api.post(f"/jobs/{job_id}/{verb}", {**fields, "fence": fence})
    return api.post(f"/jobs/{job_id}/{verb}", fields, X_Spine_Fence=str(fence))


def log(api: Api, job_id: str, fence: int | None, data: bytes = b"x", offset: int | None = None) -> Answer:
    query = "" if offset is None else f"?offset={offset}"
    headers = {} if fence is None else {"X-Spine-Fence": str(fence)}
    return api.call("POST", f"/jobs/{job_id}/log{query}", data, headers)


def test_fences_only_grow(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    fences = []
    for _ in range(3):
        fences.append(claw.claim(job_id)["fence"])
        claw.post(f"/jobs/{job_id}/release")
    assert fences == [1, 2, 3]
    assert head.job(job_id)["fence"] == 3


@pytest.mark.parametrize("how", ["body", "header"])
@pytest.mark.parametrize("verb", ["heartbeat", "release"])
def test_a_stale_fence_changes_nothing(head: Api, claw: Api, two: Two, verb: str, how: str) -> None:
    before, attempts = head.job(two.job_id), head.attempts(two.job_id)
    # w2 is the owner by v0's rules; the fence decides before them. Released once, w1 may not release again either.
    for api in (claw.by("w2"), claw.by("w3"), head):
        answer = say(api, two.job_id, verb, two.old + 7, how)
        assert (answer.status, answer.error) == (409, "stale_fence")
        assert answer.json["fence"] == two.new
        assert "lateResult" not in answer.json
    assert head.job(two.job_id) == before
    assert head.attempts(two.job_id) == attempts


def test_a_stale_heartbeat_of_the_former_holder(head: Api, claw: Api, two: Two) -> None:
    before = head.job(two.job_id)
    answer = say(claw, two.job_id, "heartbeat", two.old, progress="I still work")
    assert (answer.status, answer.error, answer.json["retryable"]) == (409, "stale_fence", False)
    assert head.job(two.job_id) == before


def test_a_stale_log_is_refused(head: Api, claw: Api, two: Two) -> None:
    before, events = head.job(two.job_id), head.events(two.job_id)
    answer = log(claw, two.job_id, two.old)
    assert (answer.status, answer.error) == (409, "stale_fence")
    assert head.job(two.job_id) == before
    assert head.events(two.job_id) == events
    assert head.get(f"/jobs/{two.job_id}/log").body == b""


def test_a_release_by_the_newest_fence_after_expiry_or_release_is_accepted(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    first = say(claw, job_id, "release", fence, reason="r")
    again = say(claw, job_id, "release", fence, reason="r")
    assert (again.status, again.json) == (200, first.json)


def test_a_stale_complete_keeps_its_result_with_the_attempt(head: Api, claw: Api, two: Two) -> None:
    # An attempt that was released has said its last word; take one that was passed without a word: see expiry below.
    before = head.job(two.job_id)
    answer = say(claw, two.job_id, "complete", two.old, result={"notes": "done anyway"})
    assert (answer.status, answer.error, answer.json["lateResult"]) == (409, "stale_fence", "kept")
    assert head.job(two.job_id) == before
    old, new = head.attempts(two.job_id)
    assert (old["fence"], old["lateResult"]) == (two.old, {"notes": "done anyway"})
    assert old["lateAt"]
    assert "lateResult" not in new
    again = say(claw, two.job_id, "complete", two.old, result={"notes": "done anyway"})
    assert (again.status, again.json["lateResult"]) == (409, "kept")
    assert head.attempts(two.job_id) == [old, new]
    assert [e["type"] for e in head.events(two.job_id)].count("job.late_result") == 1


def test_a_stale_fail_keeps_its_error_with_the_attempt(head: Api, claw: Api, two: Two) -> None:
    before = head.job(two.job_id)
    answer = say(claw, two.job_id, "fail", two.old, error="broke")
    assert (answer.status, answer.error, answer.json["lateResult"]) == (409, "stale_fence", "kept")
    assert head.job(two.job_id) == before
    assert head.attempts(two.job_id)[0]["lateError"] == "broke"


def test_a_late_result_is_kept_when_the_job_has_long_been_done(head: Api, claw: Api, two: Two) -> None:
    assert say(claw.by("w2"), two.job_id, "complete", two.new, result="second").status == 200
    before = head.job(two.job_id)
    answer = say(claw, two.job_id, "complete", two.old, result="first")
    assert (answer.status, answer.error, answer.json["lateResult"]) == (409, "stale_fence", "kept")
    assert head.job(two.job_id) == before
    assert [a.get("lateResult") for a in head.attempts(two.job_id)] == ["first", None]


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_a_fence_that_was_never_given_keeps_nothing(head: Api, claw: Api, two: Two, verb: str) -> None:
    before, attempts = head.job(two.job_id), head.attempts(two.job_id)
    for fence in (0, two.new + 1, 2**53 - 1):
        answer = say(claw, two.job_id, verb, fence)
        assert (answer.status, answer.error) == (409, "stale_fence")
        assert "lateResult" not in answer.json
    assert head.job(two.job_id) == before
    assert head.attempts(two.job_id) == attempts


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail"])
def test_fence_zero_opens_no_job_that_was_never_claimed(head: Api, claw: Api, name: str, verb: str) -> None:
    job = head.submit(target=name)
    answer = say(claw, job["id"], verb, 0)
    assert (answer.status, answer.error, answer.json["status"]) == (409, "not_running", "queued")
    assert "lateResult" not in answer.json
    assert head.job(job["id"]) == job


@pytest.mark.parametrize("how", ["body", "header"])
@pytest.mark.parametrize(
    ("verb", "status"), [("heartbeat", "running"), ("complete", "done"), ("fail", "queued"), ("release", "queued")]
)
def test_the_newest_fence_is_enough_without_the_worker_id(
    server: Server, head: Api, name: str, verb: str, status: str, how: str
) -> None:
    job_id = head.submit(target=name)["id"]
    fence = server.claw(name, "w1").claim(job_id)["fence"]
    answer = say(server.claw(name, None), job_id, verb, fence, how)
    assert (answer.status, answer.json["status"]) == (200, status)


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("complete", {"result": {"a": 1}}, "done"),
        ("fail", {"error": "e", "requeue": False}, "failed"),
        ("fail", {"error": "e"}, "queued"),
        ("release", {"reason": "r"}, "queued"),
    ],
)
def test_a_repeat_with_the_fence_that_ended_it_is_200_for_ever(
    head: Api, claw: Api, name: str, verb: str, fields: dict[str, Any], status: str
) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    first = say(claw, job_id, verb, fence, **fields)
    assert (first.status, first.json["status"]) == (200, status)
    events = head.events(job_id)
    for _ in range(3):
        again = say(claw, job_id, verb, fence, **fields)
        assert (again.status, again.json) == (200, first.json)
    assert head.events(job_id) == events
    if status == "queued":  # another claim does not take the repeat away
        claw.by("w2").claim(job_id)
        before = head.job(job_id)
        assert say(claw, job_id, verb, fence, **fields).status == 200
        assert head.job(job_id) == before


def test_a_repeat_at_the_last_attempt_is_200(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name, maxAttempts=1)["id"]
    fence = claw.claim(job_id)["fence"]
    first = say(claw, job_id, "fail", fence, error="e")
    assert first.json["status"] == "dead"
    assert say(claw, job_id, "fail", fence, error="e").json == first.json


def test_another_verb_after_the_end_is_refused_and_its_result_kept(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    say(claw, job_id, "fail", fence, error="e", requeue=False)
    before = head.job(job_id)
    answer = say(claw, job_id, "complete", fence, result="after all")
    assert (answer.status, answer.error) == (409, "not_running")
    assert answer.json["lateResult"] == "kept"
    assert head.job(job_id) == before
    assert head.attempts(job_id)[0]["lateResult"] == "after all"


@pytest.mark.parametrize("status", ["queued", "done"])
def test_after_its_end_the_fence_beats_and_logs_no_more(head: Api, claw: Api, name: str, status: str) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    say(claw, job_id, "complete" if status == "done" else "release", fence)
    before = head.job(job_id)
    answer = say(claw, job_id, "heartbeat", fence)
    assert (answer.status, answer.error, answer.json["status"]) == (409, "not_running", status)
    assert head.job(job_id) == before


def test_without_a_fence_another_worker_of_the_role_is_not_the_owner(server: Server, head: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    server.claw(name, "w1").claim(job_id)
    before = head.job(job_id)
    for api in (server.claw(name, "w2"), server.claw(name, None)):
        for verb in ("heartbeat", "complete", "fail", "release"):
            answer = say(api, job_id, verb, None)
            assert (answer.status, answer.error, answer.json["claimedBy"]) == (403, "not_owner", name)
        answer = log(api, job_id, None)
        assert (answer.status, answer.error) == (403, "not_owner")
    assert head.job(job_id) == before
    assert say(server.claw(name, "w1"), job_id, "heartbeat", None).status == 200


def test_a_claim_without_a_worker_id_binds_the_role_only(server: Server, head: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    server.claw(name, None).claim(job_id)
    assert say(server.claw(name, "anyone"), job_id, "heartbeat", None).status == 200
    assert say(server.claw(name, None), job_id, "complete", None).status == 200


def test_a_release_may_give_the_attempt_back(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    answer = say(claw, job_id, "release", fence, countAttempt=False)
    assert (answer.status, answer.json["attempts"]) == (200, 0)
    again = claw.claim(job_id)
    assert (again["attempts"], again["fence"]) == (1, 2)


def test_body_and_header_that_agree_are_fine_and_those_that_differ_are_not(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    fence = claw.claim(job_id)["fence"]
    assert claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence}, X_Spine_Fence="1").status == 200
    answer = claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence}, X_Spine_Fence="2")
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "fence")


@pytest.mark.parametrize("value", ["-1", "1.0", "x", "", " ", "1e3", "٣", "1" + "0" * 30, "9007199254740992", "1, 1"])
@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release", "log"])
def test_a_fence_header_that_is_no_fence_is_refused(head: Api, claw: Api, name: str, verb: str, value: str) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    before = head.job(job_id)
    answer = claw.call("POST", f"/jobs/{job_id}/{verb}", b"", {"X-Spine-Fence": value.encode().decode("latin-1")})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "X-Spine-Fence")
    assert head.job(job_id) == before


@pytest.mark.parametrize("value", [-1, 1.5, "1", True, [], {}, 2**53, 10**30])
@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release"])
def test_a_fence_member_that_is_no_fence_is_refused(head: Api, claw: Api, name: str, verb: str, value: Any) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    before = head.job(job_id)
    answer = claw.post(f"/jobs/{job_id}/{verb}", {"fence": value})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "fence")
    assert head.job(job_id) == before


# --- attempts ------------------------------------------------------------------------------------------------------


def test_attempts_tell_how_each_claim_ended(server: Server, head: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    one, two = server.claw(name, "w1"), server.claw(name, None)
    assert head.attempts(job_id) == []
    one.claim(job_id)
    one.post(f"/jobs/{job_id}/fail", {"error": "first"})
    two.claim(job_id)
    two.post(f"/jobs/{job_id}/release", {"reason": "tired"})
    third = one.claim(job_id)
    found = head.attempts(job_id)
    assert found == one.attempts(job_id)
    assert [
        (a["fence"], a["round"], a["attempt"], a["outcome"], a["claimedBy"], a["workerId"], a["machine"], a["error"])
        for a in found
    ] == [
        (1, 1, 1, "failed", name, "w1", name, "first"),
        (2, 1, 2, "released", name, None, name, "tired"),
        (3, 1, 3, "running", name, "w1", name, None),
    ]
    assert [a["endedAt"] is None for a in found] == [False, False, True]
    assert found[2]["startedAt"] == third["startedAt"]


def test_attempts_take_no_query(head: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    answer = head.get(f"/jobs/{job_id}/attempts?limit=1")
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "limit")
