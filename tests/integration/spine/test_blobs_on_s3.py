"""A server whose blobs are in an object store: what keeps it from starting, the store going away, kills, memory."""

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.raw_http import multipart
from tests.support.s3_server import KEY_ID, SECRET, S3Server
from tests.support.server import MakeProcess, Server
from tests.support.spine_process import SpineProcess, free_port

from spine.blobs.bucket import Bucket

MIB = 1 << 20
BUSY, CONFIG = 75, 78


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with Proxy(s3.port) as found:
        yield found


@pytest.fixture
def place(s3: S3Server) -> Bucket:
    return s3.place()


@pytest.fixture
def env(s3: S3Server, place: Bucket, proxy: Proxy) -> dict[str, str]:
    """Settings of a spine that reaches its bucket through the proxy."""
    return s3.settings(place.url, "BLOB", proxy.url)


def upload(server: Server, content: bytes) -> Any:
    body, headers = multipart(content, "a.bin")
    return server.left.call("POST", "/blobs", body, headers)


def refused(spine: SpineProcess, code: int) -> str:
    """Start a server that must not start; return what it said."""
    spine.launch()
    assert spine.wait(30) == code, spine.log_tail()
    said = [line for line in spine.log().splitlines() if line.startswith("spine: ")]
    assert len(said) == 1, spine.log_tail()
    assert [word for word in ("Traceback", SECRET, KEY_ID) if word in spine.log()] == []
    return said[0]


# --- the start ------------------------------------------------------------------------------------------------------


def test_a_wrong_place_stops_the_start_and_names_the_setting(
    process: MakeProcess, s3: S3Server, env: dict[str, str]
) -> None:
    said = refused(process(**{**env, "SPINE_BLOB_URL": "s3://no-such-bucket/x"}), CONFIG)
    assert said.startswith("spine: SPINE_BLOB_URL: there is no bucket no-such-bucket at ")
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = refused(process(**{**env, "SPINE_BLOB_ENDPOINT": nowhere}), BUSY)
    assert said.startswith(f"spine: SPINE_BLOB_ENDPOINT: {nowhere} cannot be used now (")
    s3.demand_keys()
    try:
        said = refused(process(**env), CONFIG)
    finally:
        s3.demand_keys(False)
    assert said.startswith("spine: SPINE_BLOB_ACCESS_KEY_ID: ")


def test_nothing_of_an_object_store_is_imported_unasked() -> None:
    code = """
import sys, spine.app, spine.serve, spine.cli
print([name for name in sys.modules if name.startswith("obstore") or name == "spine.blobs.objects"])
"""
    repo = Path(__file__).resolve().parents[3]
    env = {"PYTHONPATH": str(repo / "services"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_what_was_left_on_the_disk_is_told(process: MakeProcess, env: dict[str, str]) -> None:
    server = Server(process().start())
    blob = upload(server, b"on the disk").json
    assert server.process.stop() == 0
    server.process.start(**env)
    assert '"blobs.left_on_disk"' in server.process.log()
    answer = server.left.get(blob["url"])
    assert (answer.status, answer.error) == (404, "not_found")
    assert answer.json["detail"] == f"the bytes of {blob['id']} are not in this server's object store"
    assert server.left.call("HEAD", blob["url"]).status == 404


# --- the store goes away ----------------------------------------------------------------------------------------------


def test_a_store_that_goes_away_is_503_and_nothing_is_acknowledged(
    process: MakeProcess, s3: S3Server, place: Bucket, proxy: Proxy, env: dict[str, str]
) -> None:
    server = Server(process(**env).start())
    there = upload(server, b"there").json
    with proxy.away():
        for answer in (upload(server, b"new"), server.left.get(there["url"])):
            assert (answer.status, answer.error, answer.json["retryable"]) == (503, "unavailable", True)
            assert answer.headers["retry-after"] == "1"
            assert [word for word in (place.bucket, proxy.url, KEY_ID) if word in answer.body.decode()] == []
        assert server.head.get("/ready").status == 200, "jobs go on"
        assert b'\nspine_blob_failures_total{worker="0"} 2.0\n' in server.head.get("/metrics").body
        job = server.head.submit(target="left-claw")
        assert server.left.claim(job["id"])["status"] == "running"
    assert server.left.get(there["url"]).body == b"there"
    again = upload(server, b"new")
    assert again.status == 200
    assert len([key for key in s3.keys(place.bucket) if "blob_" in key]) == 2
    assert [path for path in (server.process.data_dir / "blobs").rglob("*") if path.is_file()] == []
    assert server.process.stop() == 0
    assert server.process.faults("blobs.failed") == []
    assert [word for word in (KEY_ID, SECRET) if word in server.process.log()] == []


def test_an_answer_that_breaks_off_is_not_taken_for_the_whole(
    process: MakeProcess, proxy: Proxy, env: dict[str, str]
) -> None:
    server = Server(process(**env).start())
    blob = upload(server, os.urandom(24 * MIB)).json
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", blob["url"], headers=server.left.headers())
    answer = connection.getresponse()
    answer.read(MIB)
    with proxy.away(), pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()
    assert server.left.get(blob["url"]).status == 200


# --- kills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["spine.blob-half", "spine.blob-kept"])
def test_killed_while_a_blob_comes_in(
    process: MakeProcess, s3: S3Server, place: Bucket, env: dict[str, str], point: str
) -> None:
    spine, data = process(**env).start(), os.urandom(20 * MIB)
    server = Server(spine)
    before = upload(server, b"before").json
    spine.kill9()
    spine.start_armed(point)
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(upload, server, data)
        spine.await_point(point)
        spine.kill9()
        with pytest.raises((OSError, http.client.HTTPException)):
            lost.result(30)
    spine.start()
    whole = [key for key in s3.keys(place.bucket) if "blob_" in key]
    assert len(whole) == (1 if point == "spine.blob-half" else 2), "without a row, and nobody was told of it"
    assert list((spine.data_dir / "blobs" / "tmp").iterdir()) == []
    assert server.left.get(before["url"]).body == b"before"
    again = upload(server, data).json
    assert hashlib.sha256(server.left.get(again["url"]).body).hexdigest() == again["sha256"]
    assert spine.stop() == 0
    assert spine.faults() == []


# --- logs, memory -----------------------------------------------------------------------------------------------------


def test_a_log_and_a_large_blob_go_there_with_bounded_memory(
    process: MakeProcess, s3: S3Server, place: Bucket, proxy: Proxy, env: dict[str, str]
) -> None:
    server = Server(process(**env).start())
    job = server.head.submit(target="left-claw")["id"]
    server.left.claim(job)
    log = os.urandom(300_000)
    assert server.left.call("POST", f"/jobs/{job}/log?offset=0", log, {"X-Spine-Fence": "1"}).status == 200
    server.left.post(f"/jobs/{job}/complete")

    assert upload(server, b"warm").status == 200
    before = peak(server.process.worker_pid)
    pass_through(server, 64 * MIB)
    assert peak(server.process.worker_pid) - before < 48 * MIB

    sealed = eventually(lambda: sealed_log(s3, place, 300_000), 40, every=0.2, what="a sealed log")
    eventually(lambda: server.left.get(f"/blobs/{sealed.rpartition('/')[2]}").status == 200, what="its row")
    assert server.left.get(f"/jobs/{job}/log?offset=299990&limit=100").body == log[-10:]
    with proxy.away():
        answer = server.left.get(f"/jobs/{job}/log")
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert server.left.get(f"/jobs/{job}/log").body == log
    s3.client().delete_object(Bucket=place.bucket, Key=sealed)
    gone = server.left.get(f"/jobs/{job}/log")
    assert (gone.status, gone.json["detail"]) == (404, "the bytes of this log are not in this server's object store")


def sealed_log(s3: S3Server, place: Bucket, size: int) -> str | None:
    """Return the key of the object that has so many bytes, None when there is none yet."""
    found = s3.client().list_objects_v2(Bucket=place.bucket)["Contents"]
    return next((one["Key"] for one in found if one["Size"] == size), None)


def pass_through(server: Server, size: int) -> None:
    """Upload a blob and download it again, a mebibyte at a time."""
    block, digest = os.urandom(MIB), hashlib.sha256()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.putrequest("POST", "/blobs")
    for name, value in server.left.headers().items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(head) + size + 9))
    connection.endheaders(head)
    for _ in range(size // MIB):
        connection.send(block)
        digest.update(block)
    connection.send(b"\r\n--b--\r\n")
    blob = json.loads(connection.getresponse().read())
    assert (blob["size"], blob["sha256"]) == (size, digest.hexdigest())
    connection.request("GET", blob["url"], headers=server.left.headers())
    answer, taken, found = connection.getresponse(), hashlib.sha256(), 0
    while piece := answer.read(MIB):
        taken.update(piece)
        found += len(piece)
    connection.close()
    assert (found, taken.hexdigest()) == (size, digest.hexdigest())


def peak(pid: int) -> int:
    """Return the most memory that a process has had (bytes)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
