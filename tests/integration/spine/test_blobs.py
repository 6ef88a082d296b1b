"""Blobs: streamed in and out, whole or in ranges, as attachments, to those who may read them. On a disk and on S3."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.raw_http import Answer, Api, multipart
from tests.support.s3_server import S3Server
from tests.support.server import Server, StartSpine, claw_tokens
from tests.support.spine_process import SpineProcess

FORM = "multipart/form-data; boundary=limit"
PART = b'--limit\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


@pytest.fixture(scope="module", params=["disk", "s3"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the whole module, with its blobs in its folder, and one with them in a bucket."""
    env = {"CLAW_TOKENS": claw_tokens(400)}
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        env |= s3.settings(s3.place().url, "BLOB")
    process = SpineProcess(tmp_path_factory.mktemp("spine"), env).start()
    yield Server(process)
    assert process.stop() == 0, process.log_tail()
    assert process.faults() == [], process.log_tail()


def upload(api: Api, content: bytes, filename: str = "a.bin", kind: str = "application/octet-stream") -> dict[str, Any]:
    body, headers = multipart(content, filename, content_type=kind)
    answer = api.call("POST", "/blobs", body, headers)
    assert answer.status == 200, answer
    blob: dict[str, Any] = answer.json
    return blob


def ranged(api: Api, blob_id: str, value: str) -> Answer:
    return api.get(f"/blobs/{blob_id}", {"Range": value})


def test_what_went_in_comes_out(claw: Api) -> None:
    content = os.urandom(3_000_000)
    blob = upload(claw, content, "build.log", "text/plain; charset=utf-8")
    digest = hashlib.sha256(content).hexdigest()
    assert (blob["size"], blob["sha256"], blob["filename"]) == (3_000_000, digest, "build.log")
    assert blob["contentType"] == "text/plain; charset=utf-8"
    assert blob["url"] == f"/blobs/{blob['id']}"
    assert set(blob) == {"id", "filename", "size", "sha256", "contentType", "createdAt", "url"}
    answer = claw.get(blob["url"])
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-length"] == "3000000"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''build.log"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{digest}"'


def test_head_has_the_headers_and_no_body(claw: Api) -> None:
    blob = upload(claw, b"0123456789")
    whole, head = claw.get(blob["url"]), claw.call("HEAD", blob["url"])
    assert (head.status, head.body) == (200, b"")
    kept = ("content-length", "content-type", "etag", "content-disposition", "accept-ranges")
    assert {n: head.headers[n] for n in kept} == {n: whole.headers[n] for n in kept}


def test_an_empty_file(claw: Api) -> None:
    blob = upload(claw, b"")
    assert (blob["size"], blob["sha256"]) == (0, hashlib.sha256(b"").hexdigest())
    answer = claw.get(blob["url"])
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("value", "body", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-99", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
def test_a_range(claw: Api, value: str, body: bytes, content_range: str) -> None:
    blob = upload(claw, b"0123456789")
    answer = ranged(claw, blob["id"], value)
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, body, content_range)
    assert answer.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("value", ["bytes=0-9", "bytes=0-", "bytes=-10", "bytes=-99"])
def test_a_range_that_is_all(claw: Api, value: str) -> None:
    blob = upload(claw, b"0123456789")
    answer = ranged(claw, blob["id"], value)
    assert answer.status in (200, 206)
    assert answer.body == b"0123456789"


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-20", f"bytes={10**30}-"])
def test_a_range_outside_is_416_with_the_size(claw: Api, value: str) -> None:
    blob = upload(claw, b"0123456789")
    answer = ranged(claw, blob["id"], value)
    assert (answer.status, answer.error, answer.json["size"]) == (416, "bad_range", 10)
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=a-b", "bytes=-", "bytes", "bytes=--1", "bytes=0-1,3-4", "x=1-2"])
def test_a_range_that_cannot_be_read_does_no_harm(claw: Api, value: str) -> None:
    blob = upload(claw, b"0123456789")
    answer = ranged(claw, blob["id"], value)
    assert answer.status in (200, 416, 422)
    if answer.status == 200:
        assert answer.body == b"0123456789"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\temp\\\\x.txt", "x.txt"),
        ("naïve ü.txt", "naïve ü.txt"),
        ("", "file"),
        ("a" * 300, "a" * 255),
        ("..", ".."),
    ],
)
def test_a_filename_is_only_a_name(server: Server, claw: Api, sent: str, kept: str) -> None:
    blob = upload(claw, b"x", sent)
    assert blob["filename"] == kept
    disposition = claw.get(blob["url"]).headers["content-disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert disposition.isascii()
    assert "/" not in disposition
    assert not (server.process.data_dir / "passwd").exists()


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "not a type", "text/html; x=<script>"])
def test_nothing_of_it_runs_in_a_browser(claw: Api, kind: str) -> None:
    blob = upload(claw, b"<script>alert(1)</script>", "x.html", kind)
    answer = claw.get(blob["url"])
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == (
        kind if kind in ("text/html", "image/svg+xml") else "application/octet-stream"
    )


def test_who_may_read(server: Server, head: Api, name: str) -> None:
    mine, other = server.claw(name), server.right
    blob = upload(mine, b"secret")
    assert head.get(blob["url"]).status == 200
    assert mine.by("another").get(blob["url"]).status == 200
    answer = other.get(blob["url"])
    assert (answer.status, answer.error) == (403, "forbidden")
    assert other.call("HEAD", blob["url"]).status == 403
    assert server.nobody.get(blob["url"]).status == 401
    job_id = head.submit(target="right-claw", spec={"input": blob["url"]})["id"]
    assert other.get(blob["url"]).body == b"secret"
    assert server.left.get(blob["url"]).status == 403
    assert head.job(job_id)["spec"] == {"input": blob["url"]}


@pytest.mark.parametrize("where", ["meta", "comment", "result", "spec"])
def test_a_job_that_names_a_blob_opens_it_to_its_claws(server: Server, head: Api, name: str, where: str) -> None:
    blob = upload(head, b"x")
    claw = server.claw(name)
    assert claw.get(blob["url"]).status == 403
    fields = {where: {"a": [f"see {blob['id']}."]}} if where in ("meta", "spec") else {}
    job_id = head.submit(target=name, **fields)["id"]
    if where == "comment":
        head.post(f"/jobs/{job_id}/comment", {"text": f"see {blob['id']}"})
    if where == "result":
        claw.claim(job_id)
        claw.post(f"/jobs/{job_id}/complete", {"result": {"artifacts": [{"name": "a", "url": blob["url"]}]}})
    assert claw.get(blob["url"]).status == 200


def test_an_artifact_is_read_by_those_who_see_the_result(server: Server, head: Api, claw: Api, name: str) -> None:
    blob = upload(claw, b"artifact")
    job_id = head.submit(target="any", requires=[f"only-{name}"])["id"]
    claw.claim(job_id, capabilities=[f"only-{name}"])
    assert server.left.get(blob["url"]).status == 403
    claw.post(f"/jobs/{job_id}/complete", {"result": {"artifacts": [{"name": "a", "url": blob["url"]}]}})
    assert server.left.get(blob["url"]).body == b"artifact"


@pytest.mark.parametrize(
    "blob_id", ["nosuch", "blob_" + "0" * 24, "..%2F..%2Fspine.db", "%00", "blob_..%2f", "x" * 4000]
)
def test_an_unknown_blob_is_404(head: Api, blob_id: str) -> None:
    answer = head.get(f"/blobs/{blob_id}")
    assert (answer.status, answer.error) == (404, "not_found")


def test_a_blob_over_its_limit_is_413_and_leaves_nothing(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_BLOB_MAX_BYTES="100000")
    assert upload(server.left, b"x" * 100_000)["size"] == 100_000
    files = sorted((server.process.data_dir / "blobs").rglob("*"))
    body, headers = multipart(b"x" * 100_001)
    answer = server.left.call("POST", "/blobs", body, headers)
    assert (answer.status, answer.error, answer.json["limit"]) == (413, "too_large", 100_000)
    assert sorted((server.process.data_dir / "blobs").rglob("*")) == files


def test_only_the_first_file_counts_and_other_fields_are_passed_over(claw: Api) -> None:
    def part(name: str, filename: str, content: bytes) -> bytes:
        about = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        return b"--limit\r\n" + about.encode() + content + b"\r\n"

    body = part("note", "n", b"1") + part("file", "one", b"first") + part("file", "two", b"second") + b"--limit--\r\n"
    answer = claw.call("POST", "/blobs", body, {"Content-Type": "multipart/form-data; boundary=limit"})
    assert (answer.status, answer.json["filename"], answer.json["size"]) == (200, "one", 5)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"garbage", FORM),
        (PART + b"half", FORM),
        (
            PART + b"x\r\n--limit",
            "multipart/form-data; boundary=limit",
        ),
        (b"--limit\r\nX: " + b"y" * 20_000 + b"\r\n\r\nx\r\n--limit--\r\n", FORM),
        (b"--limit--\r\n", "multipart/form-data"),
        (b"x" * 100, "multipart/form-data; boundary=" + "b" * 200),
        (b"--limit\r\n\r\n\r\n" * 40 + b"--limit--\r\n", FORM),
        (b"", FORM),
    ],
)
def test_a_form_that_is_broken_is_refused_and_leaves_nothing(server: Server, claw: Api, body: bytes, kind: str) -> None:
    files = sorted((server.process.data_dir / "blobs").rglob("*"))
    answer = claw.call("POST", "/blobs", body, {"Content-Type": kind})
    assert answer.status in (400, 422), answer
    assert answer.error in ("missing_file", "invalid_field")
    assert sorted((server.process.data_dir / "blobs").rglob("*")) == files
