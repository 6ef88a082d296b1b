"""Idempotency keys: the first answer again, and nothing done twice."""

from collections.abc import Callable

import pytest
from tests.suites.harness import LEFT, LEFT2, Store

from contract.errors import Conflict, IdempotencyMismatch, StaleFence
from spine.queue import claim
from spine.queue.once import Answer, Key, key_of, once
from spine.store import idempotency
from spine.store.engine import Refusal, Tx

DAY = 24 * 3600


def key(name: str = "k", owner: str = "head", path: str = "/jobs", body: bytes = b"{}") -> Key:
    return key_of(owner, "POST", path, name, body)


class Counted:
    """A verb that counts how often it was carried out."""

    def __init__(self, answer: Callable[[int], Answer | Refusal]) -> None:
        self.calls, self._answer = 0, answer

    def __call__(self, tx: Tx) -> Answer | Refusal:
        self.calls += 1
        return self._answer(self.calls)


def numbered(call: int) -> Answer:
    return Answer(201, b"body %d" % call)


def test_a_repeat_gets_the_first_answer(store: Store) -> None:
    verb = Counted(numbered)
    first = store.write(lambda tx: once(tx, key(), verb))
    again = store.write(lambda tx: once(tx, key(), verb))
    assert first == Answer(201, b"body 1")
    assert again == Answer(201, b"body 1", replayed=True)
    assert verb.calls == 1


def test_in_one_batch_too(store: Store) -> None:
    verb = Counted(numbered)
    futures = [store.engine.write(lambda tx: once(tx, key(), verb)) for _ in range(5)]
    assert [f.result(10) for f in futures] == [Answer(201, b"body 1"), *[Answer(201, b"body 1", (), True)] * 4]


def test_without_a_key_each_is_carried_out(store: Store) -> None:
    verb = Counted(numbered)
    for _ in range(3):
        store.write(lambda tx: once(tx, None, verb))
    assert verb.calls == 3
    assert store.dump()["idempotency"] == []


def test_another_body_is_refused(store: Store) -> None:
    verb = Counted(numbered)
    store.write(lambda tx: once(tx, key(), verb))
    before = store.dump()
    with pytest.raises(IdempotencyMismatch):
        store.write(lambda tx: once(tx, key(body=b'{"a":1}'), verb))
    assert verb.calls == 1
    assert store.dump() == before


@pytest.mark.parametrize("other", [key("k2"), key(owner="left-claw"), key(path="/jobs/x/complete")])
def test_the_scope_is_owner_path_and_key(store: Store, other: Key) -> None:
    verb = Counted(numbered)
    store.write(lambda tx: once(tx, key(), verb))
    assert store.write(lambda tx: once(tx, other, verb)) == Answer(201, b"body 2")
    assert len(store.dump()["idempotency"]) == 2


@pytest.mark.parametrize("answer", [Answer(204, b""), Refusal(Conflict()), Answer(409, b"{}"), Answer(200, b"")])
def test_only_success_with_a_body_is_kept(store: Store, answer: Answer | Refusal) -> None:
    verb = Counted(lambda _call: answer)
    for _ in range(2):
        assert store.write(lambda tx: once(tx, key(), verb)) == answer
    assert verb.calls == 2
    assert store.dump()["idempotency"] == []


def test_a_verb_that_raises_leaves_the_key_free(store: Store) -> None:
    def broken(tx: Tx) -> Answer:
        raise Conflict

    with pytest.raises(Conflict):
        store.write(lambda tx: once(tx, key(), broken))
    assert store.write(lambda tx: once(tx, key(), Counted(numbered))) == Answer(201, b"body 1")


def test_a_key_holds_for_a_day(store: Store) -> None:
    verb = Counted(numbered)
    store.write(lambda tx: once(tx, key(), verb))
    store.clock.advance(DAY)
    assert store.write(lambda tx: once(tx, key(), verb)) == Answer(201, b"body 1", replayed=True)
    store.clock.advance(0.001)
    assert store.write(lambda tx: once(tx, key(), verb)) == Answer(201, b"body 2")
    assert store.write(lambda tx: once(tx, key(), verb)) == Answer(201, b"body 2", replayed=True)


def test_old_keys_are_pruned(store: Store) -> None:
    store.write(lambda tx: once(tx, key("old"), Counted(numbered)))
    store.clock.advance(DAY)
    store.write(lambda tx: once(tx, key("new"), Counted(numbered)))
    assert store.write(idempotency.prune) == 0
    store.clock.advance(0.001)
    assert store.write(idempotency.prune) == 1
    assert [row[3] for row in store.dump()["idempotency"]] == ["new"]


# --- claims ----------------------------------------------------------------------------------------------------------


def claiming(store: Store, most: int = 1) -> Answer | Refusal:
    def verb(tx: Tx) -> Answer:
        rows = claim.claim_next(tx, store.rules, LEFT, frozenset({"left-claw"}), frozenset(), most)
        body = " ".join(row.id for row in rows).encode()
        return Answer(200, body, tuple(f"{row.id}:{row.fence}" for row in rows))

    return store.write(lambda tx: once(tx, key(owner="left-claw", path="/jobs/claim"), verb))


def test_a_claim_is_replayed_while_its_fences_are_live(store: Store) -> None:
    first, second = store.submit(), store.submit()
    answer = claiming(store)
    assert isinstance(answer, Answer)
    assert answer.body.decode() == first.id
    store.beat(first.id, 1)
    again = claiming(store)
    assert isinstance(again, Answer)
    assert (again.body.decode(), again.replayed) == (first.id, True)
    assert store.job(second.id).status == "queued"


@pytest.mark.parametrize("how", ["done", "released", "expired", "claimed again"])
def test_a_claim_that_is_over_is_refused(store: Store, how: str) -> None:
    job, other = store.submit(), store.submit()
    claiming(store, most=2)
    if how == "done":
        store.complete(job.id, 1)
    elif how == "released":
        store.release(job.id, 1)
    else:
        store.clock.advance(15)
        store.reap()
    if how == "claimed again":
        store.claim(job.id, LEFT2)
    before = store.dump()
    with pytest.raises(StaleFence) as refused:
        claiming(store, most=2)
    assert refused.value.members["jobId"] in (job.id, other.id)
    assert store.dump() == before
