"""Every kill point and every kind of blow, over and over; what came of it is written to docs/reference/soak.md."""

import contextlib
from pathlib import Path

import pytest
from tests.support import soak
from tests.support.reckoning import table
from tests.support.storm import BLOWS, CLAW_BLOWS, SPINE_BLOWS, STOPPED, Storm

pytestmark = pytest.mark.soak

SEED = 7
JOBS = 6
DUE = {
    **dict.fromkeys(SPINE_BLOWS, soak.kills_each(len(SPINE_BLOWS))),
    **dict.fromkeys(CLAW_BLOWS, soak.kills_each(len(CLAW_BLOWS))),
    STOPPED: 5,
}
TITLE = "Processes killed"
TEXT = """In each round a head submits {jobs} jobs to a spine with three claws; every third job changes a repository.
While they are worked on, one process, or all of a machine, is killed with `kill -9`, at a named point of its code or
at any moment, and started again; or a machine is stopped past its lease and goes on. All rounds share one store. Then
every job is held against what the outside world shows: a ledger to which each run of a job appended, and the branches
that were pushed. Seed: {seed}.

{said}. The spine was killed {spine} times, claws and their workers {claws} times.
"""


def test_storm_after_storm(tmp_path: Path) -> None:
    with contextlib.closing(Storm(tmp_path, SEED)) as storm:
        rounds = soak.run(DUE, lambda blow: storm.round(blow, JOBS))
        server_faults = storm.spine.faults()
    soak.record(TITLE, section(rounds))
    assert rounds.faults() == []
    assert server_faults == []
    assert rounds.cut or rounds.came_about() == sum(DUE.values()), "each point was reached, as often as it was due"


def section(rounds: soak.Rounds) -> str:
    """Write what came of it: a few sentences, and a row for each kind of blow."""
    spine, claws = rounds.came_about(SPINE_BLOWS), rounds.came_about(CLAW_BLOWS)
    text = TEXT.format(jobs=JOBS, seed=SEED, said=rounds.said(), spine=spine, claws=claws)
    return text + "\n" + "\n".join(table("killed at", BLOWS, rounds.counts))
