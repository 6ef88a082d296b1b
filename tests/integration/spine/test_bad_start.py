"""What keeps a server from starting: a folder it cannot use, a store that is newer, another server, a taken port."""

import json
import os
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.raw_http import multipart
from tests.support.server import MakeProcess, Server, StartSpine
from tests.support.spine_process import SpineProcess

BUSY, CONFIG = 75, 78


def refused(spine: SpineProcess, code: int) -> str:
    """Start a server that must not start; return what it said."""
    spine.launch()
    assert spine.wait(20) == code, spine.log_tail()
    assert "Traceback" not in spine.log()
    for token in ("head-token-0001", "left-token-0001", "right-token-0001"):
        assert token not in spine.log()
    said = [line for line in spine.log().splitlines() if line.startswith("spine: ")]
    assert len(said) == 1, spine.log_tail()
    return said[0]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that even root cannot write to, where mounting is allowed; else one that its mode protects."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    if not mounted:
        folder.chmod(0o555)
    yield folder
    if mounted:
        subprocess.run(["umount", folder], check=True)
    folder.chmod(0o755)


def test_a_read_only_folder(process: MakeProcess, read_only: Path) -> None:
    if os.access(read_only, os.W_OK):
        pytest.skip("root without the right to mount writes everywhere")
    for data_dir in (read_only, read_only / "deeper"):
        said = refused(process(SPINE_DATA_DIR=str(data_dir)), CONFIG)
        assert said.startswith(f"spine: SPINE_DATA_DIR: {data_dir} ")
        assert list(read_only.iterdir()) == []


def test_a_folder_that_cannot_be_made(process: MakeProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/spine/data")):
        said = refused(process(SPINE_DATA_DIR=str(data_dir)), CONFIG)
        assert said.startswith(f"spine: SPINE_DATA_DIR: {data_dir} ")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_store_of_a_newer_version_is_left_alone(process: MakeProcess) -> None:
    spine = process().start()
    job = Server(spine).head.submit()
    assert spine.stop() == 0
    database = spine.data_dir / "spine.db"
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (9999, 0)")
    connection.close()
    before = database.read_bytes()
    said = refused(spine, CONFIG)
    assert "9999" in said
    assert "newer" in said
    assert database.read_bytes() == before
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE version = 9999")
    connection.close()
    spine.start()
    assert Server(spine).head.job(job["id"]) == job
    assert spine.stop() == 0


def test_a_store_that_cannot_be_brought_up_to_date_is_not_served(process: MakeProcess) -> None:
    """W39: the reference prints a failed migration and goes on with half a database."""
    spine = process().start()
    job = Server(spine).head.submit()
    assert spine.stop() == 0
    database = spine.data_dir / "spine.db"
    with sqlite3.connect(database) as connection:  # as if a migration had yet to come whose last steps cannot be taken
        connection.execute("DELETE FROM schema_migrations WHERE version >= 7")
        connection.execute("DROP INDEX jobs_skyclaw")
    connection.close()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        before = list(connection.iterdump())
    connection.close()
    for _ in range(2):  # nothing that failed is half done at the next start
        spine.log_path.unlink()
        assert refused(spine, CONFIG) == f"spine: {database} cannot be used: index jobs_held already exists"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        assert list(connection.iterdump()) == before
        assert connection.execute("SELECT id FROM jobs").fetchall() == [(job["id"],)]
    connection.close()


def test_stopping_says_how_the_log_was_folded(process: MakeProcess) -> None:
    spine = process().start()
    Server(spine).head.submit()
    assert (spine.data_dir / "spine.db-wal").stat().st_size > 0
    assert spine.stop() == 0
    assert sorted(path.name for path in spine.data_dir.glob("spine.db*")) == ["spine.db"]
    lines = [json.loads(line) for line in spine.log().splitlines() if "store.checkpoint" in line]
    assert [(line["kind"], line["busy"], line["level"]) for line in lines] == [("truncate", False, "info")]


def test_a_file_that_is_no_store(process: MakeProcess) -> None:
    spine = process()
    spine.data_dir.mkdir()
    database = spine.data_dir / "spine.db"
    database.write_bytes(b"This is not a database, and it must not become one." * 100)
    before = database.read_bytes()
    said = refused(spine, CONFIG)
    assert str(spine.data_dir) in said
    assert database.read_bytes() == before


def test_a_folder_that_is_served_already(start_spine: StartSpine, process: MakeProcess) -> None:
    server = start_spine()
    job = server.head.submit()
    second = process(SPINE_DATA_DIR=str(server.process.data_dir))
    said = refused(second, BUSY)
    assert f"process {server.process.worker_pid};" in said
    assert str(server.process.data_dir) in said
    # The first one has not noticed.
    assert server.head.job(job["id"]) == job
    assert server.head.post("/jobs", {}).status == 201


def test_a_lock_file_of_a_dead_server_is_no_hindrance(process: MakeProcess) -> None:
    spine = process().start()
    spine.kill9()
    assert (spine.data_dir / "spine.lock").exists()
    spine.start()
    assert spine.stop() == 0


def test_a_port_in_use(process: MakeProcess) -> None:
    spine = process()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        spine.port = other.getsockname()[1]
        said = refused(spine, BUSY)
        assert said.startswith("spine: SPINE_HOST, SPINE_PORT: cannot listen on 127.0.0.1:")
        assert str(spine.port) in said
    assert not spine.data_dir.exists()


def test_a_port_in_use_by_another_spine(start_spine: StartSpine, process: MakeProcess) -> None:
    server = start_spine()
    second = process()
    second.port = server.port
    assert str(server.port) in refused(second, BUSY)
    assert server.head.get("/ready").status == 200


@pytest.mark.parametrize("host", ["203.0.113.7", "nosuchhost.invalid", "999.1.1.1"])
def test_an_address_that_is_not_ours(process: MakeProcess, host: str) -> None:
    said = refused(process(SPINE_HOST=host), BUSY)
    assert said.startswith(f"spine: SPINE_HOST, SPINE_PORT: cannot listen on {host}:")


def test_left_overs_of_uploads_are_cleared_at_the_start(process: MakeProcess) -> None:
    spine = process().start()
    assert spine.stop() == 0
    left = spine.data_dir / "blobs" / "tmp" / "upload-left"
    left.write_bytes(b"half")
    spine.start()
    assert not left.exists()
    assert spine.stop() == 0


def test_what_it_makes_is_for_its_user_alone(start_spine: StartSpine) -> None:
    server = start_spine()
    body, headers = multipart(b"bytes")
    assert server.left.call("POST", "/blobs", body, headers).status == 200
    for path in (server.process.data_dir, *server.process.data_dir.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
