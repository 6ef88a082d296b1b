"""The native contract, leases that end: the reaper, a direct claim of an expired job, the last attempt."""

from collections.abc import Iterator

import pytest
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.server import Server, StartSpine, claw_tokens
from tests.support.spine_process import SpineProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose leases last a second."""
    env: dict[str, str | None] = {
        "LEASE_SECONDS": "1",
        "REAPER_INTERVAL_MS": "60",
        "DEFAULT_MAX_ATTEMPTS": "3",
        "CLAW_TOKENS": claw_tokens(400),
    }
    process = SpineProcess(tmp_path_factory.mktemp("spine"), env).start()
    yield Server(process)
    assert process.stop() == 0
    assert process.faults() == []


@pytest.fixture
def longer(start_spine: StartSpine) -> Server:
    """A server whose leases last as long as a slow machine may stand still."""
    return start_spine(LEASE_SECONDS="5", REAPER_INTERVAL_MS="60")


def status(head: Api, job_id: str, wanted: str) -> bool:
    return bool(head.job(job_id)["status"] == wanted)


def test_the_reaper_puts_an_expired_job_back(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    assert job["maxAttempts"] == 3
    claimed = claw.claim(job["id"])
    eventually(lambda: status(head, job["id"], "queued"))
    back = head.job(job["id"])
    assert (back["claimedBy"], back["leaseUntil"], back["attempts"]) == (None, None, 1)
    assert back["updatedAt"] >= claimed["leaseUntil"]
    types = [event["type"] for event in head.events(job["id"])]
    assert types == ["job.created", "job.claimed", "job.expired"]


def test_an_expired_job_at_its_last_attempt_is_dead(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name, maxAttempts=1)
    claw.claim(job["id"])
    eventually(lambda: status(head, job["id"], "dead"))
    dead = head.job(job["id"])
    assert (dead["leaseUntil"], dead["attempts"]) == (None, 1)
    event = head.events(job["id"])[-1]
    assert (event["type"], event["data"]["attempts"]) == ("job.dead", 1)


def test_an_expired_job_is_claimed_anew(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name)
    first = claw.claim(job["id"])

    def again() -> bool:
        answer = claw.post(f"/jobs/{job['id']}/claim")
        if answer.status == 409:
            assert answer.error == "already_claimed"
            assert answer.json["leaseUntil"] == first["leaseUntil"]
            return False
        assert answer.status == 200
        assert answer.json["updatedAt"] >= first["leaseUntil"]
        assert (answer.json["attempts"], answer.json["fence"]) == (2, 2)
        return True

    eventually(again)


def test_a_heartbeat_keeps_a_job_beyond_its_first_lease(longer: Server) -> None:
    head, claw = longer.head, longer.claw("c1")
    job = head.submit(target="c1")
    first = claw.claim(job["id"])

    def past() -> bool:
        beat = claw.post(f"/jobs/{job['id']}/heartbeat")
        assert beat.status == 200
        return bool(beat.json["updatedAt"] > first["leaseUntil"])

    eventually(past, every=0.2)
    held = head.job(job["id"])
    assert (held["status"], held["attempts"], held["fence"]) == ("running", 1, 1)


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release"])
def test_after_expiry_a_v0_holder_is_refused(head: Api, claw: Api, name: str, verb: str) -> None:
    job = head.submit(target=name)
    claw.claim(job["id"])
    eventually(lambda: status(head, job["id"], "queued"))
    before = head.job(job["id"])
    answer = claw.post(f"/jobs/{job['id']}/{verb}")
    assert (answer.status, answer.error, answer.json["status"]) == (409, "not_running", "queued")
    assert head.job(job["id"]) == before


def test_attempts_run_out_by_expiry_alone(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name, maxAttempts=2)
    for _ in range(2):
        eventually(lambda: status(head, job["id"], "queued"))
        claw.claim(job["id"])
    eventually(lambda: status(head, job["id"], "dead"))
    assert [a["outcome"] for a in head.attempts(job["id"])] == ["expired", "expired"]
    answer = claw.post(f"/jobs/{job['id']}/claim")
    assert (answer.status, answer.error, answer.json["status"]) == (409, "terminal_status", "dead")


# --- the same by fence ---------------------------------------------------------------------------------------------


def expired(head: Api, claw: Api, name: str) -> tuple[str, int]:
    """Return a job that expiry has put back, and the fence it ran under."""
    job = head.submit(target=name)
    fence: int = claw.claim(job["id"])["fence"]
    eventually(lambda: status(head, job["id"], "queued"))
    return job["id"], fence


def test_the_newest_fence_completes_a_job_that_nobody_has_claimed_since(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    answer = claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": "late but in time"}})
    assert answer.status == 200
    job = answer.json
    assert (job["status"], job["result"], job["claimedBy"]) == ("done", {"notes": "late but in time"}, name)
    assert (job["attempts"], job["fence"], job["leaseUntil"]) == (1, 1, None)
    assert [a["outcome"] for a in head.attempts(job_id)] == ["done"]
    again = claw.post(f"/jobs/{job_id}/complete", {"fence": fence, "result": {"notes": "late but in time"}})
    assert (again.status, again.json) == (200, job)


def test_the_newest_fence_fails_for_good_a_job_that_nobody_has_claimed_since(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    body = {"fence": fence, "error": "hopeless", "requeue": False}
    answer = claw.post(f"/jobs/{job_id}/fail", body)
    assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "failed", "hopeless")
    assert claw.post(f"/jobs/{job_id}/fail", body).json == answer.json


def test_the_newest_fence_fails_with_requeue_after_expiry(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    answer = claw.post(f"/jobs/{job_id}/fail", {"fence": fence, "error": "again"})
    assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "queued", "again")
    assert [a["outcome"] for a in head.attempts(job_id)] == ["failed"]
    assert claw.claim(job_id)["attempts"] == 2


def test_the_newest_fence_appends_to_the_log_after_expiry(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    answer = claw.call("POST", f"/jobs/{job_id}/log?offset=0", b"last words", {"X-Spine-Fence": str(fence)})
    assert (answer.status, answer.json) == (200, {"fence": 1, "size": 10})


def test_the_newest_fence_releases_after_expiry(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    answer = claw.post(f"/jobs/{job_id}/release", {"fence": fence})
    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (200, "queued", 1)


def test_a_heartbeat_does_not_bring_an_expired_job_back(head: Api, claw: Api, name: str) -> None:
    job_id, fence = expired(head, claw, name)
    before = head.job(job_id)
    answer = claw.post(f"/jobs/{job_id}/heartbeat", {"fence": fence})
    assert (answer.status, answer.error, answer.json["status"]) == (409, "not_running", "queued")
    assert head.job(job_id) == before


# --- the accept lease ----------------------------------------------------------------------------------------------


def test_a_waiting_claim_that_nobody_confirms_gives_its_attempt_back_three_times(
    head: Api, claw: Api, name: str
) -> None:
    job_id = head.submit(target=name, maxAttempts=2)["id"]
    counted = []
    for _ in range(5):
        (job,) = claw.claim_next(wait=10)
        assert job["id"] == job_id
        counted.append(job["attempts"])
        eventually(lambda: not status(head, job_id, "running"))
        if status(head, job_id, "dead"):
            break
    assert counted == [1, 1, 1, 1, 2]
    assert [a["outcome"] for a in head.attempts(job_id)] == ["unaccepted"] * 3 + ["expired"] * 2
    assert status(head, job_id, "dead")


def test_the_claim_by_id_counts_at_once(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    claw.claim(job_id)
    eventually(lambda: status(head, job_id, "queued"))
    assert head.job(job_id)["attempts"] == 1
    assert [a["outcome"] for a in head.attempts(job_id)] == ["expired"]


@pytest.mark.parametrize("word", ["heartbeat", "log"])
def test_a_word_of_the_holder_makes_the_attempt_count(longer: Server, word: str) -> None:
    head, claw = longer.head, longer.claw("c1")
    head.submit(target="c1")
    (job,) = claw.claim_next()
    if word == "heartbeat":
        assert claw.post(f"/jobs/{job['id']}/heartbeat", {"fence": job["fence"]}).status == 200
    else:
        answer = claw.call("POST", f"/jobs/{job['id']}/log", b"x", {"X-Spine-Fence": str(job["fence"])})
        assert answer.status == 200
    eventually(lambda: status(head, job["id"], "queued"))
    assert head.job(job["id"])["attempts"] == 1
    assert [a["outcome"] for a in head.attempts(job["id"])] == ["expired"]
