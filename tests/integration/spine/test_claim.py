"""POST /jobs/claim: what it takes, in which order, what it needs, what it refuses."""

from typing import Any

import pytest
from tests.support.raw_http import Api
from tests.support.server import Server
from tests.support.times import ms


def test_a_claim_takes_the_oldest_job(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=name, spec=n)["id"] for n in range(3)]
    answer = claw.post("/jobs/claim", {})
    assert answer.status == 200
    (job,) = answer.json["jobs"]
    assert set(answer.json) == {"jobs"}
    assert (job["id"], job["status"], job["claimedBy"], job["attempts"]) == (ids[0], "running", name, 1)
    assert (job["fence"], job["workerId"], job["machine"], job["spec"]) == (1, "w1", name, 0)
    assert head.job(ids[0]) == job
    assert [claw.claim_next()[0]["id"] for _ in range(2)] == ids[1:]


@pytest.mark.parametrize("body", [None, {}])
def test_nothing_to_take_is_204(claw: Api, body: Any) -> None:
    answer = claw.post("/jobs/claim", body)
    assert (answer.status, answer.body) == (204, b"")


def test_a_worker_id_is_required(server: Server, head: Api, name: str) -> None:
    job = head.submit(target=name)
    answer = server.claw(name, None).post("/jobs/claim", {})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "X-Worker-Id")
    assert head.job(job["id"]) == job


@pytest.mark.parametrize("worker_id", ["", "x" * 129, "a\tb"])
def test_a_worker_id_of_wrong_form_is_refused(server: Server, head: Api, name: str, worker_id: str) -> None:
    job = head.submit(target=name)
    answer = server.claw(name, worker_id).post("/jobs/claim", {})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "X-Worker-Id")
    assert head.job(job["id"]) == job


def test_a_claim_takes_up_to_max(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=name)["id"] for _ in range(5)]
    assert [job["id"] for job in claw.claim_next(max=3)] == ids[:3]
    assert [job["id"] for job in claw.claim_next(max=100)] == ids[3:]
    assert claw.claim_next(max=100) == []


def test_a_higher_priority_comes_first_then_the_older(head: Api, claw: Api, name: str) -> None:
    order = [head.submit(target=name, priority=p)["id"] for p in (0, 5, -100, 5, 100, 0)]
    expected = [order[4], order[1], order[3], order[0], order[5], order[2]]
    assert [job["id"] for job in claw.claim_next(max=2)] == expected[:2]
    assert [claw.claim_next()[0]["id"] for _ in range(4)] == expected[2:]


def test_priority_holds_across_lanes(head: Api, claw: Api, name: str) -> None:
    a = head.submit(target=name, requires=["git"])["id"]
    b = head.submit(target=name, priority=1, requires=["gpu"])["id"]
    c = head.submit(target=name)["id"]
    d = head.submit(target=name, requires=["gpu", "git"])["id"]
    assert [job["id"] for job in claw.claim_next(max=10, capabilities=["git", "gpu"])] == [b, a, c, d]


def test_requirements_are_a_filter_that_always_applies(head: Api, claw: Api, name: str) -> None:
    needy = head.submit(target=name, requires=["os:darwin", "gpu"], priority=100)
    assert needy["requires"] == ["gpu", "os:darwin"]
    assert claw.claim_next() == []
    assert claw.claim_next(capabilities=["gpu"]) == []
    assert claw.claim_next(capabilities=["GPU", "os:darwin"]) == []
    answer = claw.post(f"/jobs/{needy['id']}/claim")
    assert (answer.status, answer.error) == (409, "not_claimable")
    assert answer.json["reasons"] == [
        {"code": "requires", "message": "it requires gpu, os:darwin", "jobs": []},
    ]
    answer = claw.post(f"/jobs/{needy['id']}/claim", {"capabilities": ["gpu"]})
    assert (answer.status, answer.error) == (409, "not_claimable")
    assert head.job(needy["id"]) == needy
    (job,) = claw.claim_next(capabilities=["x", "os:darwin", "gpu", "git"])
    assert job["id"] == needy["id"]


def test_a_claim_by_id_with_the_capabilities(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name, requires=["gpu"])
    assert claw.claim(job["id"], capabilities=["gpu"])["status"] == "running"


def test_repeated_requirements_are_one(head: Api, claw: Api, name: str) -> None:
    assert head.submit(target=name, requires=["b", "a", "b"])["requires"] == ["a", "b"]
    assert len(claw.claim_next(capabilities=["a", "b"])) == 1


def test_targets_narrow_a_claim(server: Server, head: Api, claw: Api, name: str) -> None:
    mine = head.submit(target=name)["id"]
    anyones = head.submit(target="any", requires=[f"only-{name}"])["id"]
    caps = [f"only-{name}"]
    assert claw.claim_next(targets=["any"], capabilities=caps)[0]["id"] == anyones
    assert claw.claim_next(targets=["any"], capabilities=caps) == []
    assert claw.claim_next(targets=[name, "any"], capabilities=caps)[0]["id"] == mine


def test_by_default_a_claw_takes_its_own_and_anyones(head: Api, claw: Api, name: str) -> None:
    ids = [head.submit(target=t, requires=[f"only-{name}"])["id"] for t in (name, "any")]
    assert [j["id"] for j in claw.claim_next(max=5, capabilities=[f"only-{name}"])] == ids


@pytest.mark.parametrize("target", ["right-claw", "head", "nobody"])
def test_a_claw_does_not_claim_for_another(head: Api, claw: Api, target: str) -> None:
    answer = claw.post("/jobs/claim", {"targets": [target]})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "targets")


def test_a_target_without_a_machine_is_refused(head: Api) -> None:
    answer = head.post("/jobs", {"target": "nobody"})
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "target")
    answer = head.post("/jobs", {"target": "head"})
    assert (answer.status, answer.json["field"]) == (422, "target")


def test_exhausted_jobs_are_buried_on_the_way(head: Api, claw: Api, name: str) -> None:
    spent = head.submit(target=name, maxAttempts=1, priority=9)["id"]
    claw.claim(spent)
    claw.post(f"/jobs/{spent}/release")
    fresh = head.submit(target=name)["id"]
    assert [job["id"] for job in claw.claim_next(max=5)] == [fresh]
    assert head.job(spent)["status"] == "dead"
    assert head.events(spent)[-1]["data"]["reason"] == "max_attempts"


def test_a_claim_that_only_buries_is_204(head: Api, claw: Api, name: str) -> None:
    spent = head.submit(target=name, maxAttempts=1)["id"]
    claw.claim(spent)
    claw.post(f"/jobs/{spent}/release")
    assert claw.claim_next() == []
    assert head.job(spent)["status"] == "dead"


def test_the_accept_lease_is_short_and_a_heartbeat_stretches_it(head: Api, claw: Api, name: str) -> None:
    head.submit(target=name)
    (job,) = claw.claim_next()
    assert ms(job["leaseUntil"]) - ms(job["updatedAt"]) == 15_000
    beat = claw.post(f"/jobs/{job['id']}/heartbeat", {"fence": job["fence"]}).json
    assert ms(beat["leaseUntil"]) - ms(beat["updatedAt"]) == 300_000


def test_a_log_stretches_the_accept_lease(head: Api, claw: Api, name: str) -> None:
    head.submit(target=name)
    (job,) = claw.claim_next()
    assert claw.call("POST", f"/jobs/{job['id']}/log", b"x", {"X-Spine-Fence": "1"}).status == 200
    now = head.job(job["id"])
    assert ms(now["leaseUntil"]) - ms(now["updatedAt"]) == 300_000


def test_a_lease_ends_with_the_attempts_deadline_and_its_grace(head: Api, claw: Api, name: str) -> None:
    job = head.submit(target=name, timeoutSeconds=10)
    claimed = claw.claim(job["id"])
    assert ms(claimed["leaseUntil"]) - ms(claimed["startedAt"]) == 40_000
    beat = claw.post(f"/jobs/{job['id']}/heartbeat").json
    assert beat["leaseUntil"] == claimed["leaseUntil"]


def test_new_comments_come_with_the_heartbeat_once(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    head.post(f"/jobs/{job_id}/comment", {"text": "before"})
    claw.claim(job_id)

    def beat() -> list[str]:
        return [c["text"] for c in claw.post(f"/jobs/{job_id}/heartbeat").json["newComments"]]

    assert beat() == ["before"]
    assert beat() == []
    head.post(f"/jobs/{job_id}/comment", {"text": "one"})
    head.post(f"/jobs/{job_id}/comment", {"text": "two"})
    assert beat() == ["one", "two"]
    assert beat() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max": 0}, "max"),
        ({"max": 101}, "max"),
        ({"max": 1.5}, "max"),
        ({"max": "1"}, "max"),
        ({"max": None}, "max"),
        ({"max": 10**30}, "max"),
        ({"wait": -1}, "wait"),
        ({"wait": 30.5}, "wait"),
        ({"wait": "5"}, "wait"),
        ({"wait": 10**30}, "wait"),
        ({"wait": True}, "wait"),
        ({"targets": []}, "targets"),
        ({"targets": "any"}, "targets"),
        ({"targets": [1]}, "targets[0]"),
        ({"targets": ["A B"]}, "targets[0]"),
        ({"capabilities": "git"}, "capabilities"),
        ({"capabilities": [""]}, "capabilities[0]"),
        ({"capabilities": ["a b"]}, "capabilities[0]"),
        ({"capabilities": ["x" * 65]}, "capabilities[0]"),
        ({"capabilities": ["c"] * 257}, "capabilities"),
        ({"capability": ["git"]}, "capability"),
        ({"foo": 1}, "foo"),
    ],
)
def test_a_claim_with_a_wrong_field_takes_nothing(head: Api, claw: Api, name: str, body: Any, field: str) -> None:
    job = head.submit(target=name)
    answer = claw.post("/jobs/claim", body)
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)
    assert head.job(job["id"]) == job
