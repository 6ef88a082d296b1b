"""What a Skyclaw coordinator gets wrong, and a spine that speaks its dialect does not (contract: Skyclaw, weaknesses).

Each test fails on the original's behaviour; the number is that of the weakness.
"""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.facades.conftest import SETTINGS, SKYCLAW_TOKEN, Skyclaw, Start
from tests.support.eventually import eventually
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineFailed, SpineProcess

MINUTES = "2030-01-01T00:0{}:00.000Z"


def snapshot_job(job_id: str, **changes: Any) -> dict[str, Any]:
    """A job as a coordinator sends it."""
    job = {
        "id": job_id, "createdAt": MINUTES.format(0), "updatedAt": MINUTES.format(1), "updatedBy": "node-2",
        "version": 7, "status": "queued", "attempts": 0, "requirement": {"requiredCapabilities": ["nobody-has-it"]},
        "payload": {"kind": "shell", "command": "true"},
    }  # fmt: skip
    return {name: value for name, value in (job | changes).items() if value is not None}


def snapshot_host(host_id: str, **changes: Any) -> dict[str, Any]:
    """A host as a coordinator sends it."""
    return {
        "id": host_id, "name": "far", "capabilities": ["far"], "maxParallel": 1, "activeLeases": 0, "version": 3,
        "lastSeenAt": MINUTES.format(2), "registeredAt": MINUTES.format(0), "updatedBy": "node-2",
    } | changes  # fmt: skip


# --- leases -----------------------------------------------------------------------------------------------------------


def test_a_job_longer_than_its_lease_is_done_once_while_its_host_lives(start_spine: Start) -> None:
    """1, 3: heartbeats extend; in the end the host is free for the next one."""
    sky = Skyclaw(start_spine(SKYCLAW_LEASE_MS="5000").port)
    sky.register("h")
    long, following = sky.enqueue(), sky.enqueue()
    assert (sky.claim("h") or {})["id"] == long
    ends = time.monotonic() + 8
    while time.monotonic() < ends:
        assert sky.heartbeat("h", active=1)["activeLeases"] == 1
        time.sleep(0.3)  # a host's pace
    assert sky.complete(long, "h").status == 200
    assert sky.job(long)["attempts"] == 1
    assert (sky.claim("h") or {})["id"] == following


def test_a_host_whose_claim_got_lost_is_not_wedged(start_spine: Start) -> None:
    """1: the answer to a claim was lost; the daemon beats and asks for work, which it does not while it works."""
    sky = Skyclaw(start_spine(SKYCLAW_LEASE_MS="1000").port)
    sky.register("h")
    lost = sky.enqueue()
    sky.claim("h")

    def beat_and_ask() -> bool:
        sky.heartbeat("h", active=1)
        return sky.claim("h") is not None

    eventually(beat_and_ask, every=0.1, what="the lost job, again")
    assert sky.job(lost)["attempts"] == 2
    assert sky.complete(lost, "h").status == 200


def test_a_lease_is_not_extended_beyond_the_time_out_of_its_job(skyclaw: Skyclaw, head: Api) -> None:
    """The host ends its job then, if it is still there."""
    named, unnamed = skyclaw.enqueue("nobody-has-it", timeoutMs=1500), skyclaw.enqueue("nobody-has-it")
    odd = skyclaw.enqueue("nobody-has-it", timeoutMs="soon")
    assert [head.job(job_id)["timeoutSeconds"] for job_id in (named, unnamed, odd)] == [2, 300, 300]


def test_a_host_that_lost_its_lease_is_not_wedged_and_its_work_not_thrown_away(start_spine: Start) -> None:
    """1, 3: no heartbeat came, the lease is over; nobody took the job meanwhile, so that its result counts."""
    sky = Skyclaw(start_spine(SKYCLAW_LEASE_MS="1000").port)
    sky.register("h")
    job_id = sky.enqueue()
    sky.claim("h")
    eventually(lambda: sky.job(job_id)["status"] == "queued", what="the end of the lease, with nobody polling")
    assert sky.heartbeat("h", active=1)["activeLeases"] == 0
    ended = sky.complete(job_id, "h", stdout="late")
    assert (ended.status, ended.json["job"]["status"]) == (200, "completed")
    assert sky.job(job_id)["result"]["stdout"] == "late"
    assert sky.claim("h") is None
    assert sky.job(job_id)["attempts"] == 1


def test_a_stale_result_changes_nothing_and_is_kept(start_spine: Start) -> None:
    """3: another host holds the job by now."""
    spine = start_spine(SKYCLAW_LEASE_MS="1000")
    sky, head = Skyclaw(spine.port), Api(spine.port, TOKENS["HEAD_TOKEN"])
    sky.register("slow")
    sky.register("fast")
    job_id = sky.enqueue()
    sky.claim("slow")
    eventually(lambda: sky.job(job_id)["status"] == "queued", what="the end of the lease")
    spine.stop()
    spine.start(SKYCLAW_LEASE_MS="60000")
    assert (sky.claim("fast") or {})["id"] == job_id
    for success in (True, False):
        refused = sky.complete(job_id, "slow", success, stdout="stale")
        assert (refused.status, refused.json) == (409, {"error": f"job {job_id} is assigned to fast"})
    assert sky.complete(job_id, "fast", stdout="right").status == 200
    assert sky.job(job_id)["result"]["stdout"] == "right"
    first, second = head.attempts(job_id)
    assert (first["claimedBy"], first["outcome"], first["lateResult"]["stdout"]) == ("skyclaw:slow", "expired", "stale")
    assert (second["claimedBy"], second["outcome"]) == ("skyclaw:fast", "done")


def test_a_host_that_crashed_and_came_back_works_on(start_spine: Start) -> None:
    """2: its lease runs out although the new process sends heartbeats; meanwhile it may take other work."""
    sky = Skyclaw(start_spine(SKYCLAW_LEASE_MS="6000").port)
    sky.register("h")
    lost = sky.enqueue()
    sky.claim("h")
    for _ in range(3):
        host = sky.register("h")
        assert host["activeLeases"] <= 1
    other = sky.enqueue()
    assert (sky.claim("h") or {})["id"] == other
    sky.complete(other, "h")

    def beat() -> bool:
        sky.heartbeat("h", active=1)
        return bool(sky.job(lost)["status"] == "queued")

    eventually(beat, every=0.1, what="the end of the lost lease")
    taken = sky.claim("h") or {}
    assert (taken["id"], taken["attempts"]) == (lost, 2)
    assert sky.complete(lost, "h").status == 200


def test_a_job_that_nobody_can_finish_ends(start_spine: Start) -> None:
    """3: a poison job does not go round for ever."""
    sky = Skyclaw(start_spine(SKYCLAW_LEASE_MS="1000", DEFAULT_MAX_ATTEMPTS="2").port)
    job_id = sky.enqueue()
    for _ in range(2):
        sky.register("h")
        eventually(lambda: sky.claim("h") is not None, what="the next attempt")
    eventually(lambda: sky.job(job_id)["status"] == "failed", what="its end")
    assert sky.job(job_id)["error"] == "dead after 2 attempts: the lease expired"
    assert sky.claim("h") is None


def test_a_heartbeat_frees_no_place(skyclaw: Skyclaw) -> None:
    """16: what a host says of its leases is hearsay."""
    skyclaw.register("booked", "booked")
    first, second = skyclaw.enqueue("booked"), skyclaw.enqueue("booked")
    assert (skyclaw.claim("booked") or {})["id"] == first
    assert skyclaw.heartbeat("booked", active=0)["activeLeases"] == 1
    assert skyclaw.claim("booked") is None
    skyclaw.complete(first, "booked")
    assert skyclaw.heartbeat("booked", active=9)["activeLeases"] == 0
    assert (skyclaw.claim("booked") or {})["id"] == second
    skyclaw.complete(second, "booked")


def test_two_outcomes_at_once_have_one_winner(skyclaw: Skyclaw) -> None:
    skyclaw.register("pairs", "pairs", maxParallel=1000)
    ids = [skyclaw.enqueue("pairs") for _ in range(150)]
    assert [(skyclaw.claim("pairs") or {})["id"] for _ in ids] == ids
    with ThreadPoolExecutor(8) as pool:
        sent = [(job_id, success) for job_id in ids for success in (True, False)]
        answers = list(pool.map(lambda one: skyclaw.complete(one[0], "pairs", one[1], error=None).status, sent))
    pairs = [sorted(answers[n : n + 2]) for n in range(0, 300, 2)]
    assert pairs == [[200, 409]] * 150
    for n, job_id in enumerate(ids):
        won = "completed" if answers[2 * n] == 200 else "failed"
        assert skyclaw.job(job_id)["status"] == won


# --- peers ------------------------------------------------------------------------------------------------------------

BAD_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "a time that is a number": ({"createdAt": 5}, "jobs[1].createdAt: expected 1 to 64 characters"),
    "a time that is none": (
        {"updatedAt": "soon"},
        "jobs[1].updatedAt: expected a time such as 2030-01-31T08:00:00.000Z",
    ),
    "a version that would win for ever": (
        {"version": 2**53 - 1},
        "jobs[1].version: expected a whole number from 0 to 1000000000000",
    ),
    "a version that is no number": (
        {"version": "7"},
        "jobs[1].version: expected a whole number from 0 to 1000000000000",
    ),
    "an unknown status": ({"status": "gone"}, "jobs[1].status: expected one of queued, leased, completed, failed"),
    "an id that is a path": (
        {"id": "../x"},
        "jobs[1].id: expected 1 to 64 of A-Z a-z 0-9 . _ ~ -, no dot first",
    ),
    "attempts below 0": ({"attempts": -1}, "jobs[1].attempts: expected a whole number from 0 to 1000000"),
    "a requirement of numbers": (
        {"requirement": {"requiredCapabilities": [1]}},
        "jobs[1].requirement.requiredCapabilities: expected strings of 1 to 256 characters",
    ),
    "no payload": ({"payload": 1}, "jobs[1].payload: expected an object with a kind"),
    "a result of another kind": ({"result": "x"}, "jobs[1].result: expected an object"),
    "an error of another kind": ({"error": 1}, "jobs[1].error: expected a text"),
}


@pytest.mark.parametrize("case", BAD_JOBS)
def test_a_bad_record_is_refused_and_changes_nothing(skyclaw: Skyclaw, case: str) -> None:
    """7: and the good one beside it is not taken either."""
    changes, told = BAD_JOBS[case]
    before = skyclaw.call("GET", "/v1/state").json
    sent = {"hosts": [snapshot_host("far-1")], "jobs": [snapshot_job("job_good"), snapshot_job("job_bad", **changes)]}
    answer = skyclaw.call("POST", "/v1/replicate/snapshot", sent)
    assert (answer.status, answer.json) == (400, {"error": told})
    assert skyclaw.call("GET", "/v1/state").json == before


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"jobs": {}}, "jobs: expected a list"),
        ({"jobs": [7]}, "jobs[0]: expected an object"),
        ({"jobs": [snapshot_job("job_a")] * 2}, "jobs: the same id comes twice"),
        (
            {"hosts": [snapshot_host("h", version=2**53 - 1)]},
            "hosts[0].version: expected a whole number from 0 to 1000000000000",
        ),
        ({"hosts": [snapshot_host("h", maxParallel=0)]}, "hosts[0].maxParallel: expected a number of at least 1"),
        (
            {"hosts": [snapshot_host("h", capabilities="x")]},
            "hosts[0].capabilities: expected a list of at most 256 strings",
        ),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused(skyclaw: Skyclaw, sent: dict[str, Any], told: str) -> None:
    answer = skyclaw.call("POST", "/v1/replicate/snapshot", sent)
    assert (answer.status, answer.json) == (400, {"error": told})


def test_what_is_not_known_here_is_added_and_what_lives_here_stays(skyclaw: Skyclaw) -> None:
    skyclaw.register("here", "here")
    job_id = skyclaw.enqueue("here")
    skyclaw.claim("here")
    live = skyclaw.job(job_id)
    done = {"durationMs": 5, "exitCode": 0, "stdout": "o", "stderr": ""}
    sent = {
        "nodeId": "node-2",
        "hosts": [snapshot_host("there"), snapshot_host("here", name="another", version=99)],
        "jobs": [
            snapshot_job(job_id, status="completed", version=99, result=done | {"finishedAt": MINUTES.format(1)}),
            snapshot_job("job_there", status="completed", attempts=1, assignedHostId="there", result=done),
            snapshot_job("job_waits"),
        ],
    }
    answer = skyclaw.post("/v1/replicate/snapshot", sent)
    assert answer == {"ok": True, "changed": True, "nodeId": "node-1"}
    assert skyclaw.post("/v1/replicate/snapshot", sent)["changed"] is False
    assert skyclaw.job(job_id) == live
    assert skyclaw.host("here")["name"] == "here"
    assert (skyclaw.host("there")["name"], skyclaw.host("there")["capabilities"]) == ("far", ["far"])
    job = skyclaw.job("job_there")
    assert (job["status"], job["assignedHostId"], job["createdAt"]) == ("completed", "there", MINUTES.format(0))
    assert job["result"] == done | {"finishedAt": MINUTES.format(1)}
    assert skyclaw.job("job_waits")["status"] == "queued"
    assert skyclaw.complete(job_id, "here").status == 200


def test_a_job_that_was_leased_there_goes_on_here(skyclaw: Skyclaw) -> None:
    """A coordinator went away in the middle: its host reports to us, or its lease runs out."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 30))
    leased = {"status": "leased", "attempts": 1, "assignedHostId": "moved", "leaseExpiresAt": ends}
    over = leased | {"leaseExpiresAt": "2026-01-01T00:00:00.000Z"}
    sent = {
        "hosts": [snapshot_host("moved", capabilities=["moved"])],
        "jobs": [
            snapshot_job("job_m1", **leased),
            snapshot_job("job_m2", **over, requirement={"requiredCapabilities": ["moved"]}),
            snapshot_job("job_m3", **leased),
        ],
    }
    assert skyclaw.post("/v1/replicate/snapshot", sent)["changed"] is True
    assert [skyclaw.job(f"job_m{n}")["status"] for n in (1, 2, 3)] == ["leased", "queued", "leased"]
    assert skyclaw.complete("job_m1", "moved", stdout="there").status == 200
    # It ended there while nothing had touched it here: that is how it ended.
    ended = snapshot_job("job_m3", **leased | {"status": "failed", "error": "broke", "leaseExpiresAt": None})
    assert skyclaw.post("/v1/replicate/snapshot", {"jobs": [ended]})["changed"] is True
    assert (skyclaw.job("job_m3")["status"], skyclaw.job("job_m3")["error"]) == ("failed", "broke")
    assert (skyclaw.claim("moved") or {})["id"] == "job_m2"
    skyclaw.complete("job_m2", "moved")


def test_a_job_that_ended_and_was_deleted_here_is_not_done_again(start_spine: Start, tmp_path: Path) -> None:
    """A peer that has not heard of it goes on sending it."""
    spine = start_spine()
    sky = Skyclaw(spine.port)
    spine.stop()
    with sqlite3.connect(spine.data_dir / "spine.db") as store:
        store.execute("INSERT INTO tombstones (id, ended_at) VALUES ('job_gone', 1)")
    store.close()
    spine.start()
    assert sky.post("/v1/replicate/snapshot", {"jobs": [snapshot_job("job_gone")]})["changed"] is False
    assert sky.call("GET", "/v1/state").json["jobs"] == []


# --- clients ----------------------------------------------------------------------------------------------------------


def test_one_key_at_once_makes_one_job(skyclaw: Skyclaw) -> None:
    """8: three requests with the same key, together."""
    body = {"payload": {"kind": "shell", "command": "x"}, "requirement": {"requiredCapabilities": ["nobody-has-it"]}}
    barrier = threading.Barrier(3)

    def send(_: int) -> str:
        barrier.wait(10)
        return str(skyclaw.call("POST", "/v1/jobs", body, {"X-Idempotency-Key": "at-once"}).json["job"]["id"])

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(send, range(3)))) == 1


def test_wrong_tokens_are_slowed_down_and_the_right_one_is_not(start_spine: Start) -> None:
    """14."""
    spine = start_spine()
    right, wrong = Skyclaw(spine.port), Skyclaw(spine.port, token="wrong-token-0001")
    seen = {wrong.call("GET", "/v1/state").status for _ in range(130)}
    assert seen == {401, 429}
    assert right.call("GET", "/v1/state").status == 200


def test_no_token_is_in_the_log(start_spine: Start) -> None:
    spine = start_spine(SPINE_LOG_LEVEL="debug")
    for token in (SKYCLAW_TOKEN, "wrong-token-0002", TOKENS["HEAD_TOKEN"]):
        Skyclaw(spine.port, token=token).call("POST", "/v1/jobs", {"payload": {"kind": "x"}})
        Skyclaw(spine.port, token=token).call("POST", "/v1/jobs", b"{")
    assert [t for t in (SKYCLAW_TOKEN, "wrong-token-0002", TOKENS["HEAD_TOKEN"]) if t in spine.log()] == []


def test_a_body_that_is_too_large_is_refused(skyclaw: Skyclaw) -> None:
    answer = skyclaw.call("POST", "/v1/jobs", b'{"payload":{"kind":"' + b"x" * (4 * 1024 * 1024) + b'"}}')
    assert (answer.status, answer.json) == (413, {"error": "the body may have 4194304 bytes"})


def test_outputs_as_large_as_a_host_may_send_are_kept(skyclaw: Skyclaw) -> None:
    """Section 10: twice 128,000 bytes, each escaped to six."""
    skyclaw.register("loud", "loud")
    job_id = skyclaw.enqueue("loud")
    skyclaw.claim("loud")
    assert skyclaw.complete(job_id, "loud", stdout="\x01" * 128_000, stderr="\x02" * 128_000).status == 200
    assert skyclaw.job(job_id)["result"]["stdout"] == "\x01" * 128_000


def test_outputs_that_are_too_long_are_cut_and_not_refused(skyclaw: Skyclaw) -> None:
    """A daemon throws away a result that is refused, and with it the work."""
    skyclaw.register("louder", "louder")
    job_id = skyclaw.enqueue("louder")
    skyclaw.claim("louder")
    assert skyclaw.complete(job_id, "louder", stdout="x" * 3_000_000, durationMs=7).status == 200
    result = skyclaw.job(job_id)["result"]
    assert result["stdout"].endswith("xx… [cut: it was longer than the spine keeps]")
    assert (result["durationMs"], result["exitCode"], result["stderr"]) == (7, 0, "")


def test_a_result_that_comes_after_a_cancel_is_kept(skyclaw: Skyclaw, head: Api) -> None:
    skyclaw.register("stopped", "stopped")
    job_id = skyclaw.enqueue("stopped")
    skyclaw.claim("stopped")
    assert head.post(f"/jobs/{job_id}/cancel").status == 200
    late = skyclaw.complete(job_id, "stopped", stdout="late")
    assert (late.status, late.json) == (409, {"error": f"job {job_id} is not leased"})
    (attempt,) = head.attempts(job_id)
    assert (attempt["outcome"], attempt["lateResult"]["stdout"]) == ("cancelled", "late")


def test_a_job_cannot_ask_for_another_dialect(skyclaw: Skyclaw) -> None:
    body = {"payload": {"kind": "shell"}, "requirement": {"requiredCapabilities": ["broker"]}}
    answer = skyclaw.call("POST", "/v1/jobs", body)
    told = "requirement.requiredCapabilities: broker is another dialect's"
    assert (answer.status, answer.json) == (400, {"error": told})


def test_half_a_surrogate_pair_in_an_output_costs_no_result(skyclaw: Skyclaw) -> None:
    skyclaw.register("odd", "odd")
    job_id = skyclaw.enqueue("odd")
    skyclaw.claim("odd")
    body = b'{"hostId":"odd","success":true,"stdout":"a\\ud800b\\u0000"}'
    assert skyclaw.call("POST", f"/v1/jobs/{job_id}/complete", body).status == 200
    assert skyclaw.job(job_id)["result"]["stdout"] == "a\ufffdb\x00"


def test_a_restart_keeps_all(start_spine: Start) -> None:
    """15, 17."""
    spine = start_spine()
    sky = Skyclaw(spine.port)
    sky.register("h", "shell", maxParallel=2)
    ids = [sky.enqueue("shell") for _ in range(3)]
    sky.claim("h")
    before = sky.call("GET", "/v1/state").json
    spine.kill9()
    spine.start()
    after = Skyclaw(spine.port).call("GET", "/v1/state").json
    assert [job["id"] for job in after["jobs"]] == ids
    assert after["hosts"] == before["hosts"]
    # A lease gets a little more after a time in which nobody could extend it.
    assert after["jobs"][0].pop("leaseExpiresAt") >= before["jobs"][0].pop("leaseExpiresAt")
    assert after["jobs"] == before["jobs"]
    assert sky.complete(ids[0], "h").status == 200


BAD_SETTINGS: dict[str, tuple[dict[str, str | None], str]] = {
    "peers": (
        {"SKYCLAW_PEER_URLS": "http://a:8787,http://b:8787"},
        "SKYCLAW_PEER_URLS: a spine on an embedded store has no peers; take the variable out, and where one machine is "
        "not enough, let several spines share one PostgreSQL",
    ),
    "a head's token": (
        {"SKYCLAW_TOKEN": TOKENS["HEAD_TOKEN"]},
        "SKYCLAW_TOKEN: the same token stands for head; give each role its own",
    ),
    "a short token": (
        {"SKYCLAW_TOKEN": "short"},
        "SKYCLAW_TOKEN: a token needs at least 8 characters; `spine token` makes one",
    ),
    "the spine's own port": (
        {"SPINE_SKYCLAW_PORT": "18111", "SPINE_PORT": "18111"},
        "SPINE_SKYCLAW_PORT: the same port is SPINE_PORT; a dialect's port is its alone",
    ),
    "a port without a token": (
        {"SKYCLAW_TOKEN": None, "SPINE_SKYCLAW_PORT": "8787"},
        "SPINE_SKYCLAW_PORT: a port for that dialect alone needs SKYCLAW_TOKEN",
    ),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_settings_that_it_does_not_start_with(tmp_path: Path, case: str) -> None:
    changes, told = BAD_SETTINGS[case]
    process = SpineProcess(tmp_path / "spine", SETTINGS | changes)
    with pytest.raises(SpineFailed, match="ended with 78"):
        process.start()
    assert f"spine: {told}" in process.log()


def test_a_spine_without_the_token_does_not_speak_it(start_spine: Start) -> None:
    """14: the original is open to everybody then."""
    spine = start_spine(SKYCLAW_TOKEN=None)
    for path in ("/v1/state", "/skyclaw/health"):
        answer = Skyclaw(spine.port, token=None).call("GET", path)
        assert (answer.status, answer.error) == (404, "not_found")


def test_a_port_for_the_dialect_alone(start_spine: Start, unused_port: int) -> None:
    spine = start_spine(SKYCLAW_COORDINATOR_PORT=str(unused_port))
    sky = Skyclaw(unused_port)
    assert sky.call("GET", "/health").json == {"ok": True, "nodeId": "node-1"}
    assert sky.call("GET", "/jobs").json == {"error": "not found"}
    job_id = sky.enqueue()
    assert Skyclaw(spine.port).job(job_id)["status"] == "queued"
    assert Api(spine.port).get("/health").json["ok"] is True
