"""Job logs: bytes at an offset under a fence, kept in chunks of 64 KiB, sealed at the end."""

import random

import pytest
from tests.suites.harness import HEAD, LEFT2, LOG_MOST, RIGHT, Raw, Store

from contract.errors import LogConflict, LogGap, NotOwner, NotRunning, StaleFence, TooLarge
from spine.queue import joblog
from spine.store import logs

KIB64 = 65_536


def running(store: Store) -> str:
    job = store.submit(target="any")
    store.claim(job.id)
    return job.id


def chunks(store: Store, job_id: str) -> list[tuple[int, int]]:
    """Return (start, length) of each chunk row."""
    sql = Raw("SELECT start, length(data) FROM log_chunks WHERE job_id = ? ORDER BY start", "job_id")
    return store.read(lambda tx: [(row[0], row[1]) for row in tx.rows(sql, job_id=job_id)])


def content(store: Store, job_id: str, start: int = 0, length: int = 10**9, fence: int = 1) -> bytes:
    return store.read(lambda tx: logs.read(tx, job_id, fence, start, length))


def test_appends_join(store: Store) -> None:
    job = running(store)
    assert store.append(job, 1, 0, b"hello ") == 6
    assert store.append(job, 1, 6, b"world") == 11
    assert content(store, job) == b"hello world"
    assert chunks(store, job) == [(0, 11)]
    assert store.signals.logs == {job}


def test_rows_are_64_kib(store: Store) -> None:
    job = running(store)
    data = random.Random(1).randbytes(150_000)
    size = 0
    for piece in (1, 65_534, 1, 1, 70_000, 14_463):
        size = store.append(job, 1, size, data[size : size + piece])
    assert size == 150_000
    assert chunks(store, job) == [(0, KIB64), (KIB64, KIB64), (2 * KIB64, 150_000 - 2 * KIB64)]
    assert content(store, job) == data


def test_ranges_over_borders(store: Store) -> None:
    job = running(store)
    data = random.Random(2).randbytes(3 * KIB64)
    store.append(job, 1, 0, data)
    assert chunks(store, job) == [(0, KIB64), (KIB64, KIB64), (2 * KIB64, KIB64)]
    edges = [0, 1, KIB64 - 1, KIB64, KIB64 + 1, 2 * KIB64 - 1, 2 * KIB64, 3 * KIB64 - 1, 3 * KIB64, 4 * KIB64]
    for start in edges:
        for length in (1, 2, KIB64 - 1, KIB64, KIB64 + 1, 3 * KIB64):
            assert content(store, job, start, length) == data[start : start + length]


def test_known_bytes_again_are_welcome(store: Store) -> None:
    job = running(store)
    data = random.Random(3).randbytes(100_000)
    store.append(job, 1, 0, data)
    before = store.dump()
    for start, end in [(0, 100_000), (0, 1), (99_999, 100_000), (65_000, 66_000), (100_000, 100_000)]:
        assert store.append(job, 1, start, data[start:end]) == 100_000
    assert store.dump()["log_chunks"] == before["log_chunks"]


def test_a_piece_that_overlaps_the_end_adds_what_is_new(store: Store) -> None:
    job = running(store)
    store.append(job, 1, 0, b"abcdef")
    assert store.append(job, 1, 4, b"efgh") == 8
    assert content(store, job) == b"abcdefgh"


@pytest.mark.parametrize(("offset", "data"), [(0, b"abX"), (5, b"Xgh"), (0, b"X"), (2, b"cdeX")])
def test_other_bytes_conflict(store: Store, offset: int, data: bytes) -> None:
    job = running(store)
    store.append(job, 1, 0, b"abcdef")
    before = store.dump()
    with pytest.raises(LogConflict) as refused:
        store.append(job, 1, offset, data)
    assert refused.value.members == {"size": 6, "jobId": job}
    assert store.dump() == before


@pytest.mark.parametrize("offset", [7, 2**50])
def test_beyond_the_end_is_a_gap(store: Store, offset: int) -> None:
    job = running(store)
    store.append(job, 1, 0, b"abcdef")
    before = store.dump()
    with pytest.raises(LogGap) as refused:
        store.append(job, 1, offset, b"x")
    assert refused.value.members == {"size": 6, "jobId": job}
    assert store.dump() == before


def test_without_an_offset_at_the_end(store: Store) -> None:
    job = running(store)
    assert store.append(job, 1, None, b"ab") == 2
    assert store.append(job, 1, None, b"ab") == 4
    assert store.append(job, 1, None, b"") == 4


def test_the_limit_of_an_attempt(store: Store) -> None:
    job = running(store)
    store.append(job, 1, 0, b"x" * LOG_MOST)
    before = store.dump()
    with pytest.raises(TooLarge) as refused:
        store.append(job, 1, LOG_MOST, b"y")
    assert refused.value.members == {"limit": LOG_MOST}
    with pytest.raises(TooLarge):
        store.append(job, 1, LOG_MOST - 1, b"xy")
    assert store.append(job, 1, LOG_MOST - 1, b"x") == LOG_MOST
    assert store.dump() == before


def test_each_attempt_has_its_own(store: Store) -> None:
    job = running(store)
    store.append(job, 1, 0, b"first")
    store.fail(job, 1)
    assert store.append(job, 1, 5, b", flushed") == 14
    store.claim(job, LEFT2)
    with pytest.raises(StaleFence):
        store.append(job, 1, 14, b"late")
    with pytest.raises(LogGap):
        store.append(job, 2, 14, b"late", LEFT2)
    store.append(job, 2, 0, b"second", LEFT2)
    assert content(store, job, fence=1) == b"first, flushed"
    assert content(store, job, fence=2) == b"second"


def test_an_ended_job_takes_no_log(store: Store) -> None:
    job = running(store)
    store.append(job, 1, 0, b"x")
    store.complete(job, 1)
    before = store.dump()
    with pytest.raises(NotRunning):
        store.append(job, 1, 1, b"y")
    assert store.dump() == before


def test_whose_log(store: Store) -> None:
    job = running(store)
    with pytest.raises(NotOwner):
        store.append(job, None, 0, b"x", RIGHT)
    assert store.append(job, 1, 0, b"x", RIGHT) == 1
    assert store.append(job, None, 1, b"y", HEAD) == 2


def test_where_a_log_is(store: Store) -> None:
    job = running(store)

    def where(fence: int | None = None) -> tuple[tuple[object, ...], bool]:
        row, growing = store.read(lambda tx: joblog.locate(tx, HEAD.principal, job, fence))
        return tuple(row), growing

    assert where() == ((job, 1, 0, None), True)
    store.append(job, 1, 0, b"abc")
    assert where() == ((job, 1, 3, None), True)
    store.fail(job, 1)
    assert where() == ((job, 1, 3, None), True)  # another attempt may follow
    assert where(1) == ((job, 1, 3, None), False)
    store.claim(job)
    assert where(2) == ((job, 2, 0, None), True)
    store.append(job, 2, 0, b"defg")
    store.complete(job, 2)
    assert where() == ((job, 2, 4, None), False)


def test_sealing(store: Store) -> None:
    job, other = running(store), running(store)
    store.append(job, 1, 0, b"first")
    store.append(other, 1, 0, b"grows")
    assert store.read(lambda tx: logs.sealable(tx, 10)) == []
    store.fail(job, 1)
    assert store.read(lambda tx: logs.sealable(tx, 10)) == []  # its holder may still flush
    store.claim(job)
    store.append(job, 2, 0, b"second")
    assert store.read(lambda tx: logs.sealable(tx, 10)) == [(job, 1, 5, None)]
    store.complete(job, 2)
    assert sorted(store.read(lambda tx: logs.sealable(tx, 10))) == [(job, 1, 5, None), (job, 2, 6, None)]
    assert len(store.read(lambda tx: logs.sealable(tx, 1))) == 1
    assert store.write(lambda tx: logs.seal(tx, job, 1, "blob_1")) is True
    assert store.write(lambda tx: logs.seal(tx, job, 1, "blob_2")) is False
    assert store.read(lambda tx: logs.find(tx, job, 1)) == (job, 1, 5, "blob_1")
    assert content(store, job, fence=1) == b""
    assert content(store, job, fence=2) == b"second"
    assert content(store, other) == b"grows"


def test_an_empty_log(store: Store) -> None:
    job = running(store)
    assert store.append(job, 1, 0, b"") == 0
    assert content(store, job) == b""
    assert store.dump()["logs"] == []
