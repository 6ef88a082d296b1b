"""What a broker gets wrong, and a spine that speaks its dialect does not (contract: Broker, known weaknesses).

Each test fails on the original's behaviour; the number is that of the weakness.
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.facades_broker.conftest import BOT_TOKEN, SETTINGS, WORKER_TOKEN, Broker, Start
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, Api
from tests.support.spine_process import REPO, TOKENS, SpineProcess, free_port

MIB = 1024 * 1024
ENDED = {"ok": True, "status": "done"}


# --- leases and outcomes ----------------------------------------------------------------------------------------------


def test_a_stale_outcome_changes_nothing_and_is_kept(start_spine: Start) -> None:
    """1: another worker holds the job by now."""
    spine = start_spine(BROKER_LEASE_SECONDS="4")
    slow, fast = Broker(spine.port, "slow"), Broker(spine.port, "fast")
    head = Api(spine.port, TOKENS["HEAD_TOKEN"])
    ids = [slow.create() for _ in range(2)]
    assert [slow.take(), slow.take()] == ids
    eventually(lambda: all(slow.job(job_id)["status"] == "queued" for job_id in ids), what="the end of the leases")
    spine.stop()
    spine.start(BROKER_LEASE_SECONDS="60")
    assert [fast.take(), fast.take()] == ids
    before = [fast.job(job_id) for job_id in ids]
    for answer in (slow.result(ids[0], "stale"), slow.fail(ids[1], "stale")):
        assert (answer.status, answer.json) == (409, {"detail": "job is held by fast"})
    assert [fast.job(job_id) for job_id in ids] == before
    first, second = (head.attempts(job_id) for job_id in ids)
    assert [(a["claimedBy"], a["outcome"], a.get("lateResult"), a.get("lateError")) for a in first + second] == [
        ("broker:slow", "expired", "stale", None), ("broker:fast", "running", None, None),
        ("broker:slow", "expired", None, "stale"), ("broker:fast", "running", None, None),
    ]  # fmt: skip
    for job_id in ids:
        assert fast.result(job_id, "good").json == ENDED
        assert (fast.job(job_id)["result"], fast.job(job_id)["worker_id"]) == ("good", "fast")


def test_a_late_result_counts_while_nobody_else_has_the_job(start_spine: Start) -> None:
    """3, 12: no work is thrown away that nobody else does."""
    broker = Broker(start_spine(BROKER_LEASE_SECONDS="1").port, "w")
    job_id = broker.create()
    broker.take()
    eventually(lambda: broker.job(job_id)["status"] == "queued", what="the end of the lease")
    assert broker.result(job_id, "late").json == ENDED
    job = broker.job(job_id)
    assert (job["status"], job["result"], job["worker_id"]) == ("done", "late", "w")
    assert broker.by("v").next() is None


def test_a_result_and_a_failure_at_once(start_spine: Start) -> None:
    """2: of 150 pairs each has one winner, and both callers are told the same."""
    broker = Broker(start_spine().port, "w")
    ids = [broker.create() for _ in range(150)]
    assert [broker.take() for _ in ids] == ids

    def pair(job_id: str) -> tuple[Answer, Answer]:
        together = threading.Barrier(2)

        def sent(send: Any) -> Answer:
            together.wait(10)
            answer: Answer = send(job_id)
            return answer

        one, other = pool.submit(sent, broker.result), pool.submit(sent, broker.fail)
        return one.result(30), other.result(30)

    with ThreadPoolExecutor(2) as pool:
        for job_id in ids:
            result, fail = pair(job_id)
            job = broker.job(job_id)
            assert (result.status, fail.status) == (200, 200)
            if job["status"] == "done":
                assert (job["result"], job["error"], result.json) == ("r", None, ENDED)
                assert fail.json == {"ok": True, "status": "done", "note": "already done; fail ignored"}
            else:
                assert (job["result"], job["error"], fail.json) == (None, "e", {"ok": True, "status": "failed"})
                assert result.json == {"ok": True, "status": "failed", "note": "already failed; result ignored"}


def test_a_job_that_kills_its_workers_ends(start_spine: Start) -> None:
    """4, 15: after five attempts, and with nobody polling when the last lease is over; a late result is kept."""
    spine = start_spine(BROKER_LEASE_SECONDS="1")
    broker, head = Broker(spine.port), Api(spine.port, TOKENS["HEAD_TOKEN"])
    job_id = broker.create()
    for n in range(5):
        worker = broker.by(f"w{n}")
        assert eventually(worker.next, what="the job again")["id"] == job_id
    eventually(lambda: broker.job(job_id)["status"] == "failed", what="the end of the job")
    job = broker.job(job_id)
    assert job["error"] == "dead after 5 attempts: the lease expired"
    assert (job["result"], job["lease_until"], job["worker_id"]) == (None, None, "w4")
    assert broker.next() is None
    late = broker.by("w2").result(job_id, "after all")
    assert late.json == {"ok": True, "status": "failed", "note": "already failed; result ignored"}
    assert [a.get("lateResult") for a in head.attempts(job_id)] == [None, None, "after all", None, None]
    assert head.post(f"/jobs/{job_id}/adopt", {"fence": 3}).status == 200
    assert (broker.job(job_id)["status"], broker.job(job_id)["result"]) == ("done", "after all")


def test_jobs_outlive_a_kill(start_spine: Start) -> None:
    """12, 19: nothing that was answered is lost; a running job is finished by the worker that ran it meanwhile."""
    spine = start_spine()
    broker = Broker(spine.port, "w")
    done, running, queued = broker.create(), broker.create(), broker.create(payload="žluť")
    for job_id in (done, running):
        assert broker.take() == job_id
    broker.result(done, "kept")

    def seen() -> list[dict[str, Any]]:
        # A start gives leases that ended meanwhile, or soon would, a little more time.
        return [broker.job(job_id) | {"lease_until": None} for job_id in (done, running, queued)]

    before = seen()
    spine.kill9()
    spine.start()
    assert seen() == before
    assert broker.result(running).json == ENDED
    assert broker.take() == queued


# --- the queue --------------------------------------------------------------------------------------------------------


def test_a_senseless_requirement_stops_nobody(start_spine: Start) -> None:
    """5: it is the oldest job, and everybody polls."""
    broker = Broker(start_spine().port)
    senseless: list[Any] = [[1], '{"caps":[[1]]}', {"caps": {"a": 1}}, {"caps": [None]}, '"', {"caps": ["\ud800"]}]
    ids = [broker.create(requires=requires) for requires in senseless]
    ids.append(broker.create())
    taken = []
    while job := broker.next(X_Worker_Caps="[1]") or broker.next(X_Worker_Caps='["\\ud800", {"a": []}]'):
        taken.append(job["id"])
    # Half a surrogate pair is a text, if an odd one: only a worker that offers what it became gets that job.
    assert taken == ids[:5] + ids[6:]


def test_jobs_that_nobody_can_do_hide_no_other(start_spine: Start) -> None:
    """6: sixty of them are older."""
    broker = Broker(start_spine().port)
    for n in range(60):
        broker.create(requires={"caps": [f"nobody-{n % 20}"]})
    plain, fitting = broker.create(), broker.create(requires={"caps": ["llm"]})
    assert broker.take(X_Worker_Caps="llm") == plain
    assert broker.take(X_Worker_Caps="llm") == fitting
    assert broker.next(X_Worker_Caps="llm") is None


def test_only_a_get_claims(start_spine: Start) -> None:
    """13: what looks before it asks takes nothing."""
    broker = Broker(start_spine().port)
    job_id = broker.create()
    for method in ("HEAD", "OPTIONS", "POST"):
        assert broker.worker(method, "/jobs/next").status == 405
    assert broker.job(job_id)["status"] == "queued"


def test_connections_do_not_leak(start_spine: Start) -> None:
    """17."""
    spine = start_spine()
    broker, handles = Broker(spine.port), Path(f"/proc/{spine.worker_pid}/fd")
    if not handles.exists():
        pytest.skip("needs /proc")

    def round_trip() -> None:
        broker.result(broker.create() and broker.take())

    for _ in range(5):
        round_trip()
    before = len(os.listdir(handles))
    for _ in range(60):
        round_trip()
    eventually(lambda: len(os.listdir(handles)) <= before + 2, what="closed connections")


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_guessing_is_throttled_and_the_right_token_goes_on(start_spine: Start) -> None:
    """8: from the same address."""
    broker = Broker(start_spine().port)

    def guess(n: int) -> Answer:
        path, header = (("/jobs/x", "X-Bot-Token"), ("/jobs/next", "X-Worker-Token"))[n % 2]
        return broker.call("GET", path, headers={header: f"guess-number-{n}"})

    assert [guess(n).status for n in range(102)] == [401] * 100 + [429] * 2
    answer = guess(102)
    assert (answer.status, answer.json) == (429, {"detail": "too many wrong tokens from this address; wait a minute"})
    assert answer.headers["retry-after"] == "1"
    job_id = broker.create()
    assert broker.take() == job_id
    assert broker.result(job_id).json == ENDED


def test_no_token_is_in_the_log(start_spine: Start) -> None:
    """7: neither a right nor a wrong one, in whole or in part."""
    right = {"BOT_TOKEN": "kq7wzj3v-right-bot", "WORKER_TOKEN": "xh5ynd9f-right-worker"}
    wrong = ("pv2mtc8g-wrong-token", "kq7wzj3v-wrong-bot", "xh5ynd9f-right-worke")
    spine = start_spine(SPINE_LOG_LEVEL="debug", **right)
    broker = Broker(spine.port)
    for token in (*right.values(), *wrong):
        for header in ("X-Bot-Token", "X-Worker-Token", "Authorization"):
            for method, path in (("POST", "/jobs"), ("GET", "/jobs/next"), ("GET", "/jobs/%zz"), ("GET", "/no")):
                broker.call(method, path, b"{" if method == "POST" else None, {header: token})
    spine.stop()
    assert "spine.stopped" in spine.log()
    found = [token for token in (*right.values(), *wrong) if token[:8] in spine.log()]
    assert found == []


def check(tmp_path: Path, **env: str | None) -> subprocess.CompletedProcess[str]:
    """Run `spine check`."""
    environment = SpineProcess(tmp_path / "checked", SETTINGS | env).environment()
    command = [sys.executable, "-m", "spine.cli", "check"]
    return subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=180)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WORKER_TOKEN": BOT_TOKEN}, "WORKER_TOKEN: the same token stands for bot; give each role its own"),
        ({"WORKER_TOKEN": None}, "WORKER_TOKEN: missing; this dialect needs BOT_TOKEN and WORKER_TOKEN"),
        ({"BOT_TOKEN": ""}, "BOT_TOKEN: missing; this dialect needs BOT_TOKEN and WORKER_TOKEN"),
        ({"BOT_TOKEN": "short"}, "BOT_TOKEN: a token needs at least 8 characters; `spine token` makes one"),
        ({"BOT_TOKEN": TOKENS["HEAD_TOKEN"]}, "BOT_TOKEN: the same token stands for head; give each role its own"),
        (
            {"BOT_TOKEN": None, "WORKER_TOKEN": None, "SPINE_BROKER_PORT": "8000"},
            "SPINE_BROKER_PORT: a port for that dialect alone needs BOT_TOKEN and WORKER_TOKEN",
        ),
    ],
)
def test_tokens_that_cannot_be_used(tmp_path: Path, env: dict[str, str | None], said: str) -> None:
    """8: and no start that ends with 0 at once (9)."""
    found = check(tmp_path, **env)
    assert (found.returncode, found.stdout, found.stderr) == (78, "", f"spine: {said}\n")


def test_the_server_itself_refuses_them_too(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 0
    spine = SpineProcess(tmp_path / "refused", SETTINGS | {"WORKER_TOKEN": BOT_TOKEN})
    spine.launch()
    try:
        assert spine.wait(20) == 78
    finally:
        spine.kill9()
    assert "WORKER_TOKEN: the same token stands for bot" in spine.log()
    assert BOT_TOKEN not in spine.log()


# --- sizes, paths, ports ----------------------------------------------------------------------------------------------


def test_a_body_over_four_mib_is_refused(broker: Broker) -> None:
    """20."""
    answer = broker.bot("POST", "/jobs", {"command": "ping", "payload": "x" * (4 * MIB)})
    assert (answer.status, answer.json) == (413, {"detail": "the body may have 4194304 bytes"})
    job_id = broker.create()
    broker.take()
    assert broker.fail(job_id, "x" * (4 * MIB)).status == 413
    assert broker.job(job_id)["status"] == "running"


MARK = "… [cut: it was longer than the spine keeps]"


@pytest.mark.parametrize("escaped", [False, True])
def test_a_result_over_two_mib_is_cut_and_says_so(broker: Broker, escaped: bool) -> None:
    """20, and no loss of the work: a refused result would be thrown away and the job run again."""
    job_id = broker.create()
    broker.take()
    # Two bytes a character, so that the cut falls into one; six when it is sent as an escape.
    body = json.dumps({"result": "x" + "é" * (MIB + MIB // 4)}, ensure_ascii=escaped).encode()
    answer = broker.worker("POST", f"/jobs/{job_id}/result", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (200, ENDED)
    kept = broker.job(job_id)["result"]
    assert len(kept.encode()) in (2 * MIB - 1, 2 * MIB)
    assert kept == "x" + "é" * (len(kept) - len(MARK) - 1) + MARK


def test_a_result_that_cannot_come_in_ends_the_job(start_spine: Start) -> None:
    """20, 4: its worker drops it, so that the job would be run again and again, each time for nothing."""
    spine = start_spine(SPINE_DIALECT_RESULT_MAX_BYTES="1024", SPINE_DIALECT_BODY_MAX_BYTES="1024")
    broker, job_id = Broker(spine.port, "w"), Broker(spine.port).create()
    assert broker.take() == job_id
    assert broker.by("v").result(job_id, "x" * 8192).status == 409
    assert broker.job(job_id)["status"] == "running"
    answer = broker.result(job_id, "x" * 8192)
    assert (answer.status, answer.json) == (413, {"detail": "the body may have 7168 bytes"})
    job = broker.job(job_id)
    told = "the result was too large: the body may have 7168 bytes"
    assert (job["status"], job["result"], job["error"]) == ("failed", None, told)
    assert broker.result("unknown", "x" * 8192).status == 404


@pytest.mark.parametrize("character", ["y", "\x7f", "\n", "\x1f", "é", "漢", "😀"])
def test_a_result_of_two_mib_is_kept_whole(broker: Broker, character: str) -> None:
    """20: however long it is as JSON."""
    text = character * (2 * MIB // len(character.encode()))
    job_id = broker.create()
    broker.take()
    assert broker.result(job_id, text).json == ENDED
    assert broker.job(job_id)["result"] == text


@pytest.mark.parametrize("path", ["/jobs/%zz", "/jobs/%", "/jobs/%ff", "/jobs/%c3%28"])
def test_a_malformed_escape(broker: Broker, path: str) -> None:
    for answer in (
        broker.bot("GET", path),
        broker.worker("POST", path + "/result", {"result": "r"}),
        broker.worker("POST", path + "/fail", {}),
    ):
        assert (answer.status, answer.json) == (400, {"detail": "URI malformed"})


@pytest.mark.parametrize("path", ["/jobs/%00", "/jobs/..%2fnext", "/jobs/%2e%2e", "/jobs/a%2Fb", "/jobs/%F0%9F%98%80"])
def test_an_odd_id_is_an_unknown_one(broker: Broker, path: str) -> None:
    answer = broker.bot("GET", path)
    assert (answer.status, answer.json) == (404, {"detail": "job not found"})


@pytest.mark.parametrize("name", ["w" * 129, "a\tb"])
def test_a_worker_s_name_that_cannot_be_kept(broker: Broker, name: str) -> None:
    broker.create()
    answer = broker.by(name).worker("GET", "/jobs/next")
    assert (answer.status, answer.json) == (400, {"detail": "X-Worker-Id: at most 128 printable characters"})


@pytest.mark.parametrize("variable", ["SPINE_BROKER_PORT", "BROKER_PORT"])
def test_a_port_of_its_own(start_spine: Start, variable: str) -> None:
    port = free_port()
    spine = start_spine(**{variable: str(port)})
    own, prefixed = Broker(port, "w", base=""), Broker(spine.port, "w")
    assert own.call("GET", "/health").json == {"ok": True, "ts_bound": True}
    slashed = own.worker("GET", "/jobs/next/")
    assert (slashed.status, slashed.headers["location"]) == (307, "/jobs/next")
    job_id = own.create()
    assert prefixed.take() == job_id
    assert own.result(job_id).json == ENDED
    assert own.job(job_id) == prefixed.job(job_id)
    # Nothing else is there.
    for path in ("/ready", "/skill.md", "/machines", "/broker/health", "/v1/state"):
        assert (own.call("GET", path).status, own.call("GET", path).json) == (404, {"detail": "Not Found"})


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of the loopback")
def test_an_address_of_its_own(start_spine: Start) -> None:
    """Section 6: `BROKER_HOST`."""
    port = free_port()
    spine = start_spine(SPINE_BROKER_PORT=str(port), BROKER_HOST="127.0.0.2")
    assert Api(port, host="127.0.0.2").get("/health").json == {"ok": True, "ts_bound": True}
    with pytest.raises(ConnectionRefusedError):
        Api(port).get("/health")
    assert Api(spine.port).get("/broker/health").status == 200


def test_without_its_tokens_the_dialect_is_not_spoken(start_spine: Start) -> None:
    spine = start_spine(BOT_TOKEN=None, WORKER_TOKEN=None)
    assert Broker(spine.port).call("GET", "/health").status == 404
    answer = Broker(spine.port).call("GET", "/jobs/next", headers={"X-Worker-Token": WORKER_TOKEN})
    assert answer.status == 404


def test_a_command_that_is_not_allowed(start_spine: Start) -> None:
    """Section 10: an allowlist, when it is set."""
    broker = Broker(start_spine(BROKER_COMMANDS="ping,plan_echo").port)
    answer = broker.bot("POST", "/jobs", {"command": "rm", "payload": ""})
    assert (answer.status, answer.json) == (400, {"detail": "invalid command"})
    assert broker.job(broker.create(" ping "))["status"] == "queued"
