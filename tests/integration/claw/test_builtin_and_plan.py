"""Jobs that start no program, and jobs that only plan."""

from pathlib import Path

import pytest
from tests.integration.claw.conftest import Claw, git

AGENT = '["/bin/sh", "-c", "cat $1", "agent", "{spec_file}"]'


def test_a_ping_is_answered_where_no_program_may_start(claw: Claw) -> None:
    job_id = claw.submit({"builtin": "ping"})
    claw.start(CLAW_ALLOWED_COMMANDS="/no/such/program")
    job = claw.until_status(job_id, "done")
    assert job.result["notes"] == "pong"
    assert job.result["facts"]["clawVersion"] == "0.1.0"
    assert job.result["artifacts"] == []


def test_capabilities_are_told(claw: Claw) -> None:
    job_id = claw.submit({"builtin": "capabilities"})
    claw.start(CLAW_CAPABILITIES="gpu")
    result = claw.until_status(job_id, "done").result
    assert {"shell", "gpu"} <= set(result["capabilities"])
    assert result["notes"] == ", ".join(result["capabilities"])


def test_a_plan_by_a_command_is_read_before_anything_follows(claw: Claw, repo: Path) -> None:
    then = {"repo": str(repo), "run": 'echo "$PLAN" > done.txt'}
    job_id = claw.submit(
        {
            "plan": {"run": "cat file.txt; echo touched > file.txt; echo '  2. write it'"},
            "repo": str(repo),
            "then": then,
        },
        needsReview=True,
    )
    claw.start(CLAW_ALLOWED_REPOS=str(repo.parent))
    planned = claw.until_status(job_id, "done")
    assert planned.result["plan"] == "one\n  2. write it"
    assert planned.result["next"] == then | {"env": {"PLAN": "one\n  2. write it"}}
    assert planned.review is not None
    assert planned.review.state == "pending"
    assert git(repo, "branch", "--list", "spine/*") == ""  # what it changed on the way goes nowhere
    claw.spine.head.review(job_id, "accept")
    follow_up = claw.submit(planned.result["next"], parentId=job_id)
    claw.until_status(follow_up, "done")
    assert git(repo, "show", f"spine/job-{follow_up}:done.txt") == "one\n  2. write it"


def test_a_plan_by_an_agent_gets_the_task_and_the_rules(claw: Claw) -> None:
    job_id = claw.submit({"plan": "Paint the shed."}, needsReview=True)
    claw.start(CLAW_AGENT_COMMAND=AGENT)
    result = claw.until_status(job_id, "done").result
    assert result["plan"].startswith("Make a plan for the task below. Change nothing")
    assert result["plan"].endswith("The task:\n\nPaint the shed.")
    assert result["next"].startswith("Paint the shed.\n\nCarry out this plan, which has been accepted:\n\nMake a plan")


def test_the_planner_may_say_itself_what_follows(claw: Claw) -> None:
    said = """{"plan": "One step.", "next": {"run": "make it"}, "notes": "short"}"""
    job_id = claw.submit({"plan": {"run": f"echo '{said}' > $SPINE_RESULT_FILE"}}, needsReview=True)
    claw.start()
    result = claw.until_status(job_id, "done").result
    assert (result["plan"], result["next"], result["notes"]) == ("One step.", {"run": "make it"}, "short")


@pytest.mark.parametrize(
    ("spec", "review", "error"),
    [
        (
            {"plan": {"run": "echo x"}},
            False,
            "spec.plan: submit it with needsReview: accepting the plan is its approval",
        ),
        ({"plan": {"run": "true"}}, True, "there is no plan: print it, or write it"),
        (
            {"plan": {"run": "echo x"}, "then": {"runn": "y"}},
            True,
            "what is to follow the plan cannot be run: next.spec",
        ),
        ({"builtin": "dance"}, False, "spec.builtin: 'dance' is none of capabilities, ping"),
    ],
)
def test_what_is_refused(claw: Claw, spec: dict[str, object], review: bool, error: str) -> None:
    job_id = claw.submit(spec, needsReview=review, maxAttempts=1)
    claw.start()
    assert (claw.until_status(job_id, "failed", "dead").error or "").startswith(error)
