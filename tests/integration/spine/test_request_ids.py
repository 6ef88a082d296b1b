"""A request has one id: in its answer, in the server's log, and in what is answered when the server failed."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.raw_http import Api
from tests.support.server import MakeProcess, Server, StartSpine

OWN = re.compile(r"[0-9a-f]{32}")


def lines(server: Server) -> list[dict[str, Any]]:
    """Return what the server has logged; each line must be JSON."""
    return [json.loads(line) for line in server.process.log_path.read_text().splitlines()]


def test_a_request_that_names_itself_is_called_so(server: Server) -> None:
    answer = server.head.get("/jobs", {"X-Request-Id": "deploy-7/step:2"})
    assert answer.headers["x-request-id"] == "deploy-7/step:2"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "caf\u00e9"])
def test_a_name_that_cannot_be_one_is_replaced(server: Server, given: str) -> None:
    answer = server.head.get("/jobs", {"X-Request-Id": given})
    assert answer.status == 200
    assert OWN.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize("longest", ["x" * 128])
def test_128_characters_are_taken(server: Server, longest: str) -> None:
    assert server.head.get("/health", {"X-Request-Id": longest}).headers["x-request-id"] == longest


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/nothing-here", 404), ("/jobs/none", 404), ("/ui/sign-in", 200), ("/metrics", 200)],
)
def test_every_answer_has_one_of_its_own(server: Server, path: str, status: int) -> None:
    first, second = server.head.get(path), server.head.get(path)
    assert (first.status, second.status) == (status, status)
    assert OWN.fullmatch(first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_so_have_refusals_and_streams(server: Server) -> None:
    wrong = server.head.post("/jobs", {"target": "Not A Name"}, **{"X-Request-Id": "wrong-1"})
    assert (wrong.status, wrong.headers["x-request-id"]) == (422, "wrong-1")
    assert "requestId" not in wrong.json
    stranger = Api(server.port, "no-token-of-ours").get("/jobs", {"X-Request-Id": "stranger-1"})
    assert (stranger.status, stranger.headers["x-request-id"]) == (401, "stranger-1")
    with server.head.stream("/events", {"X-Request-Id": "stream-1"}) as stream:
        assert stream.headers["x-request-id"] == "stream-1"


def test_a_refused_change_is_a_line_that_names_caller_job_and_fence(start_spine: StartSpine) -> None:
    server = start_spine()
    job_id = server.head.submit(target="c1", spec={"run": "true"})["id"]
    fence = server.claw("c1").claim(job_id)["fence"]
    path = f"/jobs/{job_id}/complete"
    refused = server.claw("c1").post(path, {"fence": fence + 1, "result": {}}, **{"X-Request-Id": "late-1"})
    assert (refused.status, refused.error) == (409, "stale_fence")
    (line,) = [line for line in lines(server) if line["event"] == "request"]
    assert line.pop("ms") >= 0
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "event": "request",
        "level": "info",
        "role": "spine",
        "method": "POST",
        "route": "/jobs/{job_id}/complete",
        "status": 409,
        "caller": "c1",
        "job_id": job_id,
        "fence": fence + 1,
        "request_id": "late-1",
    }


def test_whoever_waits_for_a_lease_fills_no_log(start_spine: StartSpine) -> None:
    server = start_spine()
    server.head.post("/leases/chief/take", {"holder": "a", "ttlSeconds": 60})
    assert server.head.post("/leases/chief/take", {"holder": "b", "ttlSeconds": 60}).error == "lease_held"
    assert server.head.post("/leases/chief/renew", {"fence": 7, "ttlSeconds": 60}).status == 409
    assert [line["route"] for line in lines(server) if line["event"] == "request"] == ["/leases/{name}/renew"]


def test_at_debug_every_request_is_a_line_and_no_token_is_in_any(start_spine: StartSpine) -> None:
    server = start_spine(SPINE_LOG_LEVEL="debug")
    server.head.get("/events?cursor=secret-cursor&limit=1", {"X-Request-Id": "read-1"})
    server.head.post("/jobs", {"target": "c1", "spec": "secret words"}, **{"X-Request-Id": "made-1"})
    Api(server.port, "secret-token").get("/jobs", {"X-Request-Id": "stranger-1"})
    found = {line["request_id"]: line for line in lines(server) if line["event"] == "request"}
    assert (found["read-1"]["route"], found["read-1"]["status"], found["read-1"]["caller"]) == ("/events", 200, "head")
    assert (found["made-1"]["method"], found["made-1"]["status"]) == ("POST", 201)
    assert (found["stranger-1"]["status"], found["stranger-1"]["caller"]) == (401, None)
    text = Path(server.process.log_path).read_text()
    assert "secret" not in text
    assert "token-of" not in text


def test_a_fault_of_the_store_names_the_request_in_the_log_and_in_the_answer(process: MakeProcess) -> None:
    """What is not there any more is a table, taken away behind the server's back."""
    server = Server(process().start())
    job_id = server.head.submit(target="left-claw", spec={"run": "true"})["id"]
    store = sqlite3.connect(next(server.process.data_dir.glob("*.db")))
    try:
        store.execute("ALTER TABLE comments RENAME TO elsewhere")
        answer = server.head.post(f"/jobs/{job_id}/comment", {"text": "hello"}, **{"X-Request-Id": "broken-1"})
        store.execute("ALTER TABLE elsewhere RENAME TO comments")
    finally:
        store.close()
    assert answer.status >= 500
    assert answer.json["requestId"] == "broken-1"
    about = [line for line in lines(server) if line.get("request_id") == "broken-1"]
    assert "request" in {line["event"] for line in about}
    assert {line["level"] for line in about if line["event"] == "request"} == {"warning"}
