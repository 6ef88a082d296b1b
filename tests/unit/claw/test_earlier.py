"""Whose agent is shown earlier runs, and that one begins without them when the spine does not give them."""

from typing import Any

import msgspec
import pytest
from tests.unit.claw.conftest import held, job

from claw.runner import earlier
from contract.errors import NotOwner, SpineError, Unavailable
from contract.fleet_client import FleetClient
from contract.retry import RetryPolicy
from contract.wire import EarlierRun, Job


def holding(**more: Any) -> Any:
    found = held()
    found.job = msgspec.convert(job(**more), Job)
    return found


@pytest.mark.parametrize(
    ("fields", "is_wanted"),
    [
        ({"scheduleId": "sch_1", "meta": {"context": {"last": 3}}}, True),
        ({"meta": {"context": {"last": 3}}}, False),  # somebody's own member on a job of no schedule
        ({"scheduleId": "sch_1", "meta": {"context": "mine"}}, False),
        ({"scheduleId": "sch_1", "meta": {}}, False),
        ({"scheduleId": "sch_1", "meta": None}, False),
    ],
)
def test_who_wants_them(fields: dict[str, Any], is_wanted: bool) -> None:
    assert earlier.wanted(holding(**fields)) is is_wanted


class Spine(FleetClient):
    """A client whose spine gives what it is told to."""

    def __init__(self, given: list[EarlierRun] | SpineError) -> None:
        super().__init__("http://127.0.0.1:1", "")
        self.given = given

    def earlier(self, job_id: str) -> list[EarlierRun]:
        assert job_id == "j1"
        if isinstance(self.given, SpineError):
            raise self.given
        return self.given


def test_a_spine_that_gives_them_or_does_not() -> None:
    run = EarlierRun(job_id="e", status="done", finished_at="", text="t", cut=False)
    assert earlier.fetch(Spine([run]), holding()) == ([run], None)
    for error in (Unavailable("no answer"), NotOwner("right-claw holds this job")):
        runs, why = earlier.fetch(Spine(error), holding())
        assert runs == []
        assert why is not None
        assert why.endswith(f"the agent begins without them: {error.detail}")


def test_a_spine_that_cannot_be_reached_is_asked_again_but_not_for_ever() -> None:
    waits: list[float] = []
    quick = RetryPolicy(attempts=3, base_seconds=0.001)
    client = FleetClient("http://127.0.0.1:9", "token", retry=quick, sleep=waits.append)
    assert earlier.fetch(client, holding())[0] == []
    assert len(waits) == 2
