"""Two spines on one database, one of them killed every five seconds, until twenty claws have done 20,000 jobs."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.support import soak
from tests.support.postgres_server import PostgresServer
from tests.support.two_spines import CLAWS, Tally, TwoSpines

pytestmark = [pytest.mark.soak, pytest.mark.docker]

SEED = 29
JOBS = 20_000
EVERY = 5.0
TITLE = "Two spines on one database, one killed"
TEXT = """A head submits {jobs} jobs, some with a concurrency key, to two spines on one PostgreSQL database. {claws}
claws do them: threads that speak HTTP through the claws' client, send each call to either spine, and go over to the
other when one does not answer. Every {every:.0f} s one spine is killed with `kill -9` and started again, each in turn.
Two readers follow the events, one by pages, one by the stream. Seed: {seed}.

All had ended after {seconds:.0f} s; a spine was killed {kills} times. {events} events were written. *Lost* is anything
that was acknowledged and is not there, and an event that a reader missed or saw out of order; *twice* a job that was
made, given out or done twice, and an event that came twice; *again* a job that was given out under a second fence.

| jobs | a second | again | lost | twice |
|--:|--:|--:|--:|--:|
| {jobs} | {rate:.0f} | {again} | {lost} | {twice} |
"""


def test_twenty_thousand_jobs_outlive_either_spine(postgres: PostgresServer, tmp_path: Path) -> None:
    database = postgres.create()
    try:
        with closing(TwoSpines(tmp_path, postgres.url(database), SEED)) as storm:
            tally = storm.storm(JOBS, kills=1, every=EVERY, most_seconds=soak.seconds_left())
    finally:
        postgres.drop(database)
    soak.record(TITLE, section(tally))
    assert tally.faults() == []


def section(tally: Tally) -> str:
    """Write what came of it."""
    figures = {
        "jobs": tally.jobs,
        "seconds": tally.seconds,
        "kills": tally.kills,
        "events": tally.events,
        "again": tally.again,
        "lost": len(tally.lost),
        "twice": len(tally.twice),
        "rate": tally.jobs / tally.seconds,
    }
    return TEXT.format(claws=CLAWS, every=EVERY, seed=SEED, **figures)
