"""Submitting: what a job is at birth."""

from typing import Any

import pytest
from tests.suites.harness import ACCEPT_SECONDS, HEAD, Store
from tests.suites.manual_clock import START_MS

from contract.errors import InvalidField


def test_defaults(store: Store) -> None:
    born = store.submit()
    job = store.job(born.id)
    assert job == born
    assert len(job.id) == 20
    assert job.id.isalnum()
    assert (job.target, job.status, job.created_by) == ("left-claw", "queued", "head")
    assert (job.created_at, job.updated_at) == (START_MS, START_MS)
    assert (job.attempts, job.max_attempts, job.fence, job.round, job.version) == (0, 5, 0, 1, 1)
    assert (job.spec, job.meta, job.requires, job.priority) == ('""', "{}", "[]", 0)
    assert (job.claimed_by, job.worker_id, job.machine, job.lease_until) == (None, None, None, None)
    assert (job.result, job.error, job.progress, job.release_reason) == (None, None, None, None)
    assert (job.started_at, job.finished_at, job.comments) == (None, None, 0)


def test_everything_given(store: Store) -> None:
    job = store.submit(
        target="any",
        spec={"run": ["make", "test"]},
        meta={"a": [1, None]},
        maxAttempts=2,
        priority=-3,
        timeoutSeconds=60,
        requires=["git", "shell", "git"],
        label="nightly",
        parentId="p1",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )
    assert (
        store.job(job.id)._asdict()
        | {
            "target": "any",
            "spec": '{"run":["make","test"]}',
            "meta": '{"a":[1,null]}',
            "max_attempts": 2,
            "priority": -3,
            "timeout_seconds": 60,
            "requires": '["git","shell"]',
            "label": "nightly",
            "parent_id": "p1",
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        }
        == store.job(job.id)._asdict()
    )


def test_the_event_and_the_signal(store: Store) -> None:
    job = store.submit()
    (event,) = store.events(job.id)
    assert (event.type, event.author, event.target, event.data) == (
        "job.created",
        "head",
        "left-claw",
        '{"target":"left-claw"}',
    )
    assert store.signals.lanes == {job.lane: 1}
    assert store.signals.events is True


def test_jobs_of_one_kind_share_a_lane(store: Store) -> None:
    first, second = store.submit(requires=["b", "a"]), store.submit(requires=["a", "b", "a"])
    other, elsewhere = store.submit(requires=["a"]), store.submit(requires=["a"], target="any")
    assert first.lane == second.lane
    assert len({first.lane, other.lane, elsewhere.lane}) == 3


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"target": "nobody"}, "target"), ({"meta": [1]}, "meta"), ({"meta": "x"}, "meta")],
)
def test_refused(store: Store, fields: dict[str, Any], field: str) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        store.submit(**fields)
    assert refused.value.members["field"] == field
    assert store.dump() == before


def test_a_submit_that_is_rolled_back_leaves_no_lane_behind_in_the_cache(store: Store) -> None:
    def broken(tx: object) -> None:
        store.rules.lanes.take(tx, "any", '["new"]')  # type: ignore[arg-type]
        raise InvalidField("no", "x")

    with pytest.raises(InvalidField):
        store.write(broken)
    assert store.dump()["lanes"] == []
    job = store.submit(target="any", requires=["new"])
    assert [row[1:] for row in store.dump()["lanes"]] == [("any", '["new"]')]
    assert [j.id for j in store.take(capabilities=("new",))] == [job.id]
    assert store.job(job.id).lease_until == START_MS + ACCEPT_SECONDS * 1000
    assert store.job(job.id).created_by == HEAD.name
