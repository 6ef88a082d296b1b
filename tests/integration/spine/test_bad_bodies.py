"""Bad input in bodies: malformed, huge, deep, wrong, half, slow. Each time the answer, and that nothing changed."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, Api, connect, multipart, read_answer
from tests.support.server import Server, StartSpine

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def watched(server: Server) -> dict[str, str]:
    """Jobs that no bad call may change: one that waits in the queue and one that runs, both for left-claw."""
    queued = server.head.submit(spec="queued", meta={"a": 1})["id"]
    running = server.head.submit(spec="running")["id"]
    server.left.claim(running)
    return {"queued": queued, "running": running}


@pytest.fixture(autouse=True)
def _nothing_changes(server: Server, watched: dict[str, str], request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare list, events and files before and after each test of this module."""
    before = picture(server)
    yield
    if request.node.get_closest_marker("usefixtures") is None:
        assert picture(server) == before


def picture(server: Server) -> tuple[Any, ...]:
    files = sorted(str(f) for f in (server.process.data_dir / "blobs").rglob("*") if f.parent.name != "tmp")
    return (server.head.get("/jobs").body, server.head.get("/events?limit=1000").body, files)


# Every route that takes a JSON body; Q stands for the queued job, R for the running one.
ROUTES = (
    "/jobs",
    "/jobs/claim",
    "/jobs/Q/claim",
    "/jobs/R/heartbeat",
    "/jobs/R/complete",
    "/jobs/R/fail",
    "/jobs/R/release",
    "/jobs/R/comment",
)


def send(server: Server, watched: dict[str, str], route: str, body: bytes) -> Answer:
    api = server.head if route == "/jobs" else server.left.by("w1") if route == "/jobs/claim" else server.left
    path = route.replace("Q", watched["queued"]).replace("R", watched["running"])
    return api.call("POST", path, body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"{]",
        b'{"a":}',
        b'{"a" 1}',
        b'{"spec":"x",}',
        b"{'spec':'x'}",
        b"nonsense",
        b'{"spec":"x"} trailing',
        b'{"spec":"x"}{"spec":"y"}',
        b'{"spec":NaN}',
        b'{"spec":Infinity}',
        b'{"spec":"\x00"}',
        b'{"spec":"\n"}',
        b'{"spec":"\xff\xfe"}',
        b'{"spec":"\xed\xa0\x80"}',
        b"\xff\xfe{}",
        '{"spec":"x"}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"spec=x&target=any",
        b'{"spec":"\\x41"}',
        b'{"spec":01}',
        b"\x00",
    ],
)
def test_what_is_not_json_is_400(server: Server, watched: dict[str, str], route: str, body: bytes) -> None:
    answer = send(server, watched, route, body)
    assert (answer.status, answer.error) == (400, "bad_json")


NO_OBJECTS = (b"[]", b"null", b'"x"', b"1", b"true", b"[{}]", b'[{"spec":1}]')


@pytest.mark.parametrize(
    ("route", "body"),
    # A list of objects is a list of jobs where jobs are submitted.
    [(route, body) for route in ROUTES for body in NO_OBJECTS if route != "/jobs" or not body.startswith(b"[{")],
)
def test_a_body_that_is_no_object_is_422(server: Server, watched: dict[str, str], route: str, body: bytes) -> None:
    answer = send(server, watched, route, body)
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", "body")


# --- wrong types and values ----------------------------------------------------------------------------------------

_WRONG: list[tuple[str, str, list[Any]]] = [
    ("/jobs", "target", [1, True, [], {}, "", "x" * 65, "A", "../x", "left claw", "ü"]),
    ("/jobs", "meta", [1, True, [], "text", 1.5]),
    ("/jobs", "maxAttempts", [0, -1, 1.5, "3", True, [], {}, 1001, 10**30, -(10**30)]),
    ("/jobs", "priority", [101, -101, 0.5, "1", None, True, 10**30]),
    ("/jobs", "timeoutSeconds", [0, -1, 1.5, "1", True, 2_592_001, 10**30]),
    ("/jobs", "requires", [1, None, "git", {}, ["x"] * 33]),
    ("/jobs", "label", [1, True, [], {}, "x" * 201]),
    ("/jobs", "parentId", [1, True, [], "", "x" * 65]),
    ("/jobs", "traceparent", [1, "", "00-x-y-01", "00-" + "0" * 32 + "-" + "0" * 16]),
    ("/jobs/R/fail", "error", [1, True, [], {}, 1.5]),
    ("/jobs/R/fail", "requeue", [1, 0, "true", [], {}]),
    ("/jobs/R/release", "reason", [1, True, [], {}]),
    ("/jobs/R/release", "countAttempt", [1, "false", None]),
    ("/jobs/R/comment", "text", [1, None, True, [], {}]),
    ("/jobs/Q/claim", "capabilities", [1, "git", None, {}]),
]
WRONG = [(route, field, value) for route, field, values in _WRONG for value in values]


@pytest.mark.parametrize(("route", "field", "value"), WRONG)
def test_a_wrong_value_is_422_and_names_the_field(
    server: Server, watched: dict[str, str], route: str, field: str, value: Any
) -> None:
    answer = send(server, watched, route, json.dumps({field: value}).encode())
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)
    assert answer.json["detail"].startswith(f"{field}: ")


def test_a_comment_needs_its_text(server: Server, watched: dict[str, str]) -> None:
    for body in (b"", b"{}"):
        answer = send(server, watched, "/jobs/R/comment", body)
        assert (answer.status, answer.error) == (422, "invalid_field")
        assert "text" in answer.json["detail"]


@pytest.mark.parametrize("number", ["1" + "0" * 30, "-1" + "0" * 30, "1e400", "-1e400", "1.5", "0.0", "-0", "9" * 5000])
def test_odd_numbers_where_a_whole_one_belongs(server: Server, watched: dict[str, str], number: str) -> None:
    for route, field in (("/jobs", "maxAttempts"), ("/jobs", "timeoutSeconds"), ("/jobs/R/heartbeat", "fence")):
        if number == "-0" and field == "fence":
            continue  # it is zero, a fence that is stale
        answer = send(server, watched, route, f'{{"{field}":{number}}}'.encode())
        assert answer.status in (400, 422), answer
        assert answer.error in ("bad_json", "invalid_field")


# --- NUL and lone surrogates ---------------------------------------------------------------------------------------

TEXTS = [
    ("/jobs", '{"spec":"%s"}', "spec"),
    ("/jobs", '{"spec":{"a":["%s"]}}', "spec.a[0]"),
    ("/jobs", '{"spec":{"%s":1}}', "spec"),
    ("/jobs", '{"meta":{"a":"%s"}}', "meta.a"),
    ("/jobs", '{"meta":{"%s":1}}', "meta"),
    ("/jobs", '{"label":"%s"}', "label"),
    ("/jobs", '{"parentId":"%s"}', "parentId"),
    ("/jobs", '{"target":"%s"}', "target"),
    ("/jobs", '{"requires":["%s"]}', "requires[0]"),
    ("/jobs/R/heartbeat", '{"progress":"%s"}', "progress"),
    ("/jobs/R/heartbeat", '{"progress":[{"x":{"y":"%s"}}]}', "progress[0].x.y"),
    ("/jobs/R/complete", '{"result":{"notes":"%s"}}', "result.notes"),
    ("/jobs/R/fail", '{"error":"%s"}', "error"),
    ("/jobs/R/release", '{"reason":"%s"}', "reason"),
    ("/jobs/R/comment", '{"text":"%s"}', "text"),
]


@pytest.mark.parametrize(("route", "body", "field"), TEXTS)
@pytest.mark.parametrize("bad", ["\\u0000", "a\\u0000b", "\\ud800", "\\udfff x", "\\udc00\\ud800", "ok \\uD83D"])
def test_a_text_that_no_store_can_keep_is_422(
    server: Server, watched: dict[str, str], route: str, body: str, field: str, bad: str
) -> None:
    answer = send(server, watched, route, body.replace("%s", bad).encode())
    assert (answer.status, answer.error, answer.json["field"]) == (422, "invalid_field", field)


@pytest.mark.parametrize("bad", ["\\u0000", "\\ud800"])
def test_an_unknown_member_with_such_a_name_changes_nothing(server: Server, watched: dict[str, str], bad: str) -> None:
    answer = send(server, watched, "/jobs/R/fail", f'{{"{bad}zz":1,"requeue":"x"}}'.encode())
    assert answer.status in (400, 422)


@pytest.mark.usefixtures("watched")
def test_an_escaped_pair_of_surrogates_is_a_character(server: Server) -> None:
    answer = server.head.call("POST", "/jobs", b'{"spec":"\\ud83e\\udd80 \\\\u0000 \\\\ud800"}')
    assert answer.status == 201
    assert server.head.job(answer.json["id"])["spec"] == "🦀 \\u0000 \\ud800"


@pytest.mark.parametrize("path", ["/jobs?target=%00", "/jobs?label=%ED%A0%80", "/jobs?machine=%FF", "/jobs?target=%"])
def test_such_texts_in_a_query_find_nothing(server: Server, path: str) -> None:
    answer = server.head.get(path)
    assert answer.status in (200, 422)
    if answer.status == 200:
        assert answer.json["jobs"] == []


# --- huge ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_over_a_mebibyte_is_413(server: Server, watched: dict[str, str], route: str) -> None:
    answer = send(server, watched, route, b'{"spec":"' + b"x" * MIB + b'"}')
    assert (answer.status, answer.error, answer.json["limit"]) == (413, "too_large", MIB)


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ("/jobs", "spec"),
        ("/jobs", "meta"),
        ("/jobs/R/heartbeat", "progress"),
        ("/jobs/R/complete", "result"),
        ("/jobs/R/fail", "error"),
        ("/jobs/R/release", "reason"),
    ],
)
def test_a_member_over_its_limit_is_413(server: Server, watched: dict[str, str], route: str, field: str) -> None:
    value = {"a": "x" * (256 * KIB)} if field == "meta" else "x" * (256 * KIB + 1)
    answer = send(server, watched, route, json.dumps({field: value}).encode())
    assert (answer.status, answer.error) == (413, "too_large")
    assert (answer.json["field"], answer.json["limit"]) == (field, 256 * KIB)


@pytest.mark.parametrize("text", ["x" * (16 * KIB + 1), "ü" * (8 * KIB + 1)])
def test_a_comment_over_16_kib_is_413(server: Server, watched: dict[str, str], text: str) -> None:
    answer = send(server, watched, "/jobs/R/comment", json.dumps({"text": text}, ensure_ascii=False).encode())
    assert (answer.status, answer.error) == (413, "too_large")
    assert (answer.json["field"], answer.json["limit"]) == ("text", 16 * KIB)


@pytest.mark.usefixtures("watched")
def test_exactly_at_the_limits_is_fine(server: Server, name: str) -> None:
    head, claw = server.head, server.claw(name)
    job = head.submit(target=name, spec="x" * (256 * KIB - 2), meta={"a": "y" * (256 * KIB - 9)})
    assert len(head.job(job["id"])["spec"]) == 256 * KIB - 2
    assert claw.post(f"/jobs/{job['id']}/comment", {"text": "x" * 16 * KIB}).status == 200
    claw.claim(job["id"])
    assert claw.post(f"/jobs/{job['id']}/complete", {"result": "x" * (256 * KIB - 2)}).status == 200
    body = b'{"spec":1' + b" " * (MIB - 10) + b"}"
    assert len(body) == MIB
    assert head.call("POST", "/jobs", body).status == 201


def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
            b"Content-Length: 99999999999999\r\n\r\n"
        )
        answer = read_answer(connection)
    assert (answer.status, answer.error) == (413, "too_large")


def test_a_chunked_body_that_is_too_large_is_413(server: Server) -> None:
    def chunks() -> bytes:
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        return piece * 20 + b"0\r\n\r\n"

    with connect(server.port) as connection:
        connection.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        try:
            connection.sendall(chunks())
        except OSError:
            pass  # the answer may come, and the connection end, before all was sent
        answer = read_answer(connection)
    assert (answer.status, answer.error) == (413, "too_large")


def test_what_follows_a_refused_body_is_not_taken_for_a_request(server: Server) -> None:
    hidden = b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\nContent-Length: 2\r\n\r\n{}"
    with connect(server.port) as connection:
        connection.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
            b"Content-Length: %d\r\n\r\n" % (2 * MIB)
        )
        answer = read_answer(connection)
        assert answer.status == 413
        try:
            connection.sendall(hidden * 3)
            connection.settimeout(3)
            while connection.recv(65536):
                pass
        except OSError:
            pass
    # `_nothing_changes` sees that no job was made of it.


def test_huge_headers_and_lines_are_refused(server: Server) -> None:
    for sent in (
        b"GET /jobs?" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: x\r\nX-Big: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: x\r\n" + b"X-Many: y\r\n" * 2000 + b"\r\n",
    ):
        with connect(server.port) as connection:
            try:
                connection.sendall(sent)
                status = int(connection.makefile("rb").readline().split()[1])
            except (OSError, IndexError):
                continue  # hung up on, which will do
            assert 400 <= status < 500


# --- deep ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2_000, 100_000, 500_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize(("route", "field"), [("/jobs", "spec"), ("/jobs/R/complete", "result"), ("/jobs", "zzz")])
def test_deep_nesting_is_refused_and_harms_nothing(
    server: Server, watched: dict[str, str], route: str, field: str, opened: str, closed: str, depth: int
) -> None:
    deep = opened * depth + "1" + closed * depth
    body = f'{{"{field}":{deep}}}'.encode()
    answer = send(server, watched, route, body)
    if len(body) > MIB:
        assert (answer.status, answer.error) == (413, "too_large")
    else:
        assert answer.status in (400, 413, 422), answer
        assert answer.error in ("bad_json", "too_large", "invalid_field")
    assert send(server, watched, route, deep.encode()).status in (400, 413, 422)
    assert server.head.get("/ready").status == 200


# --- half and slow -------------------------------------------------------------------------------------------------

HEADER = b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer head-token-0001\r\n"
HALVES = [
    HEADER + b'Content-Length: 100\r\n\r\n{"spec":"half',
    HEADER + b"Content-Length: 100\r\n\r\n{}",
    HEADER + b"Content-Length: 2\r\n\r\n",
    HEADER + b"Transfer-Encoding: chunked\r\n\r\n",
    HEADER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    HEADER + b'Transfer-Encoding: chunked\r\n\r\nc\r\n{"spec":"x"}\r\n',
    HEADER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{",
    HEADER + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    HEADER + b"Content-Length: -1\r\n\r\n{}",
    HEADER + b"Content-Length: 1e1\r\n\r\n{}",
    HEADER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    HEADER + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
]


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
@pytest.mark.parametrize("sent", HALVES)
def test_a_body_that_stops_half_way_changes_nothing(server: Server, sent: bytes, how: str) -> None:
    with connect(server.port) as connection:
        connection.sendall(sent)
        if how == "half-close":
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(8)
            try:
                got = connection.recv(65536)
            except OSError:
                got = b""
            assert got == b"" or 400 <= int(got.split()[1]) < 500
        elif how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    # A request that the server went on with would be stored by now: this one comes behind it.
    assert server.head.get("/ready").status == 200


@pytest.mark.parametrize("how", ["close", "half-close"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ended", [False, True])
def test_a_form_that_stops_half_way_leaves_nothing(server: Server, framing: str, how: str, ended: bool) -> None:
    form, headers = multipart(b"x" * 100_000)
    part = form if ended else form[:50_000]
    head = b"POST /blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer left-token-0001\r\nContent-Type: "
    head += headers["Content-Type"].encode() + b"\r\n"
    with connect(server.port) as connection:
        if framing == "length":
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % (len(form) + 10) + part)
        else:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(part) + part + b"\r\n")
        if how == "half-close":
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(8)
            try:
                got = connection.recv(65536)
            except OSError:
                got = b""
            assert got == b"" or 400 <= int(got.split()[1]) < 500
    tmp = server.process.data_dir / "blobs" / "tmp"
    eventually(lambda: not list(tmp.iterdir()), what="an empty tmp folder")


def test_a_body_that_is_too_slow_is_408(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_BODY_SECONDS="1")
    form, headers = multipart(b"x" * 1000)
    kind = headers["Content-Type"].encode()
    upload = b"POST /blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer left-token-0001\r\nContent-Type: " + kind
    job_id = server.head.submit()["id"]
    server.left.claim(job_id)
    log = b"POST /jobs/" + job_id.encode() + b"/log HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer left-token-0001"
    before = picture(server)
    slow = {
        "nothing": HEADER + b"Content-Length: 2\r\n\r\n",
        "half": HEADER + b'Content-Length: 20\r\n\r\n{"spec":',
        "chunked": HEADER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "form, nothing": upload + b"\r\nContent-Length: 2000\r\n\r\n",
        "form, its head": upload + b"\r\nContent-Length: 2000\r\n\r\n" + form[:60],
        "form, its file": upload + b"\r\nContent-Length: 2000\r\n\r\n" + form[:600],
        "form, its end": upload + b"\r\nContent-Length: 2000\r\n\r\n" + form,
        "log": log + b"\r\nContent-Length: 20\r\n\r\nhalf",
    }
    connections = {name: connect(server.port) for name in slow}
    begun = time.monotonic()
    for name, connection in connections.items():
        connection.sendall(slow[name])
    for name, connection in connections.items():
        connection.settimeout(15)
        try:
            answer = read_answer(connection)
        except TimeoutError:
            raise AssertionError(f"{name}: no answer") from None
        assert (answer.status, answer.error) == (408, "request_timeout"), name
        assert answer.json["retryable"] is True
        connection.close()
    assert time.monotonic() - begun < 15
    assert picture(server) == before


def test_a_body_that_trickles_is_408_however_often_a_byte_comes(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_BODY_SECONDS="1")
    with connect(server.port) as connection:
        connection.sendall(HEADER + b"Content-Length: 1000\r\n\r\n")
        connection.settimeout(0.1)
        deadline, got = time.monotonic() + 30, b""
        while not got and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionError):  # it has been answered and closed meanwhile: read on
                connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                got = connection.recv(65536)
        assert got.startswith(b"HTTP/1.1 408")
    assert server.head.get("/jobs").json["jobs"] == []


@pytest.mark.usefixtures("watched")
def test_after_all_of_this_the_server_is_well(server: Server, name: str) -> None:
    job = server.head.submit(target=name)
    claw: Api = server.claw(name)
    assert claw.claim_next()[0]["id"] == job["id"]
    assert claw.post(f"/jobs/{job['id']}/complete", {"fence": 1}).status == 200
    assert server.process.faults() == []
