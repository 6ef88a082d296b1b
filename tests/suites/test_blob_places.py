"""Where blobs' bytes may be kept: one behaviour on the disk and in an object store."""

import hashlib
import os
from pathlib import Path

import pytest
from tests.support.s3_server import S3Server

from contract.errors import TooLarge
from spine.blobs.base import Blobs, read
from spine.blobs.disk import DiskBlobs
from spine.blobs.objects import ObjectBlobs

A, B = "blob_" + "a" * 24, "blob_" + "b" * 24
MIB = 1 << 20
MOST = 20 * MIB


@pytest.fixture(params=["disk", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "disk":
        return DiskBlobs(tmp_path, MOST)
    server: S3Server = request.getfixturevalue("s3")
    return ObjectBlobs(server.place(), tmp_path, MOST)


def keep(blobs: Blobs, blob_id: str, data: bytes, piece: int = MIB) -> str:
    upload = blobs.upload()
    for start in range(0, len(data), piece):
        upload.write(data[start : start + piece])
    assert (upload.size, upload.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    upload.keep(blob_id)
    upload.discard()
    return upload.sha256


def kept(blobs: Blobs) -> list[tuple[str, int]]:
    return sorted((one.blob_id, one.size) for one in blobs.listed())


@pytest.mark.parametrize("size", [0, 300_000, 8 * MIB, 17 * MIB])
def test_what_is_kept_is_read(blobs: Blobs, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    keep(blobs, A, data)
    assert read(blobs, A, 0, size) == data
    assert kept(blobs) == [(A, size)]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_ranges(blobs: Blobs) -> None:
    data = os.urandom(3 * MIB)
    keep(blobs, A, data)
    for start, length in ((0, 1), (MIB - 1, 2), (MIB, MIB), (5, 2 * MIB + 1), (3 * MIB - 1, 1), (0, 0)):
        assert read(blobs, A, start, length) == data[start : start + length]


def test_pieces_are_small(blobs: Blobs) -> None:
    data = os.urandom(3 * MIB + 7)
    keep(blobs, A, data)
    source = blobs.open(A, 0, len(data))
    assert source is not None
    pieces = list(iter(source.read, b""))
    source.close()
    assert b"".join(pieces) == data
    assert max(len(piece) for piece in pieces) <= MIB


@pytest.mark.parametrize("length", [0, 1, 2 * MIB])
def test_what_is_not_there_is_told(blobs: Blobs, length: int) -> None:
    keep(blobs, A, b"here")
    assert blobs.open(B, 0, length) is None
    assert read(blobs, B, 0, length) is None


def test_removing_is_done_once_and_may_be_repeated(blobs: Blobs) -> None:
    keep(blobs, A, b"one")
    keep(blobs, B, b"two")
    blobs.remove(A)
    blobs.remove(A)
    assert kept(blobs) == [(B, 3)]
    assert blobs.open(A, 0, 3) is None


def test_an_upload_that_is_not_kept_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    upload = blobs.upload()
    upload.write(b"x" * MIB)
    upload.discard()
    upload.discard()
    assert kept(blobs) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_limit_holds_for_what_others_bring(blobs: Blobs) -> None:
    upload, sealing = blobs.upload(), blobs.sealing()
    upload.write(b"x" * MOST)
    with pytest.raises(TooLarge) as refused:
        upload.write(b"x")
    assert refused.value.members == {"limit": MOST}
    sealing.write(b"x" * (MOST + 1))
    for one in (upload, sealing):
        one.discard()


def test_what_a_dead_process_left_is_taken_away_and_what_another_server_writes_stays(
    blobs: Blobs, tmp_path: Path
) -> None:
    (tmp_path / "tmp" / "upload-left").write_bytes(b"half")
    upload = blobs.upload()
    upload.write(b"whole")
    if isinstance(blobs, ObjectBlobs):
        ObjectBlobs(blobs.place, tmp_path, MOST)
    else:
        DiskBlobs(tmp_path, MOST)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    upload.keep(A)
    assert read(blobs, A, 0, 5) == b"whole"
    assert list((tmp_path / "tmp").iterdir()) == []
