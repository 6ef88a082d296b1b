"""From what a planner says to a plan and what follows it."""

from typing import Any

import pytest

from claw.executors import plan
from claw.outcome import BadResult
from claw.spec import Planned


@pytest.mark.parametrize(
    ("planned", "said", "printed", "result"),
    [
        (Planned(), {}, "  a plan\n", {"plan": "a plan"}),
        (Planned(then={"run": "x"}), {}, "p", {"plan": "p", "next": {"run": "x", "env": {"PLAN": "p"}}}),
        (
            Planned(then={"run": "x", "env": {"PLAN": "own", "A": "b"}}),
            {},
            "p",
            {"plan": "p", "next": {"run": "x", "env": {"PLAN": "own", "A": "b"}}},
        ),
        (
            Planned(task="do it", then="do that"),
            {},
            "p",
            {"plan": "p", "next": "do that\n\nCarry out this plan, which has been accepted:\n\np"},
        ),
        (
            Planned(task="do it"),
            {"notes": "n"},
            "p",
            {"notes": "n", "plan": "p", "next": "do it\n\nCarry out this plan, which has been accepted:\n\np"},
        ),
        (Planned(task="do it"), {"plan": "own", "next": {"run": "y"}}, "p", {"plan": "own", "next": {"run": "y"}}),
        (Planned(task="do it"), {"next": None}, "p", {"next": None, "plan": "p"}),
    ],
)
def test_a_plan_and_what_follows(planned: Planned, said: dict[str, Any], printed: str, result: dict[str, Any]) -> None:
    assert plan.result(planned, said, printed) == result


@pytest.mark.parametrize(
    ("planned", "said", "printed", "why"),
    [
        (Planned(), {}, " \n", "there is no plan"),
        (Planned(), {"plan": 7}, "p", "there is no plan"),
        (Planned(), {"plan": "x" * 32_001}, "p", "the plan has more than 32000 characters"),
        (Planned(), {"next": {"phases": []}}, "p", "what is to follow the plan cannot be run: next.spec.phases"),
        (Planned(then={"run": "x", "env": []}), {}, "p", "what is to follow the plan cannot be run: next.spec.env"),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_plan(planned: Planned, said: dict[str, Any], printed: str, why: str) -> None:
    with pytest.raises(BadResult) as caught:
        plan.result(planned, said, printed)
    assert str(caught.value).startswith(why)
