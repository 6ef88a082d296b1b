"""What a broker answers, rule by rule (contract: Broker, sections 1 to 5); the table is in `exchange`."""

import time
from typing import Any

import pytest
from tests.integration.facades_broker.conftest import Broker, Start, plain
from tests.integration.facades_broker.exchange import BOT, JSON, ROWS, WORKER, Row
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.spine_process import SpineProcess


def brought(broker: Broker, state: str) -> str:
    """Return a job in a state; worker `w` ran it."""
    worker, job_id = broker.by("w"), broker.create()
    if state != "queued":
        assert worker.take() == job_id
    if state == "done":
        worker.result(job_id, "r1")
    if state == "failed":
        worker.fail(job_id, "e1")
    assert broker.job(job_id)["status"] == state
    return job_id


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.path.rpartition('/')[2]}: {row.rule}" for row in ROWS])
def test_exchange(broker: Broker, row: Row) -> None:
    job_id = brought(broker, row.of) if row.of else ""
    answer = broker.call(row.method, row.path.replace("{id}", job_id), row.body, row.headers)
    assert (answer.status, plain(answer.body.decode())) == (row.status, row.answer)
    if row.answer:
        assert answer.headers["content-type"] == "application/json"
    assert {name: answer.headers.get(name) for name in row.more} == row.more


@pytest.mark.parametrize("body", [b"{", b'{"command":', b"{'command':1}", b"\xff\xfe{}", b'{"a":NaN}', b"[" * 100_000])
def test_malformed_json(broker: Broker, body: bytes) -> None:
    """Section 1: source. The words behind `error` are the parser's own."""
    answer = broker.call("POST", "/jobs", body, BOT | JSON)
    assert answer.status == 422
    (told_of,) = answer.json["detail"]
    assert told_of.keys() == {"type", "loc", "msg", "input", "ctx"}
    assert (told_of["type"], told_of["msg"], told_of["loc"][0]) == ("json_invalid", "JSON decode error", "body")
    assert broker.next() is None


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud800"',
        b"[1e999]",
        b"[%s]" % (b"9" * 400),
        b"[" * 300 + b"]" * 300,
        b"[" + b"1," * 50_000 + b"1]",
        b"7",
        b"true",
    ],
)
def test_json_that_is_no_object(broker: Broker, body: bytes) -> None:
    """Section 3: source. Whatever it is, it is the sender's fault."""
    answer = broker.call("POST", "/jobs", body, BOT | JSON)
    assert answer.status == 422
    assert answer.json["detail"][0]["type"] in ("model_attributes_type", "json_invalid")


@pytest.mark.parametrize(
    "value", [b'"\\ud800"', b"1e999", b"9" * 400, b"[" * 300 + b"]" * 300, b'"' + b"x" * 2000 + b'"']
)
def test_members_of_every_kind(broker: Broker, value: bytes) -> None:
    """Sections 1 and 3: source. Also where the refusal shows what was sent."""
    answer = broker.call("POST", "/jobs", b'{"command":"ping","payload":"","extra":%s}' % value, BOT | JSON)
    assert (answer.status, plain(answer.body.decode())) == (200, '{"id":"<id>","status":"queued"}')
    answer = broker.call("POST", "/jobs", b'{"command":"ping","extra":%s}' % value, BOT | JSON)
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, "missing")
    answer = broker.call("POST", "/jobs", b'{"command":"ping","payload":[%s]}' % value, BOT | JSON)
    assert (answer.status, answer.json["detail"][0]["type"]) == (422, "string_type")
    answer = broker.call("POST", "/jobs", b'{"command":"ping","payload":"","requires":%s}' % value, BOT | JSON)
    assert answer.status == 200


# --- 2. What is stored ------------------------------------------------------------------------------------------------


def test_texts_come_back_as_they_were_sent(broker: Broker) -> None:
    """Sections 1 and 2: source. UTF-8, unstripped; the bytes are compact and not escaped."""
    job_id = broker.create("  ping ", " žluť\n\t😀 ")
    answer = broker.bot("GET", f"/jobs/{job_id}")
    assert '"command":"  ping ","payload":" žluť\\n\\t😀 "'.encode() in answer.body
    broker.take()
    broker.result(job_id, ' {"a": "ů"}\n')
    assert broker.job(job_id)["result"] == ' {"a": "ů"}\n'
    odd = broker.create("ping", "a\x00b\ud800c")
    assert broker.job(odd)["payload"] == "a\ufffdb\ufffdc"


def test_a_job_s_times(broker: Broker) -> None:
    """Sections 1, 2 and 4: source. Whole seconds since the epoch; the lease is a minute from the claim."""
    before = int(time.time())
    job_id = broker.create()
    job = broker.by("w").next() or {}
    assert before <= job["created_at"] <= job["started_at"] <= int(time.time())
    assert job["lease_until"] - job["started_at"] == 60
    broker.result(job_id)
    ended = broker.job(job_id)
    assert job["started_at"] <= ended["finished_at"] <= int(time.time())
    assert ended["lease_until"] is None


@pytest.mark.parametrize(
    ("sent", "kept"), [({}, "unknown"), ({"error": "  "}, "unknown"), ({"error": " no disk \n"}, "no disk")]
)
def test_an_error_is_trimmed(broker: Broker, sent: dict[str, str], kept: str) -> None:
    """Section 3: source."""
    job_id = brought(broker, "running")
    assert broker.worker("POST", f"/jobs/{job_id}/fail", sent).status == 200
    assert broker.job(job_id)["error"] == kept


def test_the_first_outcome_stays(broker: Broker) -> None:
    """Section 3: seed, source."""
    done, failed = brought(broker, "done"), brought(broker, "failed")
    for job_id in (done, failed):
        before = broker.job(job_id)
        broker.result(job_id, "r2")
        broker.fail(job_id, "e2")
        assert broker.job(job_id) == before


def test_a_queued_job_that_was_failed_is_given_to_nobody(broker: Broker) -> None:
    """Section 3: source."""
    job_id = brought(broker, "queued")
    broker.fail(job_id, "not wanted")
    assert broker.next() is None
    job = broker.job(job_id)
    assert (job["status"], job["error"], job["started_at"], job["worker_id"]) == ("failed", "not wanted", None, None)


# --- 4. Order and lease -----------------------------------------------------------------------------------------------


def test_first_in_first_out(broker: Broker) -> None:
    """Section 4: source. Within a second, by insertion."""
    ids = [broker.create(payload=str(n)) for n in range(5)]
    assert [broker.take() for _ in ids] == ids


def test_a_lease_that_is_over(start_spine: Start) -> None:
    """Section 4: seed (requeue), source (what it clears, and that the job keeps its place). By the clock: ours."""
    spine = start_spine(BROKER_LEASE_SECONDS="1")
    broker = Broker(spine.port)
    first, second = broker.create(), broker.create()
    claimed = broker.by("w").next() or {}
    assert (claimed["id"], claimed["lease_until"] - claimed["started_at"]) == (first, 1)
    eventually(lambda: broker.job(first)["status"] == "queued", what="the end of the lease, with nobody polling")
    job = broker.job(first)
    assert {name: job[name] for name in ("started_at", "lease_until", "worker_id", "result", "error")} == {
        "started_at": None, "lease_until": None, "worker_id": None, "result": None, "error": None,
    }  # fmt: skip
    spine.stop()
    spine.start(BROKER_LEASE_SECONDS="60")
    assert [broker.by("v").take(), broker.by("v").take()] == [first, second]
    assert broker.job(first)["worker_id"] == "v"


def test_a_heartbeat_chunk_extends_the_lease(start_spine: Start) -> None:
    """Section 4: later."""
    broker = Broker(start_spine(BROKER_LEASE_SECONDS="6").port, "w")
    job_id = broker.create()
    began = (broker.next() or {})["started_at"]
    while time.time() < began + 9:
        answer = broker.worker("POST", f"/jobs/{job_id}/chunks", {"type": "heartbeat", "content": ""})
        assert (answer.status, broker.job(job_id)["status"]) == (200, "running")
        time.sleep(0.3)  # a worker's pace
    assert broker.by("v").next() is None
    assert broker.result(job_id).json == {"ok": True, "status": "done"}
    assert broker.job(job_id)["started_at"] == began


# --- 5. Matching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requires", "caps", "fits"),
    [
        (None, None, True),
        ({"caps": ["a"]}, None, False),
        ({"caps": ["a"]}, "b", False),
        ({"caps": ["a"]}, "a", True),
        ({"caps": ["a", "b"]}, "b", False),
        ({"caps": ["a", "b"]}, " b , a,c ", True),
        ({"caps": ["a", "b"]}, '["a", "b"]', True),
        ('{"caps":["a"]}', "b", False),
        ('{"caps":["a"]}', '["repo_tools","a"]', True),
        ({"caps": []}, None, True),
        ({"caps": "a"}, None, True),
        ({"caps": [1]}, None, True),
        ([1], None, True),
        ("no JSON", None, True),
        ("", None, True),
        (7, None, True),
        ({"caps": ["a"]}, "[broken", False),
    ],
)
def test_matching(broker: Broker, requires: Any, caps: str | None, fits: bool) -> None:
    """Section 5: later. What is missing, invalid or empty matches everybody."""
    job_id = broker.create(requires=requires)
    assert (broker.next(**({} if caps is None else {"X_Worker_Caps": caps})) or {}).get("id") == (
        job_id if fits else None
    )


# --- the rest of the way there ----------------------------------------------------------------------------------------


def test_a_base_address_with_a_slash(broker: Broker) -> None:
    """Section 1: source. Two slashes are one."""
    assert Api(broker.port).get("/broker//health").json == {"ok": True, "ts_bound": True}
    assert Api(broker.port).get("//broker/health").json == {"ok": True, "ts_bound": True}


def test_ours_are_not_under_the_prefix_nor_theirs_outside_it(broker: Broker, module_spine: SpineProcess) -> None:
    assert broker.call("GET", "/machines").status == 404
    assert Api(module_spine.port).call("GET", "/jobs/next", headers=WORKER).status == 401
    assert Api(module_spine.port).get("/brokers/health").status == 404
