"""The broker's commands, each text as its runner words it."""

import json
import os
from pathlib import Path

import pytest

from claw import settings
from claw.executors import broker
from claw.outcome import Outcome
from claw.spec import RunnerOrder

JOB = "3f2c1a90-0b1c-4d2e-8f3a-5b6c7d8e9f00"
PLAN = "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9"


def do(command: str, payload: str = "", approved: str | None = None, job: str = JOB, **env: str) -> Outcome:
    plain = {
        "SPINE_TOKEN": "a-token-of-a-claw",
        "HOME": "/home/someone",
        "CLAW_NAME": "left",
        "CLAW_DIALECTS": "broker",
    }
    order = RunnerOrder(command=command, payload=payload, approved=approved)
    return broker.run(order, job, settings.from_env(plain | env))


def done(text: str) -> Outcome:
    return Outcome(action="complete", result=text)


def failed(text: str) -> Outcome:
    return Outcome(action="fail", error=text, requeue=False)


APPROVED = (
    '{"type": "approval", "plan_id": "0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9", "status": "approved", "applied": false, '
    '"note": "no-op (scaffold)"}'
)


@pytest.mark.parametrize(
    ("command", "payload", "text"),
    [
        ("ping", "hello", "pong: hello"),
        ("ping", "", "pong: "),
        (
            "capabilities",
            "ignored",
            '{"worker_id": "left", "capabilities": ["ping", "capabilities", "plan_echo", "approve_echo"], '
            '"version": "mvp"}',
        ),
        (
            "plan_echo",
            "paint it",
            '{"type": "plan", "plan_id": "3f2c1a90-0b1c-4d2e-8f3a-5b6c7d8e9f00", "summary": "Echo plan for: paint it", '
            '"proposed_actions": ["(no-op)"], "requires_approval": true}',
        ),
        (
            "plan_echo",
            "",
            '{"type": "plan", "plan_id": "3f2c1a90-0b1c-4d2e-8f3a-5b6c7d8e9f00", "summary": "Echo plan (no payload)", '
            '"proposed_actions": ["(no-op)"], "requires_approval": true}',
        ),
        (
            "plan_echo",
            "é" * 201,
            '{"type": "plan", "plan_id": "3f2c1a90-0b1c-4d2e-8f3a-5b6c7d8e9f00", "summary": "Echo plan for: '
            + "\\u00e9" * 200
            + '", "proposed_actions": ["(no-op)"], "requires_approval": true}',
        ),
    ],
)
def test_what_a_command_answers(command: str, payload: str, text: str) -> None:
    assert do(command, payload) == done(text)


def test_the_worker_has_a_name_of_its_own() -> None:
    assert json.loads(do("capabilities", WORKER_ID="runner-7").result)["worker_id"] == "runner-7"
    assert json.loads(do("capabilities", WORKER_ID="").result)["worker_id"] == "left"


@pytest.mark.parametrize("command", ["", "dance", "PING", "llm_task"])
def test_an_unknown_command_is_a_failure(command: str) -> None:
    assert do(command) == failed(f"unknown command: {command}")


def test_a_plan_that_the_spine_has_approved() -> None:
    assert do("approve_echo", f"  {PLAN}\n", approved=PLAN) == done(APPROVED)
    assert do("approve_echo", PLAN, approved=JOB) == failed("unknown plan_id")
    assert do("approve_echo", PLAN) == failed("unknown plan_id")
    for payload in ("", " \n"):
        assert do("approve_echo", payload, approved=payload) == failed("plan_id required")


def kept(folder: Path, name: str = PLAN, **members: object) -> Path:
    """Keep a plan as a runner does."""
    (folder / "plans").mkdir(exist_ok=True)
    path = folder / "plans" / f"{name}.json"
    path.write_text(json.dumps({"type": "plan", "plan_id": name, "summary": "s"} | members, indent=2))
    return path


def test_a_plan_that_a_runner_has_kept_is_approved_once(tmp_path: Path) -> None:
    kept(tmp_path)
    assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path)) == done(APPROVED)
    assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path)) == done(APPROVED)  # the same job, run again
    other = do("approve_echo", PLAN, job=PLAN, RUNNER_STATE_DIR=str(tmp_path))
    assert other == failed("plan 0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9 was approved already")
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == [f"{PLAN}.approved", f"{PLAN}.json"]


@pytest.mark.parametrize(
    "payload",
    [
        PLAN.upper(),
        f"../plans/{PLAN}",
        f"./{PLAN}",
        f"{PLAN}.json",
        f"{PLAN}\x00",
        f"{PLAN}/",
        f"{{{PLAN}}}",
        f"urn:uuid:{PLAN}",
        PLAN.replace("-", ""),
        "any",
        "../any",
    ],
)
def test_only_a_plain_id_is_made_into_a_path(tmp_path: Path, payload: str) -> None:
    kept(tmp_path)
    kept(tmp_path, "any")
    for name in (f"{PLAN.upper()}", PLAN.replace("-", "")):
        kept(tmp_path, name)
    (tmp_path / "any.json").write_text(json.dumps({"type": "plan", "plan_id": "any"}))
    assert do("approve_echo", payload, RUNNER_STATE_DIR=str(tmp_path)) == failed("unknown plan_id")
    absolute = str(tmp_path / "plans" / PLAN)
    assert do("approve_echo", absolute, RUNNER_STATE_DIR=str(tmp_path)) == failed("unknown plan_id")


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    outside, state, linked = (tmp_path / name for name in ("outside", "state", "linked"))
    for folder in (outside, state, linked):
        folder.mkdir()
    real = kept(outside)
    (state / "plans").mkdir()
    (state / "plans" / f"{PLAN}.json").symlink_to(real)
    (linked / "plans").symlink_to(outside / "plans")
    for folder in (state, linked):
        assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(folder)) == failed("unknown plan_id")


def test_not_every_file_is_a_plan(tmp_path: Path) -> None:
    assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path)) == failed("unknown plan_id")
    for members in ({"type": "note"}, {"plan_id": JOB}):
        kept(tmp_path, **members)
        assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path)) == failed("unknown plan_id")
    kept(tmp_path).write_text("[]")
    assert do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path)) == failed("unknown plan_id")


def test_an_approval_that_cannot_be_recorded_is_none(tmp_path: Path) -> None:
    kept(tmp_path)
    # A folder in the place of what is written first: not even root can open that for writing.
    (tmp_path / "plans" / f".{PLAN}.approved.{os.getpid()}").mkdir()
    ended = do("approve_echo", PLAN, RUNNER_STATE_DIR=str(tmp_path))
    assert ended == failed("the approval cannot be recorded in RUNNER_STATE_DIR: Is a directory")
