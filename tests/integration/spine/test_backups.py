"""Backups that a server makes by itself, on a disk and in an object store; restored from there, and served."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.spine.test_operations import spine, upload
from tests.support.eventually import eventually
from tests.support.figures import figure
from tests.support.s3_server import KEY_ID, SECRET, S3Server
from tests.support.server import MakeProcess, Server, StartSpine
from tests.support.spine_process import SpineProcess

from spine.store import lock

BUCKET = "spine-backups"
URL = f"s3://{BUCKET}/fleet/one"


@pytest.fixture(scope="module")
def module_s3() -> Iterator[S3Server]:
    found = S3Server().start()
    yield found
    found.stop()


@pytest.fixture
def s3(module_s3: S3Server) -> Iterator[S3Server]:
    """An empty bucket in a server that runs."""
    if not module_s3.answers():
        module_s3.start()
    client = module_s3.client()
    client.create_bucket(Bucket=BUCKET)
    yield module_s3
    if module_s3.answers():
        for key in module_s3.keys(BUCKET):
            client.delete_object(Bucket=BUCKET, Key=key)
        client.delete_bucket(Bucket=BUCKET)


def made(process: SpineProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log().splitlines() if '"backup.made"' in line]


def doctor(process: SpineProcess, **more: str) -> dict[str, tuple[str, str]]:
    """Return what `doctor` says, run with the server's tokens: it looks at the settings too."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "spine.cli", "doctor", "--json"],
        env={**process.environment(), **more}, capture_output=True, text=True, timeout=180, cwd=process.folder,
    )  # fmt: skip
    return {check["name"]: (check["state"], check["detail"]) for check in json.loads(done.stdout)["checks"]}


def test_on_a_disk_kept_pruned_and_restored(start_spine: StartSpine, process: MakeProcess, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    server = start_spine(SPINE_BACKUP_DIR=str(folder), SPINE_BACKUP_EVERY_SECONDS="1", SPINE_BACKUP_KEEP="2",
                         SPINE_BACKUP_KEEP_DAYS="0")  # fmt: skip
    blob = upload(server, b"hello")
    job = server.head.submit(meta={"see": blob})
    known = len(made(server.process))
    eventually(lambda: len(made(server.process)) >= known + 2, 30, what="two more backups")
    assert figure(server.head, "spine_backup_newest_timestamp_seconds") > 1_700_000_000
    assert figure(server.head, "spine_backup_failures_total") == 0
    assert doctor(server.process)["backups"][0] == "ok"
    assert server.process.stop() == 0
    assert server.process.faults() == []

    listed = spine(server.process, "backups", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    names = [one["name"] for one in json.loads(listed.stdout)["backups"]]
    assert len(names) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)

    again = spine(server.process, "restore", names[0])
    assert (again.returncode, "is not empty; give --replace" in again.stderr) == (1, True)
    done = spine(server.process, "restore", names[0], data=tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, "")
    new = Server(process(SPINE_DATA_DIR=str(tmp_path / "new")).start())
    assert new.head.job(job["id"])["status"] == "queued"
    assert new.head.get(f"/blobs/{blob}").body == b"hello"


def test_in_a_bucket_kept_pruned_and_restored(
    start_spine: StartSpine, process: MakeProcess, s3: S3Server, tmp_path: Path
) -> None:
    s3.client().put_object(Bucket=BUCKET, Key="fleet/one/notes.txt", Body=b"not ours")
    s3.client().put_object(Bucket=BUCKET, Key="fleet/one/spine-20200101T000000Z/spine.db", Body=b"was cut off")
    server = start_spine(**s3.settings(URL))
    data = b"0123456789abcdef" * 700_000  # more than one piece each way
    blob = upload(server, data)
    job = server.head.submit(meta={"see": blob})
    eventually(lambda: made(server.process), 30, what="the first backup")

    done = spine_with_key(server.process, "backups", "make")
    assert (done.returncode, done.stderr) == (0, "")
    name = done.stdout.partition(":")[0]
    assert done.stdout == f"{name}: 1 jobs (1 queued), 1 events, 1 blobs (10.7 MiB)\n"
    assert [key for key in s3.keys(BUCKET) if name in key] == [
        f"fleet/one/{name}/blobs/{blob.removeprefix('blob_')[:2]}/{blob}",
        f"fleet/one/{name}/manifest.json",
        f"fleet/one/{name}/spine.db",
    ]
    left = {key.split("/")[2] for key in s3.keys(BUCKET)}
    assert "notes.txt" in left
    assert "spine-20200101T000000Z" not in left, "what was cut off long ago is swept"
    assert [path.name for path in server.process.data_dir.glob(".backup-*")] == []

    served = spine_with_key(server.process, "restore", f"{URL}/{name}", "--replace")
    assert served.returncode == 75, "a store that is served is not touched"
    assert server.head.job(job["id"])["status"] == "queued"

    killed, goes_on = tmp_path / "new" / ".fetched-killed", tmp_path / "new" / ".fetched-goes-on"
    for folder in (killed, goes_on):
        folder.mkdir(parents=True)
        (folder / "spine.db").write_bytes(b"a copy of the store")
    held = lock.take_folder(goes_on)
    assert held is not None
    restored = spine_with_key(server.process, "restore", f"{URL}/{name}", data=tmp_path / "new")
    assert (restored.returncode, restored.stderr) == (0, "")
    assert goes_on.exists(), "another process fetches into it"
    os.close(held)
    shutil.rmtree(goes_on)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["blobs", "spine.db", "spine.lock"]
    new = Server(process(SPINE_DATA_DIR=str(tmp_path / "new")).start())
    assert new.head.job(job["id"])["status"] == "queued"
    assert new.head.get(f"/blobs/{blob}").body == data

    pruned = spine_with_key(server.process, "backups", "make", SPINE_BACKUP_KEEP="1", SPINE_BACKUP_KEEP_DAYS="0")
    assert pruned.returncode == 0, pruned.stderr
    only = pruned.stdout.partition(":")[0]
    assert f"deleted {name}\n" in pruned.stdout
    assert {key.split("/")[2] for key in s3.keys(BUCKET)} == {only, "notes.txt"}
    assert KEY_ID not in server.process.log()
    assert SECRET not in server.process.log()
    assert server.process.faults() == []


def spine_with_key(process: SpineProcess, *args: str, data: Path | None = None, **more: str) -> Any:
    """Run a command with the settings of a server, the tokens apart."""
    process_env = dict(process._env)
    process._env.update(more)
    try:
        return spine(process, *args, data=data)
    finally:
        process._env = process_env


def test_a_store_of_objects_that_is_away_is_told_and_tried_again(process: MakeProcess, s3: S3Server) -> None:
    s3.stop()
    server = Server(process(**s3.settings(URL), SPINE_BACKUP_EVERY_SECONDS="1").start())
    job = server.head.submit()
    eventually(lambda: "backup.failed" in server.process.log(), 60, what="a failure in the log")
    eventually(lambda: figure(server.head, "spine_backup_failures_total") >= 1)
    said = doctor(server.process)["backups"]
    assert said[0] == "failed"
    assert URL in said[1]
    assert server.head.job(job["id"])["status"] == "queued", "the server serves all the same"
    s3.start(BUCKET)
    eventually(lambda: made(server.process), 60, what="a backup")
    assert doctor(server.process)["backups"][0] == "ok"
    assert server.process.stop() == 0
    assert server.process.faults("backup.failed") == []


def test_one_that_was_changed_or_is_not_whole_is_refused(start_spine: StartSpine, s3: S3Server, tmp_path: Path) -> None:
    server, client = start_spine(), s3.client()
    upload(server, b"hello")
    server.process._env.update(s3.settings(URL))
    name = spine(server.process, "backups", "make").stdout.partition(":")[0]
    for what, said in (
        ("spine.db", "is not the file that was written"),
        ("blobs", "are not those that were stored"),
        ("manifest.json", "holds no backup"),
    ):
        key = next(key for key in s3.keys(BUCKET) if what in key)
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        if what == "manifest.json":
            client.delete_object(Bucket=BUCKET, Key=key)
        else:
            changed = bytearray(body)
            changed[len(body) // 2] ^= 1
            client.put_object(Bucket=BUCKET, Key=key, Body=bytes(changed))
        refused = spine(server.process, "restore", name, data=tmp_path / "new")
        assert (refused.returncode, refused.stdout) == (65, ""), refused.stderr
        assert said in refused.stderr
        assert not (tmp_path / "new").exists()
        client.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert spine(server.process, "restore", name, data=tmp_path / "new").returncode == 0


def test_a_bucket_that_is_not_there_and_a_name_that_is_none(start_spine: StartSpine, s3: S3Server) -> None:
    server = start_spine()
    server.process._env.update(s3.settings("s3://no-such-bucket/x"))
    done = spine(server.process, "backups", "make")
    assert done.returncode == 1
    assert done.stderr.startswith("spine: s3://no-such-bucket/x: ")
    assert "NoSuchBucket" in done.stderr
    for path in (URL, "s3://", "nothing", f"{URL}/spine-today"):
        assert spine(server.process, "restore", path).returncode == 2, path
    nowhere = spine(Server(start_spine().process).process, "backups", "list")
    assert (nowhere.returncode, nowhere.stderr) == (
        1,
        "spine: there is no place for backups; set SPINE_BACKUP_DIR or SPINE_BACKUP_URL\n",
    )
