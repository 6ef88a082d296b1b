"""Two spines on one database, one of them killed every few seconds: nothing is lost, nothing is done twice."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.support.postgres_server import PostgresServer
from tests.support.two_spines import TwoSpines

pytestmark = [pytest.mark.acceptance, pytest.mark.docker]

SEED = 23
JOBS, KILLS = 1500, 3


@pytest.mark.timeout(360, func_only=True)
def test_jobs_and_events_outlive_either_spine(postgres: PostgresServer, tmp_path: Path) -> None:
    database = postgres.create()
    try:
        with closing(TwoSpines(tmp_path, postgres.url(database), SEED)) as storm:
            tally = storm.storm(JOBS, KILLS, every=5.0, most_seconds=300.0)
    finally:
        postgres.drop(database)
    assert tally.faults() == []
