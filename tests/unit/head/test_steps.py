"""What to type next."""

from typing import Any

import pytest
from tests.unit.head.test_policy import job

from contract.wire import Approval, Attempt, ReviewState
from head.steps import steps

LATE = Attempt(
    fence=2,
    round=1,
    attempt=1,
    outcome="expired",
    claimed_by="left-claw",
    worker_id=None,
    machine=None,
    started_at="2026-03-01T12:00:00.000Z",
    ended_at=None,
    error=None,
    late_result={"notes": "late"},
    late_at="2026-03-01T12:10:00.000Z",
)


@pytest.mark.parametrize(
    ("fields", "attempts", "commands"),
    [
        (
            {"status": "waiting", "approval": Approval(state="pending", spec_digest="d", by=None)},
            [],
            ["approve j1", "reject j1 --reason TEXT", "why j1", "watch j1", "cancel j1"],
        ),
        ({"status": "queued"}, [], ["why j1", "watch j1", "cancel j1"]),
        (
            {"status": "running", "fence": 1},
            [],
            ["watch j1", "logs j1 --follow", "comment j1 TEXT", "cancel j1"],
        ),
        (
            {"status": "done", "fence": 1, "review": ReviewState(state="pending", by=None)},
            [],
            ["review j1 accept", "review j1 rework TEXT", "logs j1"],
        ),
        ({"status": "done", "fence": 3}, [LATE], ["logs j1"]),
        ({"status": "dead", "fence": 3}, [LATE], ["adopt j1 2", "retry j1", "logs j1"]),
        ({"status": "cancelled"}, [], ["retry j1"]),
    ],
)
def test_what_can_be_done(fields: dict[str, Any], attempts: list[Attempt], commands: list[str]) -> None:
    assert [step.command for step in steps(job(**fields), attempts)] == commands
