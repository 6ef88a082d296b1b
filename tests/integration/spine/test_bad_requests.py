"""Bad input outside of bodies: ids, query strings, headers, methods, request lines, protocol tricks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.raw_http import Api, connect, read_answer
from tests.support.server import Server

IDS = [
    "..",
    "../jobs",
    "../../etc/passwd",
    "%2e%2e",
    "%2e%2e%2fhealth",
    "..%2f..%2fspine.db",
    "%2e",
    ".",
    "%00",
    "a%00b",
    "%ff%fe",
    "%ed%a0%80",
    "%c3%28",
    "%F0%9F%A6%80",
    "a%20b",
    "a+b",
    "%25",
    "%",
    "%zz",
    "%0d%0aX-Evil:%201",
    "';DROP TABLE jobs;--".replace(" ", "%20"),
    "*",
    "-1",
    "0",
    "1e30",
    "9" * 30,
    "null",
    "undefined",
    "x" * 4000,
    "%41" * 1000,
]
ROUTES = ["", "/claim", "/heartbeat", "/complete", "/fail", "/release", "/comment", "/attempts", "/events", "/log"]


@pytest.fixture(scope="module")
def job_id(server: Server) -> str:
    return str(server.head.submit(spec="watched")["id"])


@pytest.fixture(autouse=True)
def _nothing_changes(server: Server, job_id: str) -> Iterator[None]:
    before = picture(server)
    yield
    assert picture(server) == before
    assert server.process.faults() == []


def picture(server: Server) -> tuple[Any, ...]:
    return server.head.get("/jobs").body, server.head.get("/events?limit=1000").body


@pytest.mark.parametrize("bad", IDS, ids=lambda bad: bad[:20])
def test_an_id_that_is_none_is_404(server: Server, bad: str) -> None:
    for route in ROUTES:
        for method in ("GET", "POST"):
            body = json.dumps({"text": "x"}).encode() if method == "POST" and route == "/comment" else None
            answer = server.left.call(method, f"/jobs/{bad}{route}", body)
            # A path with dots or slashes in it may be no route at all; some ids are no text.
            assert answer.status in (400, 404, 405, 422), (method, route, answer)
            assert "x-evil" not in answer.headers
    answer = server.head.get(f"/jobs/{bad}")
    assert answer.status in (400, 404, 422)
    if answer.body.startswith(b"{"):
        assert answer.error in ("not_found", "invalid_field")


@pytest.mark.parametrize("length", [9_000, 10_240, 100_000])
def test_an_id_of_ten_kilobytes_is_refused(server: Server, length: int) -> None:
    with connect(server.port) as connection:
        line = b"GET /jobs/" + b"a" * length + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n\r\n"
        try:
            connection.sendall(line)
            assert 400 <= read_answer(connection, "GET").status < 500
        except (OSError, ValueError):
            pass  # hung up on, which will do


def test_dots_do_not_lead_elsewhere(server: Server) -> None:
    for path in (
        "/jobs/../health",
        "/jobs/%2e%2e/health",
        "/blobs/../jobs",
        "/blobs/%2e%2e%2fjobs",
        "/./jobs",
    ):
        answer = server.head.get(path)
        assert answer.status in (400, 404), path


@pytest.mark.parametrize(
    "query",
    [
        "limit=%00",
        "limit=%ff",
        "limit=٣",
        "limit=1_0",
        "limit=+1",
        "limit=0x10",
        "limit=%31%30%30%30%30%31",
        "limit=1e3",
    ],
)
def test_odd_numbers_in_a_query(head: Api, query: str) -> None:
    for path in ("/jobs", "/events"):
        answer = head.get(f"{path}?{query.replace('٣', '%D9%A3')}")
        assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "limit")


@pytest.mark.parametrize(
    "query", ["%00=1", "%ff=1", "=1", "&&&", "=", "a=b=c", "%", "limit", "x" * 3000, "[]=1", "a[b]=1"]
)
def test_odd_query_strings(head: Api, job_id: str, query: str) -> None:
    for path in ("/jobs", "/events", f"/jobs/{job_id}/attempts", f"/jobs/{job_id}/log"):
        assert head.get(f"{path}?{query}").status in (200, 400, 422)


@pytest.mark.parametrize(
    "name", ["X-Worker-Id", "Idempotency-Key", "X-Spine-Fence", "Last-Event-ID", "Range", "Cookie"]
)
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", b"x" * 5000, b"\t", b'"', b"%00", b"\xc3\xbc"])
def test_odd_header_values(server: Server, job_id: str, name: str, value: bytes) -> None:
    answer = server.left.call("POST", f"/jobs/{job_id}/complete", None, {name: value.decode("latin-1")})
    assert 400 <= answer.status < 500
    assert server.left.call("GET", f"/jobs/{job_id}", None, {name: value.decode("latin-1")}).status in (200, 400, 422)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\x00\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: x\r\nX-Worker-Id: a\x00b\r\nAuthorization: Bearer head-token-0001\r\n\r\n",
        b"POST /jobs HTTP/9.9\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /j\xf6bs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /jobs\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"\x00" * 500 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\n Authorization: Bearer head-token-0001\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer head-token-0001\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
        b"Transfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_or_hung_up_on(server: Server, sent: bytes) -> None:
    with connect(server.port) as connection:
        connection.settimeout(5)
        try:
            connection.sendall(sent)
            got = connection.recv(65536)
        except TimeoutError:
            got = b""  # it waits for more of what it takes for a request: no harm
        except OSError:
            got = b""
        if got.startswith(b"HTTP/1.1"):
            assert 400 <= int(got.split()[1]) < 506, got


def test_unknown_methods(server: Server, job_id: str) -> None:
    for method in ("TRACE", "CONNECT", "FOO", "PATCH", "DELETE", "PUT", "get"):
        answer = server.head.call(method, f"/jobs/{job_id}")
        assert 400 <= answer.status < 506, method
