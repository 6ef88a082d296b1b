"""Task groups: one word when all have ended, one when they are overdue, each once; and what is told of it."""

from typing import Any

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, Store

from contract import wire
from contract.errors import InvalidField, NotFound
from spine.queue import claim, groups, settle
from spine.store.engine import Tx


def make(store: Store, **fields: Any) -> wire.Group:
    """Make a group."""
    request = msgspec.json.decode(msgspec.json.encode({"name": "g", **fields}), type=wire.NewGroup)
    return store.write(lambda tx: groups.record(tx, groups.create(tx, store.rules, HEAD, request)))


def look(store: Store, group_id: str) -> wire.Group:
    """Return a group as it stands."""
    return store.read(lambda tx: groups.record(tx, groups.find(tx, group_id)))


def turn(store: Store) -> list[str | None]:
    """Make one turn of the watcher; return what was told."""
    return [store.write(lambda tx, g=group_id: groups.tell(tx, g)) for group_id in store.read(groups.due)]


def told(store: Store) -> list[tuple[str, str]]:
    """Return the notices that were written, as alias and title."""
    found = []
    for row in store.dump()["notices"]:
        said = next(json for text in row if isinstance(text, str) and (json := _said(text)))
        found.append((next(v for v in row if v in ("team", "ops")), said["title"]))
    return found


def _said(text: str) -> Any:
    return msgspec.json.decode(text) if text.startswith('{"type"') else None


@pytest.fixture(autouse=True)
def _aliases(store: Store) -> None:
    store.rules.aliases.faults = {"team": None, "ops": None, "broken": "its URL is missing"}


def test_it_is_done_when_the_last_one_has_ended_and_says_so_once(store: Store) -> None:
    first, second = store.submit(label="one"), store.submit()
    group = make(store, jobIds=[first.id, second.id], notify=["@team", "ops"], deadlineSeconds=60)
    assert (group.state, group.counts, group.overdue_at) == ("open", {"queued": 2}, "2023-11-14T22:14:20.000Z")
    assert turn(store) == []
    store.claim(first.id)
    store.fail(first.id, 1, error="broke", requeue=False)
    assert turn(store) == []
    store.claim(second.id)
    store.complete(second.id, 1)
    assert turn(store) == ["done"]
    assert turn(store) == []
    found = look(store, group.id)
    assert (found.state, found.counts, found.open_jobs) == ("done", {"done": 1, "failed": 1}, [])
    assert found.summary == f"2 of 2 jobs have ended: 1 done, 1 failed.\nfailed: {first.id} (one)"
    assert sorted(told(store)) == [("ops", "group g: all jobs have ended"), ("team", "group g: all jobs have ended")]
    store.clock.advance(100)
    store.retry(first.id)
    assert turn(store) == []  # a word that was said is not taken back, and not said again


def test_it_is_overdue_once_and_is_watched_on(store: Store) -> None:
    job = store.submit()
    group = make(store, jobIds=[job.id], notify=["team"], overdueAt="2023-11-14T22:13:30Z")
    store.claim(job.id)
    store.clock.advance(9.999)
    assert turn(store) == []
    store.clock.advance(0.001)
    assert turn(store) == ["overdue"]
    assert turn(store) == []
    found = look(store, group.id)
    assert (found.state, found.warned_at) == ("overdue", "2023-11-14T22:13:30.000Z")
    assert found.summary == f"0 of 1 jobs have ended: 1 running.\nopen: {job.id} is running, held by left-claw"
    store.complete(job.id, 1)
    assert turn(store) == ["done"]
    assert look(store, group.id).state == "done"
    assert told(store) == [
        ("team", "group g: overdue since 2023-11-14T22:13:30.000Z"),
        ("team", "group g: all jobs have ended"),
    ]


def test_what_is_told_and_that_it_was_told_are_one(store: Store) -> None:
    make(store, jobIds=[store.submit().id], notify=["team"], deadlineSeconds=1)
    store.clock.advance(1)
    (group_id,) = store.read(groups.due)
    before = store.dump()

    def broken(tx: Any) -> None:
        groups.tell(tx, group_id)
        raise InvalidField("the power went", "x")

    with pytest.raises(InvalidField):
        store.write(broken)
    assert store.dump() == before
    assert turn(store) == ["overdue"]


def test_a_group_by_label_knows_those_that_are_open_and_those_to_come(store: Store) -> None:
    old = store.submit(label="nightly")
    store.cancel(old.id)
    store.clock.advance(1)
    group = make(store, label="nightly", deadlineSeconds=60)
    assert turn(store) == []  # no job yet: that is not done
    assert group.counts == {}
    job = store.submit(label="nightly")
    store.submit(label="another")
    assert look(store, group.id).counts == {"queued": 1}
    store.cancel(job.id)
    assert turn(store) == ["done"]


def test_a_group_by_parent(store: Store) -> None:
    parent = store.submit()
    group = make(store, parentId=parent.id)
    child = store.submit(parentId=parent.id)
    assert look(store, group.id).counts == {"queued": 1}
    store.cancel(child.id)
    assert turn(store) == ["done"]


def test_nobody_came(store: Store) -> None:
    group = make(store, label="nightly", deadlineSeconds=1)
    store.clock.advance(1)
    assert turn(store) == ["overdue"]
    assert look(store, group.id).summary == "No job is in it."


def test_a_closed_one_says_nothing(store: Store) -> None:
    group = make(store, jobIds=[store.submit().id], deadlineSeconds=1, notify=["team"])
    store.write(lambda tx: groups.close(tx, HEAD, group.id))
    store.write(lambda tx: groups.close(tx, HEAD, group.id))
    store.clock.advance(10)
    assert turn(store) == []
    assert (look(store, group.id).state, told(store)) == ("closed", [])
    with pytest.raises(NotFound):
        look(store, "grp_nosuch")


def test_many_open_jobs_are_counted_and_some_are_named(store: Store) -> None:
    group = make(store, jobIds=[store.submit().id for _ in range(25)], deadlineSeconds=1)
    store.clock.advance(1)
    turn(store)
    lines = (look(store, group.id).summary or "").splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("0 of 25 jobs have ended: 25 queued.", 22, "and 5 more")


def test_what_ended_badly_is_named_though_a_thousand_ended_well_before(store: Store) -> None:
    group = make(store, label="nightly")
    made = store.submit_all(*[{"label": "nightly"}] * 1000)
    last = store.submit(label="nightly", maxAttempts=1)

    def work(tx: Tx) -> None:
        for job, _new in made:
            claim.claim_one(tx, store.rules, LEFT, job.id, None)
            settle.complete(tx, LEFT, job.id, 1, None)

    store.write(work)
    assert turn(store) == []
    store.claim(last.id)
    store.fail(last.id, 1, error="broke")
    assert turn(store) == ["done"]
    summary = look(store, group.id).summary
    assert summary == f"1001 of 1001 jobs have ended: 1 dead, 1000 done.\ndead: {last.id} (nightly)"


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "jobIds"),
    ({"label": "a", "parentId": "b"}, "jobIds"),
    ({"jobIds": ["nosuch"]}, "jobIds[0]"),
    ({"label": "a", "notify": ["team", "nobody"]}, "notify[1]"),
    ({"label": "a", "notify": ["broken"]}, "notify[0]"),
    ({"label": "a", "overdueAt": "soon"}, "overdueAt"),
    ({"label": "a", "overdueAt": "2031-01-01T00:00:00Z", "deadlineSeconds": 1}, "deadlineSeconds"),
]


@pytest.mark.parametrize(("fields", "field"), BAD)
def test_what_cannot_be_watched_is_refused_and_changes_nothing(
    store: Store, fields: dict[str, Any], field: str
) -> None:
    before = store.dump()
    with pytest.raises(InvalidField) as refused:
        make(store, **fields)
    assert refused.value.members["field"] == field
    assert store.dump() == before


def test_pages(store: Store) -> None:
    made = [make(store, label=str(n)).id for n in range(3)]
    page = store.read(lambda tx: groups.page(tx, None, 2))
    assert [group.id for group in page.groups] == [made[2], made[1]]
    rest = store.read(lambda tx: groups.page(tx, page.next_cursor, 2))
    assert ([group.id for group in rest.groups], rest.next_cursor) == ([made[0]], None)
