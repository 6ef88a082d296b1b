"""Logs of attempts: appended at an offset, read as a range, followed, sealed into a blob."""

import base64
import hashlib
import os

import pytest
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, Api
from tests.support.server import Server, StartSpine


@pytest.fixture
def job_id(head: Api, claw: Api, name: str) -> str:
    """A running job of this test's claw, under fence 1."""
    found: str = head.submit(target=name)["id"]
    claw.claim(found)
    return found


def append(api: Api, job_id: str, data: bytes, offset: int | None = None, fence: int | None = 1) -> Answer:
    query = "" if offset is None else f"?offset={offset}"
    headers = {} if fence is None else {"X-Spine-Fence": str(fence)}
    return api.call("POST", f"/jobs/{job_id}/log{query}", data, headers)


def read(api: Api, job_id: str, query: str = "") -> bytes:
    answer = api.get(f"/jobs/{job_id}/log{query}")
    assert answer.status == 200, answer
    return answer.body


def test_appending_at_the_end(head: Api, claw: Api, job_id: str) -> None:
    assert append(claw, job_id, b"one ", 0).json == {"fence": 1, "size": 4}
    assert append(claw, job_id, b"two ", 4).json == {"fence": 1, "size": 8}
    assert append(claw, job_id, b"three").json == {"fence": 1, "size": 13}
    answer = head.get(f"/jobs/{job_id}/log")
    assert answer.body == b"one two three"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["spine-log-size"] == "13"
    assert answer.headers["spine-log-fence"] == "1"
    assert answer.headers["spine-log-open"] == "1"


def test_a_log_that_has_nothing_is_empty(head: Api, claw: Api, job_id: str) -> None:
    answer = head.get(f"/jobs/{job_id}/log")
    assert (answer.status, answer.body, answer.headers["spine-log-size"]) == (200, b"", "0")
    assert append(claw, job_id, b"", 0).json == {"fence": 1, "size": 0}


def test_known_bytes_are_fine_and_only_the_rest_is_added(claw: Api, job_id: str) -> None:
    append(claw, job_id, b"abcdef", 0)
    assert append(claw, job_id, b"abcdef", 0).json == {"fence": 1, "size": 6}
    assert append(claw, job_id, b"cd", 2).json == {"fence": 1, "size": 6}
    assert append(claw, job_id, b"efgh", 4).json == {"fence": 1, "size": 8}
    assert read(claw, job_id) == b"abcdefgh"


@pytest.mark.parametrize(("data", "offset"), [(b"X", 0), (b"cX", 2), (b"fgX", 5), (b"abcdefgX", 0)])
def test_other_bytes_are_a_conflict(claw: Api, job_id: str, data: bytes, offset: int) -> None:
    append(claw, job_id, b"abcdefg", 0)
    answer = append(claw, job_id, data, offset)
    if data == b"abcdefgX" or data == b"fgX":
        assert (answer.status, answer.json["size"]) == (200, 8)
        return
    assert (answer.status, answer.error, answer.json["size"]) == (409, "log_conflict", 7)
    assert read(claw, job_id) == b"abcdefg"


def test_beyond_the_end_is_a_gap_that_tells_the_size(claw: Api, job_id: str) -> None:
    append(claw, job_id, b"abc", 0)
    answer = append(claw, job_id, b"x", 4)
    assert (answer.status, answer.error, answer.json["size"]) == (409, "log_gap", 3)
    answer = append(claw, job_id, b"", 2**50)
    assert (answer.status, answer.error, answer.json["size"]) == (409, "log_gap", 3)
    assert read(claw, job_id) == b"abc"


def test_ranges(claw: Api, job_id: str) -> None:
    append(claw, job_id, b"0123456789", 0)
    assert read(claw, job_id, "?offset=3") == b"3456789"
    assert read(claw, job_id, "?offset=3&limit=2") == b"34"
    assert read(claw, job_id, "?limit=1") == b"0"
    assert read(claw, job_id, "?offset=10") == b""
    assert read(claw, job_id, "?offset=999999") == b""


def test_pieces_across_chunk_borders(claw: Api, job_id: str) -> None:
    whole, at = os.urandom(300_000), 0
    for size in (1, 65_535, 65_536, 65_537, 100, 30_000, 73_291):
        assert append(claw, job_id, whole[at : at + size], at).status == 200
        at += size
    assert at == len(whole)
    assert read(claw, job_id) == whole
    assert append(claw, job_id, whole[65_000:140_000], 65_000).json["size"] == len(whole)
    for start, length in ((65_535, 2), (65_536, 65_536), (131_071, 3), (299_999, 5), (0, 300_000)):
        assert read(claw, job_id, f"?offset={start}&limit={length}") == whole[start : start + length]


def test_each_attempt_has_a_log_of_its_own(head: Api, claw: Api, job_id: str) -> None:
    append(claw, job_id, b"first", 0)
    claw.post(f"/jobs/{job_id}/release")
    claw.claim(job_id)
    assert append(claw, job_id, b"second!", 0, fence=2).json == {"fence": 2, "size": 7}
    assert read(head, job_id) == b"second!"
    assert read(head, job_id, "?fence=1") == b"first"
    assert read(head, job_id, "?fence=2") == b"second!"
    assert read(head, job_id, "?fence=9") == b""
    answer = head.get(f"/jobs/{job_id}/log?fence=1")
    assert (answer.headers["spine-log-fence"], answer.headers["spine-log-open"]) == ("1", "0")


def test_without_a_fence_the_holder_by_role_and_worker_appends(server: Server, claw: Api, job_id: str) -> None:
    assert append(claw, job_id, b"x", fence=None).status == 200
    assert append(server.head, job_id, b"y", fence=None).status == 200
    answer = append(claw.by("w2"), job_id, b"z", fence=None)
    assert (answer.status, answer.error) == (403, "not_owner")
    assert read(claw, job_id) == b"xy"


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_an_ended_job_takes_no_more(head: Api, claw: Api, job_id: str, verb: str) -> None:
    append(claw, job_id, b"all", 0)
    claw.post(f"/jobs/{job_id}/{verb}", {"requeue": False} if verb == "fail" else {})
    answer = append(claw, job_id, b"more", 3)
    assert (answer.status, answer.error) == (409, "not_running")
    answer = head.get(f"/jobs/{job_id}/log")
    assert (answer.body, answer.headers["spine-log-open"]) == (b"all", "0")


def test_a_job_that_was_never_claimed_has_no_log_to_append_to(head: Api, claw: Api, name: str) -> None:
    job_id = head.submit(target=name)["id"]
    for fence in (0, None):
        answer = append(claw, job_id, b"x", 0, fence)
        assert (answer.status, answer.error) == (409, "not_running")
    assert read(head, job_id) == b""


def test_a_piece_over_a_mebibyte_is_413(claw: Api, job_id: str) -> None:
    assert append(claw, job_id, b"x" * 1_048_576, 0).json["size"] == 1_048_576
    answer = append(claw, job_id, b"x" * 1_048_577, 1_048_576)
    assert (answer.status, answer.error, answer.json["limit"]) == (413, "too_large", 1_048_576)
    assert claw.get(f"/jobs/{job_id}/log?limit=1").headers["spine-log-size"] == "1048576"


def test_a_log_over_its_limit_is_413_and_the_job_goes_on(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_LOG_MAX_BYTES="4096")
    claw = server.claw("c1")
    job_id = server.head.submit(target="c1")["id"]
    claw.claim(job_id)
    assert append(claw, job_id, b"a" * 4000, 0).status == 200
    answer = append(claw, job_id, b"b" * 97, 4000)
    assert (answer.status, answer.error, answer.json["limit"]) == (413, "too_large", 4096)
    assert read(claw, job_id) == b"a" * 4000
    assert append(claw, job_id, b"b" * 96, 4000).json["size"] == 4096
    assert append(claw, job_id, b"b" * 96, 4000).status == 200
    assert claw.post(f"/jobs/{job_id}/complete").status == 200


@pytest.mark.parametrize(
    ("method", "query", "field"),
    [
        ("POST", "offset=-1", "offset"),
        ("POST", "offset=1.5", "offset"),
        ("POST", "offset=x", "offset"),
        ("POST", "offset=", "offset"),
        ("POST", "offset=0&offset=0", "offset"),
        ("POST", f"offset={10**30}", "offset"),
        ("POST", "ofset=0", "ofset"),
        ("POST", "fence=1", "fence"),
        ("GET", "offset=-1", "offset"),
        ("GET", f"offset={10**30}", "offset"),
        ("GET", "limit=0", "limit"),
        ("GET", "limit=99999999", "limit"),
        ("GET", "fence=-1", "fence"),
        ("GET", f"fence={2**53}", "fence"),
        ("GET", "follow=yes", "follow"),
        ("GET", "tail=1", "tail"),
    ],
)
def test_a_wrong_query_is_refused(claw: Api, job_id: str, method: str, query: str, field: str) -> None:
    append(claw, job_id, b"abc", 0)
    answer = claw.call(method, f"/jobs/{job_id}/log?{query}", b"x" if method == "POST" else None)
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)
    assert read(claw, job_id) == b"abc"


# --- following -----------------------------------------------------------------------------------------------------


def test_following_shows_what_comes_until_the_end(head: Api, claw: Api, job_id: str) -> None:
    append(claw, job_id, b"one\n", 0)
    with head.stream(f"/jobs/{job_id}/log?follow=1") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.next()[:2] == ("attempt", {"fence": 1})
        kind, data, _ = stream.next()
        assert (kind, data["fence"], data["offset"], base64.b64decode(data["base64"])) == ("log", 1, 0, b"one\n")
        append(claw, job_id, b"\xff\x00two", 4)
        kind, data, _ = stream.next()
        assert (data["offset"], base64.b64decode(data["base64"])) == (4, b"\xff\x00two")
        claw.post(f"/jobs/{job_id}/complete")
        assert [event[:2] for event in stream.rest()] == [("end", {"fence": 1, "size": 9})]


def test_following_goes_on_into_the_next_attempt(head: Api, claw: Api, job_id: str) -> None:
    append(claw, job_id, b"first", 0)
    with head.stream(f"/jobs/{job_id}/log?follow=1") as stream:
        assert stream.until("log")[-1][1]["fence"] == 1
        claw.post(f"/jobs/{job_id}/release")
        claw.claim(job_id)
        append(claw, job_id, b"second", 0, fence=2)
        _, data, _ = stream.until("log")[-1]
        assert (data["fence"], data["offset"], base64.b64decode(data["base64"])) == (2, 0, b"second")
        claw.post(f"/jobs/{job_id}/complete")
        assert stream.rest()[-1][:2] == ("end", {"fence": 2, "size": 6})


def test_following_one_attempt_ends_with_it(head: Api, claw: Api, job_id: str) -> None:
    append(claw, job_id, b"first", 0)
    with head.stream(f"/jobs/{job_id}/log?follow=1&fence=1&offset=2") as stream:
        assert base64.b64decode(stream.until("log")[-1][1]["base64"]) == b"rst"
        claw.post(f"/jobs/{job_id}/release")
        assert stream.rest()[-1][:2] == ("end", {"fence": 1, "size": 5})


def test_following_an_ended_job_gives_all_and_ends(head: Api, claw: Api, job_id: str) -> None:
    whole = os.urandom(200_000)
    append(claw, job_id, whole, 0)
    claw.post(f"/jobs/{job_id}/complete")
    with head.stream(f"/jobs/{job_id}/log?follow=1") as stream:
        found = stream.rest()
    assert b"".join(base64.b64decode(e[1]["base64"]) for e in found if e[0] == "log") == whole
    assert found[-1][0] == "end"


# --- sealing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def to_be_sealed(server: Server) -> tuple[str, bytes]:
    """A job that ended with a log when the module began: sealing comes by a clock of its own."""
    job_id, whole = server.head.submit(target="c399")["id"], os.urandom(150_000)
    claw = server.claw("c399")
    claw.claim(job_id)
    append(claw, job_id, whole, 0)
    claw.post(f"/jobs/{job_id}/complete")
    return job_id, whole


@pytest.fixture(autouse=True)
def _begin(to_be_sealed: tuple[str, bytes]) -> None:
    pass


def test_an_ended_log_is_sealed_and_reads_the_same(server: Server, head: Api, to_be_sealed: tuple[str, bytes]) -> None:
    job_id, whole = to_be_sealed
    digest = hashlib.sha256(whole).hexdigest()

    def sealed() -> bool:
        files = (server.process.data_dir / "blobs").glob("*/blob_*")
        return any(hashlib.sha256(f.read_bytes()).hexdigest() == digest for f in files)

    eventually(sealed, 40, every=0.2)
    # The rows are gone once the blob is named: from then on all comes from it.
    eventually(lambda: read(head, job_id, "?offset=149990") == whole[149_990:])
    assert read(head, job_id) == whole
    assert read(head, job_id, "?offset=65530&limit=20") == whole[65_530:65_550]
    assert head.get(f"/jobs/{job_id}/log").headers["spine-log-size"] == "150000"
    with head.stream(f"/jobs/{job_id}/log?follow=1") as stream:
        assert stream.rest()[-1][:2] == ("end", {"fence": 1, "size": 150_000})
