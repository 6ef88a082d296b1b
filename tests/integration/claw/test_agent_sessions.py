"""A text as a session on a gateway: a real claw, a real spine, `spine-dispatch` as a process, a gateway on a socket."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.claw.conftest import Claw, until
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.mock_model import ANSWER

from claw.executors.dispatch import Steering
from claw.process import identity


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as found:
        yield found


def start(claw: Claw, gateway: FakeGateway, **more: str) -> None:
    claw.start(OPENCLAW_GATEWAY_URL=gateway.url, OPENCLAW_GATEWAY_TOKEN=TOKEN, **more)


def ask(claw: Claw, model: str = "answers", text: str = "What is six times seven?", **fields: Any) -> str:
    meta = {"agent": {"id": "main", "model": f"mock/{model}"}}
    return claw.submit(text, requires=["agent"], meta=meta, **fields)


def log_of(claw: Claw, job_id: str) -> str:
    return claw.spine.head.read_log(job_id).decode()


def test_a_text_is_a_session_and_its_answer_the_result(claw: Claw, gateway: FakeGateway) -> None:
    start(claw, gateway)
    job_id = ask(claw)
    job = claw.until_status(job_id, "done", seconds=40)
    assert job.result["notes"] == ANSWER
    assert job.result["session"]["label"] == job_id
    assert job.result["session"]["agent"] == "main"
    assert job.result["usage"]["model"] == "answers"
    (prompt,) = gateway.prompts
    assert prompt.startswith("What is six times seven?\n")
    assert ANSWER in log_of(claw, job_id)
    for secret in (TOKEN, claw.token):
        assert secret not in prompt
        assert secret not in log_of(claw, job_id)
        assert secret not in json.dumps(job.result)


def test_the_block_at_the_end_is_the_result_and_may_say_that_it_failed(claw: Claw, gateway: FakeGateway) -> None:
    start(claw, gateway)
    gateway.replies.append('Fine.\n```json\n{"notes": "all well", "howToTest": ["look"]}\n```')
    job = claw.until_status(ask(claw, "scripted"), "done", seconds=40)
    assert (job.result["notes"], job.result["howToTest"]) == ("all well", ["look"])
    gateway.replies.append('Sorry.\n```json\n{"outcome": "fail", "error": "no such file", "cause": "permanent"}\n```')
    job = claw.until_status(ask(claw, "scripted"), "failed", "dead", seconds=40)
    assert (job.status, job.error) == ("failed", "no such file")


def test_an_overload_burns_no_attempt_and_the_reset_of_a_quota_is_waited_for(claw: Claw, gateway: FakeGateway) -> None:
    gateway.error_text = "HTTP 529 overloaded, try again in 2 hours"
    start(claw, gateway)
    job_id = ask(claw, maxAttempts=1)
    job = claw.until_status(job_id, "waiting", "dead", "failed", seconds=40)
    assert (job.status, job.attempts) == ("waiting", 0)
    (reason,) = [r for r in claw.spine.head.why(job_id).reasons if r.code == "overload"]
    (attempt,) = claw.spine.head.attempts(job_id)
    assert (attempt.outcome, attempt.cause) == ("failed", "overload")
    failed = [e for e in claw.spine.head.events(job_id=job_id).events if e.type == "job.failed"][-1]
    assert failed.data["notBefore"] in reason.message
    assert failed.data["counted"] is False


def test_what_will_never_go_well_is_not_tried_again(claw: Claw, gateway: FakeGateway) -> None:
    gateway.error_text = "HTTP 401 invalid api key"
    start(claw, gateway)
    job = claw.until_status(ask(claw), "failed", "dead", seconds=40)
    assert job.status == "failed"
    assert "invalid api key" in (job.error or "")


def test_what_the_head_says_goes_into_the_session(claw: Claw, gateway: FakeGateway) -> None:
    start(claw, gateway)
    job_id = ask(claw, "sleeps")
    until(lambda: gateway.prompts, 30)
    claw.spine.head.comment(job_id, "go left")
    until(lambda: gateway.told("chat.send"), 30)
    assert gateway.told("chat.send")[0]["message"] == "go left"
    gateway.wake()
    until(lambda: "go left" in gateway.prompts, 30)
    gateway.wake()
    job = claw.until_status(job_id, "done", seconds=40)
    assert job.result["notes"] == f"{ANSWER}\n\n{ANSWER}"


def test_a_cancel_ends_the_session(claw: Claw, gateway: FakeGateway) -> None:
    start(claw, gateway)
    job_id = ask(claw, "sleeps")
    until(lambda: gateway.prompts, 30)
    claw.spine.head.cancel(job_id)
    until(lambda: gateway.told("sessions.abort"), 30)
    until(lambda: not identity.marked({"SPINE_JOB_ID": job_id}), 20)
    assert claw.job(job_id).status == "cancelled"


def test_a_rework_goes_on_in_the_same_session(claw: Claw, gateway: FakeGateway) -> None:
    start(claw, gateway)
    job_id = ask(claw, needsReview=True)
    first = claw.until_status(job_id, "done", seconds=40)
    claw.spine.head.review(job_id, "rework", "shorter")
    until(lambda: claw.job(job_id).status == "done" and claw.job(job_id).round == 2, 40)
    again = claw.job(job_id)
    assert again.result["session"]["sessionKey"] == first.result["session"]["sessionKey"]
    assert len(gateway.prompts) == 2
    assert "> shorter" in gateway.prompts[1]


def test_a_claw_with_a_gateway_says_that_it_can_and_one_without_does_not(claw: Claw, tmp_path: Path) -> None:
    def offered(**more: str) -> bool:
        checks = json.loads(claw.cli("doctor", "--json", **more).stdout)["checks"]
        return not any(check["name"] == "agent" for check in checks)

    assert not offered()
    assert offered(OPENCLAW_GATEWAY_TOKEN=TOKEN)
    config = tmp_path / "openclaw.json"
    assert not offered(OPENCLAW_CONFIG_PATH=str(config))
    config.write_text("{}")
    assert offered(OPENCLAW_CONFIG_PATH=str(config))
    refused = claw.cli("doctor", CLAW_PASS_ENV="OPENCLAW_GATEWAY_TOKEN", OPENCLAW_GATEWAY_TOKEN=TOKEN)
    assert "CLAW_PASS_ENV: OPENCLAW_GATEWAY_TOKEN is never passed to a job" in refused.stdout + refused.stderr
    assert TOKEN not in refused.stdout + refused.stderr


def test_more_than_the_pipe_holds_is_handed_on_whole(tmp_path: Path) -> None:
    said = [f"{n}" * 16_000 for n in range(9)]
    comments, begin = tmp_path / "comments", threading.Event()
    comments.write_text("".join(json.dumps({"t": "now", "by": "head", "text": text}) + "\n" for text in said))
    begin.set()
    steering = Steering(tmp_path / "pipe", comments, 0, begin)
    try:
        with (tmp_path / "pipe").open() as source:
            until(lambda: steering._rest)  # a part of a line is in the pipe, the rest waits
            assert [json.loads(source.readline())["steer"] for _ in said] == said
    finally:
        steering.close()
