"""Containers killed and cut off, over and over, while jobs are submitted and done; a strict count of it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.support.engine import opened
from tests.support.reckoning import Count, table
from tests.support.stack import Stack, build_images
from tests.support.stack_storm import BLOWS, JOBS, SUBMITTERS, StackStorm

pytestmark = [pytest.mark.soak, pytest.mark.docker]

SEED = 11
SECONDS = 600.0
TITLE = "Containers killed and cut off"
TEXT = """In each round {jobs} jobs are submitted to the Compose project and done by its two claws; every third one
changes a repository. All the while {submitters} threads submit jobs that wait. Then a container, or the main process in
it, is killed with `kill -9`, or taken off the network for a moment or beyond its lease, and comes back. All rounds
share one project. *Lost* and *twice* are also submits that were acknowledged and are not there, or are there unasked.
`SOAK_E2E_SECONDS` says how long it goes on ({seconds:.0f} without it). Seed: {seed}.

{rounds} rounds in {took:.0f} s.
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
    seconds = float(os.environ.get("SOAK_E2E_SECONDS") or SECONDS)
    counts: list[Count] = []
    begun = time.monotonic()
    storm = StackStorm(stack, SEED)
    while time.monotonic() - begun < seconds:
        counts.append(storm.round(BLOWS[len(counts) % len(BLOWS)]))
        print(f"{len(counts):4}  {counts[-1]}", flush=True)
        if counts[-1].faults():
            break
    print(f"## {TITLE}\n\n{section(counts, time.monotonic() - begun)}", flush=True)
    assert [count for count in counts if count.faults()] == []
    assert stack.faults() == []
    assert {count.blow for count in counts if count.reached} == set(BLOWS[: len(counts)]), "each blow was struck"


def section(counts: list[Count], took: float) -> str:
    """Return what docs/reference/soak.md has to say about containers, below the title."""
    text = TEXT.format(jobs=JOBS, submitters=SUBMITTERS, seconds=SECONDS, seed=SEED, rounds=len(counts), took=took)
    return text + "\n" + "\n".join(table("what befell", BLOWS, counts))
