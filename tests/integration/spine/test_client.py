"""The product's own client against a real server: each call, its errors, its repeats, its fail-over."""

import io
import time

import pytest
from tests.support.figures import until_waiting
from tests.support.raw_http import Api
from tests.support.relay import LosingRelay
from tests.support.server import Server, StartSpine
from tests.support.spine_process import TOKENS, free_port

from contract import errors
from contract.client import SpineClient
from contract.retry import RetryPolicy

QUICK = RetryPolicy(attempts=3, base_seconds=0.01, cap_seconds=0.05, total_seconds=10)


def client(port: int, token: str = TOKENS["HEAD_TOKEN"], worker_id: str | None = None, *more: str) -> SpineClient:
    return SpineClient([f"http://127.0.0.1:{port}", *more], token, worker_id=worker_id, retry=QUICK)


@pytest.fixture
def boss(server: Server) -> SpineClient:
    return client(server.port)


@pytest.fixture
def hand(server: Server, name: str) -> SpineClient:
    return client(server.port, f"token-of-{name}", "w1")


def test_a_job_from_its_submit_to_its_result(boss: SpineClient, hand: SpineClient, name: str) -> None:
    job = boss.submit({"target": name, "spec": {"a": [1]}, "requires": ["git"]})
    assert (job.status, job.spec, job.max_attempts) == ("queued", {"a": [1]}, 5)
    assert hand.claim() == []
    (mine,) = hand.claim(capabilities=["git"], wait=1)
    assert (mine.id, mine.fence, mine.worker_id) == (job.id, 1, "w1")
    boss.comment(job.id, "look here")
    beat = hand.heartbeat(job.id, 1, {"phase": 1})
    assert [c.text for c in beat.new_comments or []] == ["look here"]
    assert hand.append_log(job.id, 1, 0, b"line 1\n").size == 7
    assert boss.read_log(job.id, 5) == b"1\n"
    blob = hand.upload("a.txt", io.BytesIO(b"bytes"))
    assert hand.complete(job.id, 1, {"artifacts": [blob.id]}).status == "done"
    assert boss.download(blob.id) == b"bytes"
    assert boss.job(job.id).result == {"artifacts": [blob.id]}
    assert [a.outcome for a in boss.attempts(job.id)] == ["done"]
    assert [j.id for j in boss.jobs(target=name, status="done").jobs] == [job.id]
    assert boss.events(job_id=job.id).events[-1].type == "job.completed"
    assert [e.event for e in boss.follow_log(job.id)] == ["attempt", "log", "end"]


def test_refusals_come_as_their_classes_with_their_members(
    server: Server, boss: SpineClient, hand: SpineClient, name: str
) -> None:
    job = boss.submit({"target": name})
    with pytest.raises(errors.NotFound):
        boss.job("nosuch")
    with pytest.raises(errors.Unauthorized):
        hand.submit({})
    with pytest.raises(errors.Forbidden):
        client(server.port, TOKENS["LEFT_CLAW_TOKEN"]).job(job.id)
    with pytest.raises(errors.InvalidField) as invalid:
        boss.submit({"target": 5})
    assert invalid.value.members["field"] == "target"
    with pytest.raises(errors.TooLarge):
        boss.submit({"spec": "x" * 2_000_000})
    hand.claim_one(job.id)
    with pytest.raises(errors.AlreadyClaimed) as claimed:
        hand.claim_one(job.id)
    assert claimed.value.members["claimedBy"] == name
    with pytest.raises(errors.LogGap) as gap:
        hand.append_log(job.id, 1, 5, b"x")
    assert gap.value.members["size"] == 0
    hand.release(job.id, 1, "tired", count_attempt=False)
    hand.claim_one(job.id)
    with pytest.raises(errors.StaleFence) as stale:
        hand.complete(job.id, 1, "late")
    assert stale.value.members["lateResult"] == "kept"
    with pytest.raises(errors.StaleFence):
        hand.heartbeat(job.id, 1)
    assert hand.fail(job.id, 2, "no", requeue=False).status == "failed"
    with pytest.raises(errors.TerminalStatus) as ended:
        hand.claim_one(job.id)
    assert ended.value.members["status"] == "failed"


def test_a_lost_answer_is_repeated_and_nothing_happens_twice(server: Server, head: Api, name: str) -> None:
    with LosingRelay(server.port, lose=1) as relay:
        job = client(relay.port).submit({"target": name})
        assert relay.lost == 1
    assert [j["id"] for j in head.get(f"/jobs?target={name}").json["jobs"]] == [job.id]
    with LosingRelay(server.port, lose=1) as relay:
        (mine,) = client(relay.port, f"token-of-{name}", "w1").claim()
        assert relay.lost == 1
    assert (mine.id, mine.fence, mine.attempts) == (job.id, 1, 1)
    with LosingRelay(server.port, lose=2) as relay:
        done = client(relay.port, f"token-of-{name}", "w1").fail(job.id, 1, "e")
        assert relay.lost == 2
    assert (done.status, done.attempts) == ("queued", 1)
    assert [e["type"] for e in head.events(job.id)] == ["job.created", "job.claimed", "job.failed"]
    with LosingRelay(server.port, lose=1) as relay:
        client(relay.port).comment(job.id, "once")
    assert len(head.job(job.id)["comments"]) == 1


def test_a_log_piece_that_is_repeated_is_stored_once(server: Server, boss: SpineClient, name: str) -> None:
    job = boss.submit({"target": name})
    client(server.port, f"token-of-{name}", "w1").claim_one(job.id)
    with LosingRelay(server.port, lose=1) as relay:
        assert client(relay.port, f"token-of-{name}", "w1").append_log(job.id, 1, 0, b"piece").size == 5
    assert boss.read_log(job.id) == b"piece"


def test_a_stream_is_opened_with_the_newer_token(server: Server, boss: SpineClient, name: str) -> None:
    job, url = boss.submit({"target": name}), f"http://127.0.0.1:{server.port}"
    events = SpineClient(url, "old", renew=lambda used: TOKENS["HEAD_TOKEN"]).follow_events(job_id=job.id)
    assert next(events).event == "job.created"
    events.close()
    with pytest.raises(errors.Unauthorized):
        next(SpineClient(url, "lost", renew=lambda used: f"{used} too").follow_events(job_id=job.id))


def test_the_next_base_url_is_tried(server: Server, name: str) -> None:
    both = client(free_port(), TOKENS["HEAD_TOKEN"], None, f"http://127.0.0.1:{server.port}")
    assert both.submit({"target": name}).target == name
    assert both.base_url == f"http://127.0.0.1:{server.port}"


def test_no_server_at_all_is_unavailable(name: str) -> None:
    begun = time.monotonic()
    with pytest.raises(errors.Unavailable):
        client(free_port()).submit({})
    assert time.monotonic() - begun < 15


def test_a_server_that_starts_anew_is_met_again(start_spine: StartSpine) -> None:
    server = start_spine()
    patient = SpineClient(
        f"http://127.0.0.1:{server.port}",
        TOKENS["HEAD_TOKEN"],
        retry=RetryPolicy(attempts=60, base_seconds=0.1, cap_seconds=0.2, total_seconds=30),
    )
    job = patient.submit({})
    server.process.kill9()
    server.process.launch()
    assert patient.job(job.id).id == job.id
    server.process.wait_ready()


def test_a_waiting_claim_through_a_stop_comes_to_its_job_after_it(start_spine: StartSpine) -> None:
    server = start_spine()
    hand = SpineClient(
        f"http://127.0.0.1:{server.port}",
        "token-of-c1",
        worker_id="w1",
        retry=RetryPolicy(attempts=60, base_seconds=0.1, cap_seconds=0.2, total_seconds=30),
    )
    poll = server.claw("c1").poll(wait=25)
    until_waiting(server.head, 1)
    server.process.stop()
    assert poll.jobs() == []
    poll.close()
    server.process.start()
    job = server.head.submit(target="c1")
    assert [j.id for j in hand.claim(wait=5)] == [job["id"]]
