"""Containers killed and cut off, over and over, while jobs are submitted and done; a strict count of it."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.support import soak
from tests.support.engine import opened
from tests.support.reckoning import table
from tests.support.stack import Stack, build_images
from tests.support.stack_storm import BLOWS, JOBS, SUBMITTERS, StackStorm

pytestmark = [pytest.mark.soak, pytest.mark.docker]

SEED = 11
SECONDS = 1800.0
SPINE_KILLS = tuple(blow for blow in BLOWS if "killed" in blow and "claw" not in blow)
CLAW_KILLS = tuple(blow for blow in BLOWS if "killed" in blow and "spine" not in blow)
DUE = {blow: soak.kills_each(len(SPINE_KILLS)) if "killed" in blow else 5 for blow in BLOWS}
TITLE = "Containers killed and cut off"
TEXT = """In each round {jobs} jobs are submitted to the Compose project and done by its two claws; every third one
changes a repository. All the while {submitters} threads submit jobs that wait. Then a container, or the main process in
it, is killed with `kill -9`, or taken off the network for a moment or beyond its lease, and comes back. All rounds
share one project. *Lost* and *twice* are also submits that were acknowledged and are not there, or are there unasked.
It goes on for {minutes:.0f} minutes at most. Seed: {seed}.

{said}. The spine was killed {spine} times, claws {claws} times.
"""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with opened() as client:
        yield client


@pytest.fixture
def stack(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(engine, tmp_path / "soak", build_images(engine))
    try:
        stack.make_tokens()
        stack.up()
        yield stack
    finally:
        stack.remove()


def test_storm_over_containers(stack: Stack) -> None:
    storm = StackStorm(stack, SEED)
    rounds = soak.run(DUE, storm.round, SECONDS)
    soak.record(TITLE, section(rounds))
    assert rounds.faults() == []
    assert stack.faults() == []
    assert rounds.cut or rounds.came_about() == sum(DUE.values()), "each blow came about, as often as it was due"


def section(rounds: soak.Rounds) -> str:
    """Write what came of it: a few sentences, and a row for each kind of blow."""
    counted = {"spine": rounds.came_about(SPINE_KILLS), "claws": rounds.came_about(CLAW_KILLS)}
    text = TEXT.format(jobs=JOBS, submitters=SUBMITTERS, minutes=SECONDS / 60, seed=SEED, said=rounds.said(), **counted)
    return text + "\n" + "\n".join(table("what befell", BLOWS, rounds.counts))
