"""Every kill point and every kind of blow, over and over; what came of it is written to docs/reference/soak.md."""

import contextlib
import os
import time
from pathlib import Path

import pytest
from tests.support.spine_process import REPO
from tests.support.storm import BLOWS, Count, Storm

pytestmark = pytest.mark.soak

SEED = 7
JOBS = 9
SECONDS = 600.0
PAGE = REPO / "docs" / "reference" / "soak.md"
HEAD = """# Soak

Written by `make soak`. In each round a head submits {jobs} jobs to a spine with three claws; every third job changes a
repository. While they are worked on, one process, or all of a machine, is killed with `kill -9`, at a named point of
its code or at any moment, and started again; or a machine is stopped past its lease and goes on. All rounds share one
store. Then every job is held against what the outside world shows: a ledger to which each run of a job appended, and
the branches that were pushed.

- *Again*: an attempt that had left lines, was cut short, and was begun anew under a new fence: what a kill may cost.
- *Lost*: a submit was acknowledged and the job did not end as done, or its result, its lines or its commit are missing.
- *Twice*: two accepted results, two commits of one job on its branch, or one attempt that ran a phase two times.
- *Stuck*: a job that did not end, a claw that still holds something, or a process that was left running.

`SOAK_ROUNDS` sets the number of rounds; without it they go on for ten minutes. Seed: {seed}.
"""


def test_storm_after_storm(tmp_path: Path) -> None:
    rounds = int(os.environ.get("SOAK_ROUNDS", "0"))
    counts: list[Count] = []
    begun = time.monotonic()
    with contextlib.closing(Storm(tmp_path, SEED)) as storm:
        while len(counts) < rounds if rounds else time.monotonic() - begun < SECONDS:
            counts.append(storm.round(BLOWS[len(counts) % len(BLOWS)], JOBS))
            print(f"{len(counts):4}  {counts[-1]}", flush=True)
            if counts[-1].faults():
                break
        server_faults = storm.spine.faults()
    PAGE.write_text(page(counts, time.monotonic() - begun))
    assert [count for count in counts if count.faults()] == []
    assert server_faults == []
    assert {count.blow for count in counts if count.reached} == set(BLOWS[: len(counts)]), "each point was reached"


def page(counts: list[Count], seconds: float) -> str:
    """Write the table: a row for each kind of blow, and the sum."""
    rows = [[blow, *_sums([count for count in counts if count.blow == blow])] for blow in BLOWS]
    rows.append(["**all**", *_sums(counts)])
    lines = [
        HEAD.format(jobs=JOBS, seed=SEED),
        f"{len(counts)} rounds in {seconds:.0f} s.",
        "",
        "| killed at | rounds | kills | jobs | again | lost | twice | stuck | seconds a round |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _sums(counts: list[Count]) -> list[str]:
    whole = [
        len(counts),
        sum(count.reached for count in counts),
        sum(count.jobs for count in counts),
        sum(count.again for count in counts),
        sum(len(count.lost) for count in counts),
        sum(len(count.twice) for count in counts),
        sum(len(count.stuck) for count in counts),
    ]
    each = sum(count.seconds for count in counts) / max(1, len(counts))
    return [*(str(number) for number in whole), f"{each:.1f}"]
