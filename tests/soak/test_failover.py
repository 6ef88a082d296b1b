"""The primary database struck in every way, over and over, under load; what came of it, and how long it took."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support import failover_soak
from tests.support.engine import opened
from tests.support.failover import BLOWS, Failovers
from tests.support.postgres_pair import PostgresPair

pytestmark = [pytest.mark.soak, pytest.mark.docker]

ROUNDS = 10
SECONDS = 900.0
TITLE = "The primary database lost"
TEXT = """Two spines serve from a PostgreSQL primary with a synchronous standby. Heads submit, workers claim and
complete, each call repeated under its key until it is answered. One reader looks again and again at jobs whose end was
acknowledged, another follows the events. In each round the primary is struck, or left as it is, and the standby
promoted at once. Then the old primary comes back as it was, taking sessions and writes, and at last a new standby has
its place. *Lost* is also a write that went to the old one when all had left it, a look at it, or an event that the
reader did not get, or not in its order. It goes on for {minutes:.0f} minutes at most.
"""


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    with opened() as client:
        pair = PostgresPair(client)
        yield pair
        pair.stop()


def test_failover_after_failover(pair: PostgresPair, tmp_path: Path) -> None:
    text, due = TEXT.format(minutes=SECONDS / 60), dict.fromkeys(BLOWS, ROUNDS)
    failover_soak.struck(TITLE, text, pair.url(), partial(Failovers, pair), due, SECONDS, tmp_path)
