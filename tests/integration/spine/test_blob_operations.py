"""The operator's commands where blobs are in an object store: moving them there, backups, doctor, sweeping."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.spine.test_backups import doctor, made, spine_with_key
from tests.integration.spine.test_operations import DAY_MS, age, spine, upload
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer
from tests.support.s3_server import KEY_ID, SECRET, S3Server
from tests.support.server import MakeProcess, Server

from spine.blobs.bucket import Bucket
from spine.blobs.objects import ObjectBlobs
from spine.operations import blob_moves
from spine.operations.refusal import Refused
from spine.store.offline import Bytes

MIB = 1 << 20
A, B, C = (f"blob_{letter * 24}" for letter in "abc")


@pytest.fixture
def place(s3: S3Server) -> Bucket:
    return s3.place()


@pytest.fixture
def env(s3: S3Server, place: Bucket) -> dict[str, str]:
    return s3.settings(place.url, "BLOB")


def blobs_in(s3: S3Server, place: Bucket) -> list[str]:
    return [key.rpartition("/")[2] for key in s3.keys(place.bucket) if "blob_" in key]


# --- from the disk --------------------------------------------------------------------------------------------------


def test_blobs_move_from_the_disk_while_the_server_runs(
    process: MakeProcess, s3: S3Server, place: Bucket, env: dict[str, str]
) -> None:
    server = Server(process().start())
    contents = [b"hello", b"", os.urandom(9 * MIB)]
    ids = [upload(server, data) for data in contents]
    nowhere = spine(server.process, "blobs", "copy")
    assert (nowhere.returncode, nowhere.stderr) == (
        1, "spine: SPINE_BLOB_URL: missing; say where the blobs go, such as s3://bucket/prefix\n",
    )  # fmt: skip
    wrong = spine_with_key(server.process, "blobs", "copy", **{**env, "SPINE_BLOB_URL": "s3://no-such-bucket/x"})
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("spine: SPINE_BLOB_URL: there is no bucket no-such-bucket")

    done = spine_with_key(server.process, "blobs", "copy", **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 blobs copied (9.0 MiB), 0 were there\n", "")
    late, lost = upload(server, b"came later"), upload(server, b"was damaged")
    next((server.process.data_dir / "blobs").rglob(lost)).write_bytes(b"WAS DAMAGED")
    assert server.process.stop() == 0
    again = spine_with_key(server.process, "blobs", "copy", **env)
    assert (again.returncode, again.stdout) == (3, "1 blobs copied (0.0 MiB), 3 were there\n")
    assert again.stderr == f"spine: 1 blob(s) are on neither side, or not what was stored: {lost}\n"
    assert sorted(blobs_in(s3, place)) == sorted([*ids, late])

    server.process.start(**env)
    for blob_id, data in zip([*ids, late], [*contents, b"came later"], strict=True):
        assert server.head.get(f"/blobs/{blob_id}").body == data
    found = doctor(server.process)
    assert found["blobs"][0] == "failed"
    assert found["blobs"][1].startswith(f"1 of 5 have no bytes, or not all: {lost}; ")
    assert found["blobs on disk"][0] == "hint"
    assert [word for word in (KEY_ID, SECRET) if word in server.process.log() + done.stdout + again.stderr] == []


class CutOff(Exception):
    """The copy ends here."""


def test_a_copy_that_was_cut_off_goes_on_and_reads_nothing_twice(place: Bucket, tmp_path: Path) -> None:
    rows = []
    for blob_id in (A, B, C):
        file = tmp_path / "blobs" / blob_id[5:7] / blob_id
        file.parent.mkdir(parents=True)
        file.write_bytes(blob_id.encode())
        rows.append(Bytes(blob_id, len(blob_id), hashlib.sha256(blob_id.encode()).hexdigest()))
    target = ObjectBlobs(place, tmp_path / "blobs", MIB)

    def cut(_what: str, done: int, _total: int) -> None:
        if done == 2:
            raise CutOff

    with pytest.raises(CutOff):
        blob_moves.copy(tmp_path, rows, target, cut)
    read: list[str] = []
    holds = target.holds

    def noted(blob_id: str, size: int, sha256: str) -> bool:
        read.append(blob_id)
        return holds(blob_id, size, sha256)

    target.holds = noted  # type: ignore[method-assign]
    assert blob_moves.copy(tmp_path, rows, target) == (1, 29, 2, [])
    assert read == [C]
    assert blob_moves.copy(tmp_path, rows, target) == (0, 0, 3, [])
    assert read == [C]
    (tmp_path / "blobs" / "tmp" / "copied").unlink()
    assert blob_moves.copy(tmp_path, rows, target) == (0, 0, 3, [])
    assert read == [C, A, B, C], "what nobody noted is compared"
    target.remove(A)
    assert blob_moves.copy(tmp_path, rows, target) == (1, 29, 2, []), "what is gone there is sent again"


# --- backups --------------------------------------------------------------------------------------------------------


def test_a_backup_says_where_the_blobs_stay_and_does_not_claim_to_hold_them(
    process: MakeProcess, s3: S3Server, place: Bucket, env: dict[str, str], tmp_path: Path
) -> None:
    server = Server(process(**env).start())
    first, second = upload(server, b"hello"), upload(server, b"world")
    job = server.head.submit(meta={"see": [first, second]})
    done = spine_with_key(server.process, "backup", tmp_path / "b")  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 events, 2 blobs (0.0 MiB) that stay in {place.url} and are not in it\n" in done.stdout
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    assert (manifest["version"], manifest["blobsAt"], manifest["blobs"]) == (2, place.url, 2)
    assert sorted(path.name for path in (tmp_path / "b").rglob("*") if path.is_file()) == ["manifest.json", "spine.db"]
    assert SECRET not in (tmp_path / "b" / "manifest.json").read_text()

    other: dict[str, Any] = {"data": tmp_path / "new"}
    bare = spine(process(), "restore", tmp_path / "b", **other)
    assert (bare.returncode, bare.stdout) == (1, "")
    assert bare.stderr.startswith(f"spine: the blobs of this backup stayed in {place.url}; set SPINE_BLOB_URL")
    away = spine_with_key(
        server.process, "restore", str(tmp_path / "b"), SPINE_BLOB_ENDPOINT="http://127.0.0.1:1", **other
    )
    assert away.returncode == 1
    assert away.stderr.startswith("spine: SPINE_BLOB_ENDPOINT: http://127.0.0.1:1 cannot be used now")
    assert not (tmp_path / "new").exists()

    (key,) = (key for key in s3.keys(place.bucket) if second in key)
    s3.client().delete_object(Bucket=place.bucket, Key=key)
    restored = spine_with_key(server.process, "restore", str(tmp_path / "b"), **other)
    assert restored.returncode == 3
    assert restored.stderr == f"spine: 1 blob(s) are not in the object store: ['{second}']\n"
    new = Server(process(SPINE_DATA_DIR=str(tmp_path / "new"), **env).start())
    assert new.head.job(job["id"])["status"] == "queued"
    assert new.head.get(f"/blobs/{first}").body == b"hello"
    assert new.head.get(f"/blobs/{second}").status == 404


def test_backups_that_the_spine_makes_say_so_too(
    process: MakeProcess, s3: S3Server, place: Bucket, env: dict[str, str]
) -> None:
    backups = s3.place()
    server = Server(process(**env, **s3.settings(backups.url)).start())
    upload(server, b"hello")
    eventually(lambda: made(server.process), 30, what="the first backup")
    assert made(server.process)[0]["blobs_at"] == place.url
    done = spine_with_key(server.process, "backups", "make")
    assert done.returncode == 0, done.stderr
    assert f"1 blobs (0.0 MiB) that stay in {place.url} and are not in it\n" in done.stdout
    name = done.stdout.partition(":")[0]
    assert [key.rpartition("/")[2] for key in s3.keys(backups.bucket) if name in key] == ["manifest.json", "spine.db"]
    restored = spine_with_key(server.process, "restore", f"{backups.url}/{name}", data=server.process.folder / "new")
    assert (restored.returncode, restored.stderr) == (0, "")


def test_a_backup_with_bytes_restored_for_a_spine_with_an_object_store(
    process: MakeProcess, env: dict[str, str], tmp_path: Path
) -> None:
    server = Server(process().start())
    upload(server, b"hello")
    assert spine(server.process, "backup", tmp_path / "b").returncode == 0
    server.process._env.update(env)
    done = spine(server.process, "restore", tmp_path / "b", data=tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run `spine blobs copy` before that" in done.stdout


# --- what goes ------------------------------------------------------------------------------------------------------


def test_retention_deletes_the_object_and_doctor_agrees(
    process: MakeProcess, s3: S3Server, place: Bucket, env: dict[str, str]
) -> None:
    server = Server(process(**env).start())
    old = upload(server, b"old")
    assert server.process.stop() == 0
    age(server.process.data_dir, 31)
    server.process.start(SPINE_RETENTION_DAYS="30")
    young = upload(server, b"young")
    eventually(lambda: blobs_in(s3, place) == [young], what="the old object to go")
    assert server.head.get(f"/blobs/{old}").status == 404
    assert doctor(server.process)["blobs"] == ("ok", f"1, all with their bytes in {place.url}")
    away = doctor(server.process, SPINE_BLOB_ENDPOINT="http://127.0.0.1:1")
    assert away["blobs"][0] == "failed"
    assert away["blobs"][1].startswith("SPINE_BLOB_ENDPOINT: http://127.0.0.1:1 cannot be used now (")
    half = doctor(server.process, SPINE_BLOB_SECRET_ACCESS_KEY="")
    assert half["settings"] == ("failed", "SPINE_BLOB_SECRET_ACCESS_KEY: missing; the id and the secret go together")
    assert "blobs" not in half, "nothing is said of a place that is not known"
    swept = spine_with_key(server.process, "blobs", "sweep")
    assert (swept.returncode, swept.stdout) == (0, "0 without a row deleted (0.0 MiB)\n")


def test_sweeping_takes_what_no_row_names_when_it_is_a_day_old(s3: S3Server, place: Bucket, tmp_path: Path) -> None:
    target = ObjectBlobs(place, tmp_path / "blobs", MIB)
    for blob_id in (A, B):
        upload = target.upload()
        upload.write(b"hello")
        upload.keep(blob_id)
    now, row = next(target.listed()).at, Bytes(A, 5, "")
    quiet = lambda _what, _done, _total: None  # noqa: E731

    def sweep(rows: list[Bytes], now: int, dry_run: bool = False) -> list[str]:
        return [one.blob_id for one in blob_moves.sweep(tmp_path, target, lambda: rows, now, dry_run, quiet)]

    assert sweep([row], now + DAY_MS - 60_000) == []
    assert sweep([row], now + DAY_MS + 60_000, dry_run=True) == [B]
    assert blobs_in(s3, place) == [A, B]
    with pytest.raises(Refused, match="names none of the 2 blobs in this server's object store; is it the right one"):
        sweep([], now + DAY_MS + 60_000)
    assert sweep([row], now + DAY_MS + 60_000) == [B]
    assert blobs_in(s3, place) == [A]


# --- on PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.mark.docker
def test_a_spine_on_a_database_moves_its_blobs_too(
    process: MakeProcess, database: str, place: Bucket, env: dict[str, str]
) -> None:
    server = Server(process(SPINE_DATABASE_URL=database).start())
    assert '"blobs.on_disk"' in server.process.log()
    assert doctor(server.process)["blobs on disk"][0] == "hint"
    blob = upload(server, b"hello")
    assert server.process.stop() == 0
    done = spine_with_key(server.process, "blobs", "copy", **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 blobs copied (0.0 MiB), 0 were there\n", "")
    server.process.start(**env)
    assert server.head.get(f"/blobs/{blob}").body == b"hello"
    assert doctor(server.process)["blobs"][0] == "ok"
    # A second one on the same database and the same bucket reads what the first took, and the other way round.
    second = Server(process(SPINE_DATABASE_URL=database, **env).start())
    assert second.head.get(f"/blobs/{blob}").body == b"hello"
    assert server.head.get(f"/blobs/{upload(second, b'world')}").body == b"world"
    assert '"blobs.on_disk"' not in second.process.log()
