"""Blobs in an object store: conditions, parts, and a store that fails, hangs, refuses or is not there."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from tests.support.proxy import Proxy
from tests.support.s3_server import KEY_ID, SECRET, S3Server
from tests.support.spine_process import free_port

from contract.errors import Internal, Unavailable
from spine.blobs.base import BlobsAway, BlobsUnusable, Upload, read
from spine.blobs.bucket import Bucket, Patience
from spine.blobs.objects import ObjectBlobs

A, B = "blob_" + "a" * 24, "blob_" + "b" * 24
KEY = f"fleet/one/aa/{A}"
MIB = 1 << 20
MOST = 64 * MIB
QUICK = Patience(call_seconds=5, retry_seconds=1)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with Proxy(s3.port) as found:
        yield found


@pytest.fixture
def place(s3: S3Server, proxy: Proxy) -> Bucket:
    """A place that is reached through the proxy."""
    return s3.place(proxy.url)


@pytest.fixture
def blobs(place: Bucket, tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs(place, tmp_path, MOST)


@pytest.fixture
def hasty(place: Bucket, tmp_path: Path) -> ObjectBlobs:
    """The same, for tests in which calls fail: it gives up soon."""
    return ObjectBlobs(place, tmp_path, MOST, patience=QUICK)


def written(blobs: ObjectBlobs, data: bytes) -> Upload:
    upload = blobs.upload()
    for start in range(0, len(data), MIB):
        upload.write(data[start : start + MIB])
    return upload


def keep(blobs: ObjectBlobs, blob_id: str, data: bytes) -> None:
    upload = written(blobs, data)
    try:
        upload.keep(blob_id)
    finally:
        upload.discard()


# --- conditions and parts ---------------------------------------------------


@pytest.mark.parametrize("size", [5, 9 * MIB])
def test_the_same_bytes_twice_are_welcome_and_others_are_never_written_over(
    s3: S3Server, place: Bucket, blobs: ObjectBlobs, size: int
) -> None:
    data = os.urandom(size)
    keep(blobs, A, data)
    keep(blobs, A, data)
    for other in (os.urandom(size), data + b"x", data[:-1]):
        with pytest.raises(Internal, match="other bytes are kept"):
            keep(blobs, A, other)
    assert read(blobs, A, 0, size) == data
    assert s3.keys(place.bucket) == [KEY]


def test_a_small_file_is_sent_under_a_condition(s3: S3Server, place: Bucket, proxy: Proxy, blobs: ObjectBlobs) -> None:
    """The first try arrives and its answer is lost: the second finds it there, and that is this upload's own."""
    proxy.lose_answer(f"PUT /{place.bucket}/{KEY} ")
    keep(blobs, A, b"hello")
    assert len(proxy.lost) == 1
    assert read(blobs, A, 0, 5) == b"hello"
    assert s3.keys(place.bucket) == [KEY]


def test_a_part_that_fails_is_sent_again(s3: S3Server, place: Bucket, proxy: Proxy, blobs: ObjectBlobs) -> None:
    data = os.urandom(20 * MIB)
    proxy.lose_answer(f"PUT /{place.bucket}/{KEY}?partNumber=2")
    keep(blobs, A, data)
    assert len(proxy.lost) == 1
    assert read(blobs, A, 0, len(data)) == data
    assert s3.unfinished(place.bucket) == 0


@pytest.mark.parametrize("request_", ["PUT /{}?partNumber=2", "POST /{}?uploadId"])
def test_an_upload_that_fails_leaves_nothing(
    s3: S3Server, place: Bucket, proxy: Proxy, hasty: ObjectBlobs, tmp_path: Path, request_: str
) -> None:
    for _ in range(10):
        proxy.lose_answer(request_.format(f"{place.bucket}/{KEY}"))
    with pytest.raises(Unavailable):
        keep(hasty, A, os.urandom(20 * MIB))
    assert s3.unfinished(place.bucket) == 0
    assert s3.keys(place.bucket) == []
    assert list((tmp_path / "tmp").iterdir()) == []


# --- a store that is away ---------------------------------------------------


def test_what_is_away_is_told_soon_and_comes_back(
    place: Bucket, proxy: Proxy, blobs: ObjectBlobs, hasty: ObjectBlobs, tmp_path: Path
) -> None:
    keep(blobs, A, b"here")
    with proxy.away():
        for call in (
            lambda: keep(hasty, B, b"new"),
            lambda: read(hasty, A, 0, 4),
            lambda: hasty.remove(A),
            lambda: list(hasty.listed()),
        ):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                call()
            assert time.monotonic() - began < 45
    assert read(blobs, A, 0, 4) == b"here"
    assert [one.blob_id for one in blobs.listed()] == [A]


def test_what_hangs_is_given_up(place: Bucket, proxy: Proxy, blobs: ObjectBlobs, hasty: ObjectBlobs) -> None:
    keep(blobs, A, b"here")
    proxy.stall()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        read(hasty, A, 0, 4)
    assert time.monotonic() - began < 45
    proxy.mend()
    assert read(blobs, A, 0, 4) == b"here"


def test_one_that_goes_away_in_the_midst_of_reading(proxy: Proxy, blobs: ObjectBlobs, hasty: ObjectBlobs) -> None:
    data = os.urandom(3 * MIB)
    keep(blobs, A, data)
    source = hasty.open(A, 0, len(data))
    assert source is not None
    with proxy.away():
        assert source.read() == data[:MIB]
        with pytest.raises(Unavailable):
            source.read()
    assert source.read() == data[MIB : 2 * MIB], "it may be asked again"


def test_of_a_bucket_that_is_gone_nothing_is_said_about_the_blob(
    s3: S3Server, place: Bucket, hasty: ObjectBlobs
) -> None:
    s3.client().delete_bucket(Bucket=place.bucket)
    for length in (0, 4):
        with pytest.raises(Unavailable):
            read(hasty, A, 0, length)
    with pytest.raises(Unavailable):
        keep(hasty, A, os.urandom(9 * MIB))


# --- what else lies under the prefix ---------------------------------------------------


def test_only_blobs_are_listed(s3: S3Server, place: Bucket, blobs: ObjectBlobs) -> None:
    blobs.check()
    keep(blobs, A, b"here")
    for key in (f"spine-20260101T000000Z/blobs/aa/{A}", f"bb/{A}", "notes.txt", f"aa/{A}/more"):
        s3.client().put_object(Bucket=place.bucket, Key=f"fleet/one/{key}", Body=b"x")
    assert [(one.blob_id, one.size) for one in blobs.listed()] == [(A, 4)]
    assert abs(next(blobs.listed()).at / 1000 - time.time()) < 60


def test_more_than_a_page_is_listed(blobs: ObjectBlobs, s3: S3Server, place: Bucket) -> None:
    client, wanted = s3.client(), [f"blob_{n:024x}" for n in range(120)]
    for blob_id in wanted:
        client.put_object(Bucket=place.bucket, Key=f"fleet/one/{blob_id[5:7]}/{blob_id}", Body=b"x")
    assert sorted(one.blob_id for one in blobs.listed()) == wanted


# --- at the start ---------------------------------------------------


def fault(place: Bucket, folder: Path) -> BlobsUnusable:
    with pytest.raises(BlobsUnusable) as raised:
        ObjectBlobs(place, folder, MOST, patience=QUICK).check()
    assert SECRET not in str(raised.value)
    assert KEY_ID not in str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_place_that_can_be_used(blobs: ObjectBlobs) -> None:
    blobs.check()
    blobs.check()


def test_a_bucket_that_is_not_there(place: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    said = fault(msgspec.structs.replace(place, bucket="no-such-bucket"), tmp_path)
    assert str(said) == (
        f"SPINE_BLOB_URL: there is no bucket no-such-bucket at {proxy.url}; make it, or correct the name"
    )
    assert not isinstance(said, BlobsAway)


def test_a_key_that_is_not_accepted(s3: S3Server, place: Bucket, tmp_path: Path) -> None:
    s3.demand_keys()
    try:
        said = str(fault(place, tmp_path))
    finally:
        s3.demand_keys(False)
    assert said.startswith(
        f"SPINE_BLOB_ACCESS_KEY_ID: {place.endpoint} does not let it read and write in {place.url} (403"
    )
    assert "InvalidAccessKeyId" in said


class _Unconditional(BaseHTTPRequestHandler):
    """A store that takes every file but one that is to be written where nothing is."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(501 if "If-None-Match" in self.headers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_that_knows_no_conditions_is_refused_before_anything_is_kept(place: Bucket, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), _Unconditional) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        said = fault(msgspec.structs.replace(place, endpoint=endpoint), tmp_path)
        server.shutdown()
        thread.join(10)
    assert not isinstance(said, BlobsAway)
    assert str(said) == (
        f"SPINE_BLOB_ENDPOINT: {endpoint} cannot write on the condition that nothing is there (If-None-Match: 501); "
        "use an object store that can"
    )


def test_an_address_where_nothing_is(place: Bucket, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = fault(msgspec.structs.replace(place, endpoint=nowhere), tmp_path)
    assert isinstance(said, BlobsAway), "it may come up later"
    assert str(said).startswith(f"SPINE_BLOB_ENDPOINT: {nowhere} cannot be used now (")
