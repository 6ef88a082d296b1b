"""What a claw must be able to do, and what only travels with a job: labels, lineage, traces, names of notices."""

import msgspec
import pytest
from tests.suites.harness import LEFT, RIGHT, Store

from contract.errors import NotClaimable
from spine.queue import view


def test_priority_goes_before_age_within_its_bounds(store: Store) -> None:
    ids = {p: store.submit(priority=p).id for p in (0, -100, 100, 1, -1)}
    assert [store.take()[0].id for _ in ids] == [ids[p] for p in (100, 1, 0, -1, -100)]


@pytest.mark.parametrize("priority", [101, -101, 1.5, "high"])
def test_a_priority_out_of_bounds(store: Store, priority: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        store.submit(priority=priority)


@pytest.mark.parametrize("can", [(), ("git",), ("os:darwin",), ("GIT", "os:darwin"), ("git", "os:linux")])
def test_a_claw_without_all_of_them_gets_nothing(store: Store, can: tuple[str, ...]) -> None:
    job = store.submit(requires=["git", "os:darwin"])
    assert store.take(capabilities=can) == []
    with pytest.raises(NotClaimable) as refused:
        store.claim(job.id, capabilities=frozenset(can))
    assert [reason["code"] for reason in refused.value.members["reasons"]] == ["requires"]
    assert [row.id for row in store.take(capabilities=("git", "gpu", "os:darwin"))] == [job.id]


def test_a_claim_by_id_that_names_no_capabilities_has_none(store: Store) -> None:
    job = store.submit(requires=["git"])
    with pytest.raises(NotClaimable, match="git"):
        store.claim(job.id)
    assert store.claim(job.id, capabilities=frozenset({"git"})).status == "running"


def test_requirements_are_a_set(store: Store) -> None:
    assert store.submit(requires=["git", "b", "git", "a"]).requires == '["a","b","git"]'
    assert store.submit(requires=["a", "git", "b"]).lane == store.submit(requires=["b", "a", "git"]).lane


def test_requirements_hold_on_every_target(store: Store) -> None:
    both = store.submit(target="any", requires=["gpu"])
    assert store.take(RIGHT) == []
    assert [row.id for row in store.take(RIGHT, capabilities=("gpu",))] == [both.id]


def test_what_only_travels_with_a_job_is_answered_as_it_came(store: Store) -> None:
    parent = store.submit()
    job = store.submit(
        label="nightly build é",
        parentId=parent.id,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        notify=["ops", "on-call"],
    )
    record = msgspec.json.decode(store.read(lambda tx: view.job(tx, job)))
    assert {name: record[name] for name in ("label", "parentId", "traceparent", "notify")} == {
        "label": "nightly build é",
        "parentId": parent.id,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "notify": ["ops", "on-call"],
    }


def test_every_field_is_there_in_the_plainest_answer(store: Store) -> None:
    job = store.submit()
    record = msgspec.json.decode(store.read(lambda tx: view.job(tx, job)))
    later: dict[str, object] = {
        "priority": 0,
        "notBefore": None,
        "timeoutSeconds": None,
        "requires": [],
        "concurrencyKey": None,
        "concurrencyLimit": None,
        "after": [],
        "retry": None,
        "dedupeKey": None,
        "needsApproval": False,
        "approval": None,
        "needsReview": False,
        "review": None,
        "label": None,
        "parentId": None,
        "traceparent": None,
        "notify": [],
        "fence": 0,
        "round": 1,
        "workerId": None,
        "machine": None,
        "startedAt": None,
        "finishedAt": None,
        "version": 1,
    }
    assert {name: record[name] for name in later} == later


def test_who_held_it_stays_readable(store: Store) -> None:
    job = store.submit()
    store.claim(job.id, LEFT)
    done = store.complete(job.id, 1)
    assert (done.claimed_by, done.worker_id, done.machine) == ("left-claw", "l1", "left-claw")
