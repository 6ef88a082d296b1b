"""Comments, and how a holder hears of them."""

import msgspec
import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, Store

from contract import wire
from contract.errors import Forbidden, NotFound
from spine.queue import settle, view
from spine.store.engine import Tx


def beat(store: Store, job_id: str, fence: int) -> wire.Job:
    """Send a heartbeat, return the answer as it goes over the wire."""

    def verb(tx: Tx) -> bytes:
        row, seen = settle.heartbeat(tx, store.rules, LEFT, job_id, fence, None)
        return view.job(tx, row, new_since=seen)

    return msgspec.json.decode(store.write(verb), type=wire.Job)


def new_texts(answer: wire.Job) -> list[str]:
    assert not isinstance(answer.new_comments, msgspec.UnsetType)
    return [comment.text for comment in answer.new_comments]


def test_a_comment(store: Store) -> None:
    job = store.submit()
    store.clock.advance(3)
    after = store.comment(job.id, "look here", LEFT)
    assert after == store.job(job.id)
    assert (after.comments, after.version, after.updated_at, after.status) == (1, 2, store.clock.now(), "queued")
    store.comment(job.id, "I did", HEAD)
    shown = msgspec.json.decode(store.read(lambda tx: view.job(tx, store.job(job.id))), type=wire.Job)
    assert [(c.t, c.by, c.text) for c in shown.comments] == [
        ("2023-11-14T22:13:23.000Z", "left-claw", "look here"),
        ("2023-11-14T22:13:23.000Z", "head", "I did"),
    ]
    assert isinstance(shown.new_comments, msgspec.UnsetType)
    event = store.events(job.id)[1]
    assert (event.type, event.author, event.data) == ("job.comment", "left-claw", '{"text":"look here"}')


def test_each_heartbeat_tells_what_is_new_once(store: Store) -> None:
    job, other = store.submit(), store.submit()
    store.comment(job.id, "before the claim")
    store.claim(job.id)
    assert new_texts(beat(store, job.id, 1)) == ["before the claim"]
    assert new_texts(beat(store, job.id, 1)) == []
    store.comment(other.id, "elsewhere")
    store.comment(job.id, "one")
    store.comment(job.id, "two")
    answer = beat(store, job.id, 1)
    assert new_texts(answer) == ["one", "two"]
    assert [c.text for c in answer.comments] == ["before the claim", "one", "two"]
    assert new_texts(beat(store, job.id, 1)) == []


def test_a_new_holder_hears_all(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    store.comment(job.id, "one")
    beat(store, job.id, 1)
    store.release(job.id, 1)
    store.claim(job.id)
    assert new_texts(beat(store, job.id, 2)) == ["one"]


def test_a_comment_undoes_nothing(store: Store) -> None:
    job = store.submit()
    store.claim(job.id)
    completed = store.engine.write(lambda tx: settle.complete(tx, LEFT, job.id, 1, '"r"'))
    store.comment(job.id, "well done")
    assert completed.done()
    done = store.job(job.id)
    assert (done.status, done.result, done.comments) == ("done", '"r"', 1)


@pytest.mark.parametrize("status", ["queued", "running", "done"])
def test_a_job_in_any_status_takes_comments(store: Store, status: str) -> None:
    job = store.submit()
    if status != "queued":
        store.claim(job.id)
    if status == "done":
        store.complete(job.id, 1)
    assert store.comment(job.id, "hm").status == status


def test_refused(store: Store) -> None:
    job = store.submit()
    before = store.dump()
    with pytest.raises(Forbidden):
        store.comment(job.id, "x", RIGHT)
    with pytest.raises(NotFound):
        store.comment("ghost", "x")
    assert store.dump() == before
