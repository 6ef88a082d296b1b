"""Containers killed and cut off under a load of submits: nothing acknowledged is lost, nothing is done twice."""

import pytest
from tests.support.stack import Stack
from tests.support.stack_storm import BLOWS, StackStorm

pytestmark = pytest.mark.docker

SEED = 20_261_124
JOBS = 6


@pytest.fixture(scope="module")
def storm(whole_stack: Stack) -> StackStorm:
    return StackStorm(whole_stack, SEED)


@pytest.mark.parametrize("blow", BLOWS[:3])
def test_a_round_with_a_blow(stack: Stack, storm: StackStorm, blow: str) -> None:
    count = storm.round(blow, JOBS)
    assert count.faults() == []
    assert count.reached
    assert count.jobs > JOBS, "submits were under way"
