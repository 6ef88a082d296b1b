"""Blobs as rows, and which jobs name them."""

import pytest
from tests.suites.harness import HEAD, LEFT, RIGHT, Store

from contract.errors import Internal, StaleFence
from spine.store import blobs
from spine.store.blobs import BlobRow
from spine.store.engine import Tx

A, B, C = (f"blob_{letter * 24}" for letter in "abc")
ROW = BlobRow(A, "päth.txt", 5, "0" * 64, "text/plain", 1, "left-claw")


def named(store: Store, blob_id: str) -> tuple[bool, bool]:
    """Return whether a job for left-claw, for right-claw names the blob."""

    def look(tx: Tx) -> tuple[bool, bool]:
        return blobs.named_for(tx, blob_id, "left-claw"), blobs.named_for(tx, blob_id, "right-claw")

    return store.read(look)


def test_a_row(store: Store) -> None:
    store.write(lambda tx: blobs.add(tx, ROW))
    assert store.read(lambda tx: blobs.find(tx, A)) == ROW
    assert store.read(lambda tx: blobs.find(tx, B)) is None
    with pytest.raises(Internal):
        store.write(lambda tx: blobs.add(tx, ROW))


def test_a_spec_and_a_meta_name_blobs(store: Store) -> None:
    store.submit(spec=f"read {A} and {A}.", meta={"in": [B]})
    assert named(store, A) == (True, False)
    assert named(store, B) == (True, False)
    assert named(store, C) == (False, False)


def test_a_job_for_any_names_for_all(store: Store) -> None:
    store.submit(target="any", spec=A)
    assert named(store, A) == (True, True)


def test_a_comment_and_a_result_name_blobs(store: Store) -> None:
    job = store.submit()
    store.comment(job.id, f"see {A}", HEAD)
    store.claim(job.id)
    store.complete(job.id, 1, result=f'{{"artifacts":[{{"url":"/blobs/{B}"}}]}}')
    assert named(store, A) == (True, False)
    assert named(store, B) == (True, False)


def test_a_late_result_names_blobs(store: Store) -> None:
    job = store.submit(target="right-claw")
    store.claim(job.id, RIGHT)
    store.clock.advance(300)
    store.claim(job.id, RIGHT)
    with pytest.raises(StaleFence):
        store.complete(job.id, 1, RIGHT, result=f'"{C}"')
    assert named(store, C) == (False, True)


@pytest.mark.parametrize("text", ["blob_", "blob_" + "A" * 24, "blob_" + "a" * 23, "bloba" + "a" * 24])
def test_what_is_no_name(store: Store, text: str) -> None:
    store.submit(spec=text)
    assert store.dump()["blob_mentions"] == []


def test_a_mention_twice_is_one(store: Store) -> None:
    job = store.submit(spec=A)
    store.comment(job.id, A, LEFT)
    assert store.dump()["blob_mentions"] == [(A, job.id)]
