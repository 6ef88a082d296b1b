"""The client over a real socket: fail-over, retries, keys, timeouts, and what it makes of strange answers."""

import gc
import io
import json
import threading
import traceback
from typing import Any

import pytest
import structlog
from tests.unit.contract.conftest import FakeSpine, Reply

from contract import wire
from contract.client import SpineClient
from contract.errors import (
    AlreadyClaimed,
    BadJson,
    Conflict,
    Draining,
    Internal,
    InvalidField,
    NotFound,
    RateLimited,
    SpineError,
    StaleFence,
    StorageFull,
    Unauthorized,
    Unavailable,
)
from contract.retry import ONCE, RetryPolicy
from contract.servers import Servers
from contract.sse import ServerEvent

TOKEN = "spn_left-claw_abcdefgh_" + "z" * 40
JOB: dict[str, Any] = {
    "id": "j1",
    "target": "left-claw",
    "status": "running",
    "createdAt": "2023-11-14T22:13:20.000Z",
    "updatedAt": "2023-11-14T22:13:20.000Z",
    "createdBy": "head",
    "claimedBy": "left-claw",
    "leaseUntil": None,
    "attempts": 1,
    "maxAttempts": 5,
    "spec": {"run": ["true"]},
    "meta": {},
    "comments": [],
    "result": None,
    "error": None,
    "fence": 3,
    "aMemberOfTheFuture": 1,
}
PROBLEM = {"Content-Type": "application/problem+json"}
THRICE = RetryPolicy(attempts=3, base_seconds=1.0, cap_seconds=4.0, total_seconds=100.0)


def ok(document: Any = JOB, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode())


def problem(status: int, code: str, headers: dict[str, str] | None = None, **members: Any) -> Reply:
    body = {"error": code, "type": f"/problems/{code}", "title": "T.", "status": status, "detail": "why", **members}
    return Reply(status, json.dumps(body).encode(), PROBLEM | (headers or {}))


class Client:
    """A client and the waits that it asked for."""

    def __init__(self, *urls: str, retry: RetryPolicy = THRICE, **more: Any) -> None:
        self.waits: list[float] = []
        self.speaks = SpineClient(urls, TOKEN, retry=retry, sleep=self.waits.append, **more)


def members_of(error: SpineError) -> dict[str, Any]:
    return {name: value for name, value in error.members.items() if name != "status"}


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_a_submit(fake: FakeSpine) -> None:
    fake.say(ok(status=201))
    job = Client(fake.url + "/", worker_id="w1").speaks.submit({"spec": "héllo", "maxAttempts": 2})
    assert (job.id, job.status, job.fence, job.spec) == ("j1", "running", 3, {"run": ["true"]})
    (seen,) = fake.seen
    assert (seen.method, seen.path) == ("POST", "/jobs")
    assert json.loads(seen.body) == {"spec": "héllo", "maxAttempts": 2}
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["X-Worker-Id"] == "w1"
    assert seen.headers["Content-Type"] == "application/json"
    assert len(seen.headers["Idempotency-Key"]) == 32


def test_each_verb(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    fake.say(ok())
    client.job("a/../b c")
    client.claim_one("j1", ["git"])
    client.claim_one("j1")
    client.heartbeat("j1", 3)
    client.heartbeat("j1", 3, progress=None)
    client.complete("j1", 3, {"url": "u"}, idempotency_key="k1")
    client.fail("j1", 3, "broke", requeue=False)
    client.release("j1", 3, "busy", count_attempt=False)
    client.comment("j1", "hm")
    assert [(s.method, s.path, json.loads(s.body or b"null")) for s in fake.seen] == [
        ("GET", "/jobs/a%2F..%2Fb%20c", None),
        ("POST", "/jobs/j1/claim", {"capabilities": ["git"]}),
        ("POST", "/jobs/j1/claim", {}),
        ("POST", "/jobs/j1/heartbeat", {"fence": 3}),
        ("POST", "/jobs/j1/heartbeat", {"fence": 3, "progress": None}),
        ("POST", "/jobs/j1/complete", {"fence": 3, "result": {"url": "u"}}),
        ("POST", "/jobs/j1/fail", {"fence": 3, "error": "broke", "requeue": False}),
        ("POST", "/jobs/j1/release", {"fence": 3, "reason": "busy", "countAttempt": False}),
        ("POST", "/jobs/j1/comment", {"text": "hm"}),
    ]
    keyed = ["Idempotency-Key" in s.headers for s in fake.seen]
    assert keyed == [False, True, True, False, False, True, True, True, True]
    assert fake.seen[5].headers["Idempotency-Key"] == "k1"
    keys = [s.headers["Idempotency-Key"] for s in fake.seen if "Idempotency-Key" in s.headers]
    assert len(set(keys)) == len(keys)


def test_claims(fake: FakeSpine) -> None:
    client = Client(fake.url, worker_id="w1").speaks
    fake.say(ok({"jobs": [JOB]}), Reply(204, b""))
    assert [job.id for job in client.claim(capabilities=("git",), targets=["any"], most=2, wait=1.5)] == ["j1"]
    assert client.claim() == []
    assert json.loads(fake.seen[0].body) == {"capabilities": ["git"], "max": 2, "wait": 1.5, "targets": ["any"]}
    assert json.loads(fake.seen[1].body) == {"capabilities": [], "max": 1, "wait": 0}


def test_lists_events_and_attempts(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    fake.say(
        ok({"jobs": [], "nextCursor": "c"}),
        ok({"events": [], "nextCursor": "d", "gap": True}),
        ok({"events": [], "nextCursor": "d"}),
        ok({"attempts": []}),
        ok({"ok": True, "time": "now"}),
        Reply(200, b"# Skill", {"Content-Type": "text/markdown"}),
    )
    assert client.jobs(status="queued", limit=5).next_cursor == "c"
    assert client.events().gap is True
    assert client.events("c", "j1", 7).next_cursor == "d"
    assert client.attempts("j1") == []
    assert client.health() == {"ok": True, "time": "now"}
    assert client.skill() == "# Skill"
    assert [s.path for s in fake.seen] == [
        "/jobs?status=queued&limit=5",
        "/events?limit=100",
        "/jobs/j1/events?limit=7&cursor=c",
        "/jobs/j1/attempts",
        "/health",
        "/skill.md",
    ]


def test_logs_and_blobs(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    blob = {
        "id": "blob_x",
        "filename": "a.txt",
        "size": 3,
        "sha256": "0",
        "contentType": "text/plain",
        "createdAt": "t",
        "url": "/blobs/blob_x",
    }
    fake.say(ok({"fence": 3, "size": 9}), Reply(200, b"bytes"), ok(blob), ok(blob), Reply(200, b"\x00\xff"))
    assert client.append_log("j1", 3, 4, b"hello") == wire.LogState(fence=3, size=9)
    assert client.read_log("j1", offset=2, limit=5) == b"bytes"
    file = io.BytesIO(b"skipped, content")
    file.seek(9)
    assert client.upload("a.txt", file, "text/plain").id == "blob_x"
    assert client.upload("b", b"abc").size == 3
    assert client.download("blob_x") == b"\x00\xff"
    log, read, first, second, _download = fake.seen
    assert (log.path, log.body, log.headers["X-Spine-Fence"]) == ("/jobs/j1/log?offset=4", b"hello", "3")
    assert read.path == "/jobs/j1/log?offset=2&limit=5"
    assert b'name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in first.body
    assert b"\r\n\r\nabc\r\n" in second.body


# --- repeats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "rate_limited", RateLimited),
        (500, "internal", Internal),
        (503, "draining", Draining),
        (507, "storage_full", StorageFull),
    ],
)
def test_what_is_repeated(fake: FakeSpine, status: int, code: str, kind: type[SpineError]) -> None:
    client = Client(fake.url)
    fake.say(problem(status, code), problem(status, code), ok())
    assert client.speaks.complete("j1", 3, None).id == "j1"
    assert len(client.waits) == 2
    assert 0 < client.waits[0] <= 1.0
    assert 0 < client.waits[1] <= 2.0
    keys = {seen.headers["Idempotency-Key"] for seen in fake.seen}
    assert len(fake.seen) == 3
    assert len(keys) == 1
    assert len({seen.body for seen in fake.seen}) == 1
    fake.say(problem(status, code))
    with pytest.raises(kind) as raised:
        client.speaks.complete("j1", 3, None)
    assert raised.value.detail == "why"
    assert len(fake.seen) == 6


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_json", BadJson),
        (401, "unauthorized", Unauthorized),
        (404, "not_found", NotFound),
        (409, "stale_fence", StaleFence),
        (409, "conflict", Conflict),
        (422, "invalid_field", InvalidField),
    ],
)
def test_what_is_not_repeated(fake: FakeSpine, status: int, code: str, kind: type[SpineError]) -> None:
    client = Client(fake.url)
    fake.say(problem(status, code, fence=4, lateResult="kept"))
    with pytest.raises(kind) as raised:
        client.speaks.complete("j1", 3, None)
    assert members_of(raised.value)["lateResult"] == "kept"
    assert (len(fake.seen), client.waits) == (1, [])


def test_a_lost_answer_is_asked_for_again_with_the_same_key(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(Reply(200, b'{"id"', cut=True), ok())
    assert client.speaks.submit({"spec": "x"}).id == "j1"
    assert len(fake.seen) == 2
    assert fake.seen[0].headers["Idempotency-Key"] == fake.seen[1].headers["Idempotency-Key"]


def test_an_upload_is_sent_whole_again(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(problem(503, "draining"), problem(404, "not_found"))
    with pytest.raises(NotFound):
        client.speaks.upload("a", io.BytesIO(b"content"))
    assert [b"\r\n\r\ncontent\r\n" in seen.body for seen in fake.seen] == [True, True]


def test_retry_after_is_honoured_up_to_the_cap(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(
        problem(429, "rate_limited", {"Retry-After": "3"}), problem(503, "draining", {"Retry-After": "9999"}), ok()
    )
    client.speaks.job("j1")
    assert client.waits == [3.0, 4.0]


@pytest.mark.parametrize("value", ["soon", "-1", "²", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number_of_seconds(fake: FakeSpine, value: str) -> None:
    client = Client(fake.url)
    fake.say(problem(503, "draining", {"Retry-After": value}), ok())
    client.speaks.job("j1")
    assert len(client.waits) == 1
    assert client.waits[0] <= 1.0


def test_no_wait_goes_beyond_the_total(fake: FakeSpine) -> None:
    client = Client(fake.url, retry=RetryPolicy(attempts=9, base_seconds=5, cap_seconds=20, total_seconds=4))
    fake.say(problem(503, "draining", {"Retry-After": "10"}))
    with pytest.raises(Draining):
        client.speaks.job("j1")
    assert (len(fake.seen), client.waits) == (1, [])


def test_a_probe_is_made_once(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(problem(503, "draining"))
    with pytest.raises(Draining):
        client.speaks.health()
    assert (len(fake.seen), client.waits) == (1, [])


# --- several servers -------------------------------------------------------------------------------------------------


def test_the_next_server_is_tried_when_one_is_not_there(fake: FakeSpine, closed_url: str) -> None:
    client = Client(closed_url, fake.url)
    fake.say(ok())
    assert client.speaks.base_url == closed_url
    assert client.speaks.submit({}).id == "j1"
    assert client.speaks.base_url == fake.url
    client.waits.clear()
    client.speaks.job("j1")
    assert client.waits == []  # it stays with the one that answered


@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_next_server_is_tried_when_one_cannot(fake: FakeSpine, another: FakeSpine, status: int) -> None:
    client = Client(fake.url, another.url)
    fake.say(problem(status, "unavailable"))
    another.say(ok())
    client.speaks.submit({})
    assert (len(fake.seen), len(another.seen)) == (1, 1)
    assert fake.seen[0].headers["Idempotency-Key"] == another.seen[0].headers["Idempotency-Key"]


def test_each_server_is_asked_once_before_a_wait(fake: FakeSpine, another: FakeSpine, closed_url: str) -> None:
    client = Client(fake.url, closed_url, another.url)
    fake.say(problem(503, "draining", {"Retry-After": "1"}))
    another.say(problem(503, "draining"), ok())
    assert client.speaks.submit({}).id == "j1"
    assert (len(fake.seen), len(another.seen), len(client.waits)) == (2, 2, 1)
    assert len({seen.headers["Idempotency-Key"] for seen in (*fake.seen, *another.seen)}) == 1
    client.waits.clear()
    client.speaks.submit({})
    assert (len(another.seen), client.waits) == (3, [])  # it stays with the one that answered


@pytest.mark.parametrize("retry", [ONCE, THRICE])
def test_nobody_waits_for_a_server_that_is_not_there_while_another_is(
    fake: FakeSpine, closed_url: str, retry: RetryPolicy
) -> None:
    client = Client(closed_url, fake.url, retry=retry)
    fake.say(ok())
    client.speaks.submit({})
    assert (len(fake.seen), client.waits) == (1, [])


def test_what_is_said_once_goes_to_another_server_when_the_first_is_stopping(
    fake: FakeSpine, another: FakeSpine
) -> None:
    fake.say(problem(503, "draining"))
    another.say(ok())
    assert Client(fake.url, another.url, retry=ONCE).speaks.submit({}).id == "j1"


@pytest.mark.parametrize("answer", [problem(503, "outcome_unknown"), problem(504, "unavailable"), Reply(hang=True)])
def test_what_is_said_once_and_may_have_been_done_is_not_said_again(
    fake: FakeSpine, another: FakeSpine, answer: Reply
) -> None:
    client = Client(fake.url, another.url, retry=ONCE, read_seconds=0.2)
    fake.say(answer)
    with pytest.raises(SpineError):
        client.speaks.submit({})
    assert (len(fake.seen), len(another.seen)) == (1, 0)
    assert client.speaks.base_url == another.url  # for the next call


def test_threads_that_lose_a_server_at_once_do_not_come_back_to_it() -> None:
    servers = Servers(["http://a/", "http://b"])
    servers.leave("http://a")
    servers.leave("http://a")
    assert servers.current == "http://b"
    servers.leave("http://b")
    assert servers.current == "http://a"


@pytest.mark.parametrize(("status", "code"), [(500, "internal"), (507, "storage_full"), (429, "rate_limited")])
def test_the_same_server_is_asked_again_when_another_could_not_help(
    fake: FakeSpine, another: FakeSpine, status: int, code: str
) -> None:
    client = Client(fake.url, another.url)
    fake.say(problem(status, code), ok())
    client.speaks.submit({})
    assert (len(fake.seen), len(another.seen)) == (2, 0)


def test_when_nobody_answers(closed_url: str) -> None:
    client = Client(closed_url)
    with pytest.raises(Unavailable) as raised:
        client.speaks.submit({})
    assert raised.value.detail == f"POST {closed_url}: no answer (ConnectionError)"
    assert len(client.waits) == 2


def test_a_server_that_says_nothing(fake: FakeSpine) -> None:
    client = Client(fake.url, retry=ONCE, read_seconds=0.05)
    fake.say(Reply(hang=True))
    with pytest.raises(Unavailable) as raised:
        client.speaks.job("j1")
    assert raised.value.detail == f"GET {fake.url}: no answer (ReadTimeout)"


def test_a_waiting_claim_has_its_wait_on_top(fake: FakeSpine, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(fake.url, connect_seconds=2, read_seconds=7)
    asked: list[Any] = []
    session = client.speaks._session()
    send = session.send

    def noting(*args: Any, **named: Any) -> Any:
        asked.append(named["timeout"])
        return send(*args, **named)

    monkeypatch.setattr(session, "send", noting)
    fake.say(Reply(204, b""))
    client.speaks.claim(wait=30)
    client.speaks.claim()
    assert asked == [(2, 37), (2, 7)]


def test_it_needs_a_server() -> None:
    for nothing in ([], "", ["", " "]):
        with pytest.raises(ValueError, match="at least one base URL"):
            SpineClient(nothing, TOKEN)


# --- strange answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"<html>Bad Gateway</html>", b"", b"[]", b'{"message":"no"}', b'"error"', b"\xff\xfe", b'{"error":'],
)
@pytest.mark.parametrize("status", [301, 403, 404, 418, 502])
def test_a_refusal_that_is_no_problem_document(fake: FakeSpine, status: int, body: bytes) -> None:
    client = Client(fake.url, retry=ONCE)
    fake.say(Reply(status, body, {"Content-Type": "text/html", "Location": "/elsewhere"}))
    with pytest.raises(Unavailable) as raised:
        client.speaks.job("j1")
    assert raised.value.detail == f"HTTP {status} from {fake.url}/jobs/j1, and not a problem document"
    assert len(fake.seen) == 1


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"", b"[]", b"{}", b'{"id":5}', b"\xff"])
def test_a_success_that_is_not_the_answer_of_a_spine(fake: FakeSpine, body: bytes) -> None:
    client = Client(fake.url)
    fake.say(Reply(200, body))
    for call in (
        lambda: client.speaks.job("j"),
        lambda: client.speaks.submit({}),
        lambda: client.speaks.upload("a", b""),
    ):
        with pytest.raises(Unavailable) as raised:
            call()
        assert raised.value.detail.startswith(f"HTTP 200 from {fake.url}")


def test_v0_refusals_are_understood(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(Reply(409, b'{"error":"already_claimed","claimedBy":"right-claw","leaseUntil":null}'))
    with pytest.raises(AlreadyClaimed) as raised:
        client.speaks.claim_one("j1")
    assert raised.value.members == {"claimedBy": "right-claw", "leaseUntil": None}


def test_a_code_of_the_future(fake: FakeSpine) -> None:
    client = Client(fake.url)
    fake.say(problem(402, "payment_due", amount=3))
    with pytest.raises(SpineError) as raised:
        client.speaks.job("j1")
    assert type(raised.value) is SpineError
    assert members_of(raised.value) == {"amount": 3, "error": "payment_due"}


# --- the token -------------------------------------------------------------------------------------------------------


def test_the_token_stands_in_no_error(fake: FakeSpine, closed_url: str) -> None:
    texts: list[str] = []
    for url, reply in [(closed_url, ok()), (fake.url, problem(401, "unauthorized")), (fake.url, Reply(502, b"x"))]:
        fake.say(reply)
        client = SpineClient(url, TOKEN, retry=ONCE, worker_id="w")
        texts += [repr(client), str(client)]
        with pytest.raises(SpineError) as raised:
            client.submit({})
        error = raised.value
        texts += [repr(error), str(error), repr(error.members), "".join(traceback.format_exception(error))]
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
            texts.append(repr(error))
    assert len(texts) > 15
    assert not any("z" * 40 in text for text in texts)


def test_the_token_is_not_sent_elsewhere(fake: FakeSpine, another: FakeSpine) -> None:
    fake.say(Reply(307, b"", {"Location": another.url + "/jobs"}))
    with pytest.raises(Unavailable):
        Client(fake.url, retry=ONCE).speaks.submit({})
    assert another.seen == []


def test_a_netrc_does_not_replace_it(fake: FakeSpine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fake.say(ok())
    Client(fake.url).speaks.job("j1")
    assert fake.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


# --- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    stream = {"Content-Type": "text/event-stream"}
    fake.say(Reply(200, headers=stream, pieces=(b": spine\n\nevent: a\nid: c1\nda", b"ta: 1\n\n", b"data: 2\n\n")))
    assert list(client.follow_events("c0")) == [ServerEvent("a", "1", "c1"), ServerEvent("message", "2", "c1")]
    list(client.follow_log("j1", 5, 2))
    list(client.follow_log("j1"))
    events, log, newest = fake.seen
    assert (events.path, events.headers["Accept"], events.headers["Last-Event-ID"]) == (
        "/events",
        "text/event-stream",
        "c0",
    )
    assert (log.path, newest.path) == ("/jobs/j1/log?follow=1&offset=5&fence=2", "/jobs/j1/log?follow=1&offset=0")
    assert "Last-Event-ID" not in log.headers


def test_a_stream_that_is_refused(fake: FakeSpine) -> None:
    fake.say(problem(429, "rate_limited"))
    with pytest.raises(RateLimited):
        next(Client(fake.url).speaks.follow_events())
    assert len(fake.seen) == 1


def test_a_stream_that_breaks(fake: FakeSpine, another: FakeSpine) -> None:
    client = Client(fake.url, another.url).speaks
    fake.say(Reply(200, pieces=(b"data: 1\n\n",), cut=True))
    stream = client.follow_events()
    assert next(stream).data == "1"
    with pytest.raises(Unavailable, match="the stream ended"):
        next(stream)
    assert client.base_url == another.url


def test_a_stream_of_a_server_that_is_not_there(closed_url: str, fake: FakeSpine) -> None:
    client = Client(closed_url, fake.url).speaks
    with pytest.raises(Unavailable):
        next(client.follow_events())
    assert client.base_url == fake.url


def test_a_stream_of_a_server_that_is_stopping(fake: FakeSpine, another: FakeSpine) -> None:
    client = Client(fake.url, another.url).speaks
    fake.say(problem(503, "draining"))
    with pytest.raises(Draining):
        next(client.follow_events())
    assert client.base_url == another.url


def test_an_abandoned_stream_is_closed(fake: FakeSpine) -> None:
    fake.say(Reply(200, pieces=(b"data: 1\n\n", b"data: 2\n\n")))
    stream = Client(fake.url).speaks.follow_events()
    assert next(stream).data == "1"
    stream.close()
    gc.collect()


def test_threads_have_sessions_of_their_own(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(client._session()))
    thread.start()
    thread.join()
    assert found[0] is not client._session()
    assert client._session() is client._session()


def test_a_call_has_one_id_for_all_its_tries(fake: FakeSpine) -> None:
    client = Client(fake.url, retry=THRICE).speaks
    fake.say(problem(503, "unavailable"), problem(503, "unavailable"), ok())
    client.job("j1")
    client.job("j1")
    ids = [seen.headers["X-Request-Id"] for seen in fake.seen]
    assert len(ids[0]) == 32
    assert ids[0] == ids[1] == ids[2] != ids[3] == client.request_id


def test_a_call_that_failed_is_logged_with_its_id(fake: FakeSpine) -> None:
    client = Client(fake.url).speaks
    fake.say(problem(409, "stale_fence"))
    with structlog.testing.capture_logs() as said, pytest.raises(StaleFence):
        client.heartbeat("j1", 3)
    assert said == [
        {
            "event": "call.failed",
            "log_level": "info",
            "method": "POST",
            "path": "/jobs/j1/heartbeat",
            "code": "stale_fence",
            "request_id": fake.seen[0].headers["X-Request-Id"],
        }
    ]


def test_a_command_whose_logs_are_not_set_up_prints_no_line(fake: FakeSpine, capsys: pytest.CaptureFixture) -> None:
    structlog.reset_defaults()
    fake.say(problem(404, "not_found"))
    with pytest.raises(NotFound):
        Client(fake.url).speaks.job("j1")
    assert capsys.readouterr() == ("", "")
