"""Two heads with one lease, the leader struck again and again; what came of it is written to docs/reference/soak.md."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.acceptance.conftest import spine_settings
from tests.support import soak
from tests.support.heads import BLOWS, LEASE_SECONDS, PROMISED_SECONDS, TAKE_OVER_SECONDS, Heads
from tests.support.reckoning import table
from tests.support.spine_process import SpineProcess

pytestmark = [pytest.mark.soak, pytest.mark.docker, pytest.mark.timeout(0)]

ROUNDS = 20
TITLE = "Two heads"
TEXT = """Two loops compete for a lease of {lease} s, on the embedded store and then on PostgreSQL. In each round the
leader is killed; or stopped until the other one leads, and let go on; or stopped with a review on its way to the spine,
which arrives after the other one has taken over. Meanwhile jobs end that are to be reviewed. Each must be reviewed
once, the next one must act within the lease and {more:g} s, and what is done in the name of the old leader must be
refused. *Seconds a round* runs from the blow to the next leader's first act.

{said}. The longest time from a blow to the next leader's act was {longest:.1f} s.
"""


def test_leader_after_leader(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres")
    name = server.create()
    rounds = soak.Rounds(dict.fromkeys(BLOWS, 2 * ROUNDS))
    for engine, url in (("sqlite", None), ("postgres", server.url(name))):
        spine = SpineProcess(tmp_path / engine, spine_settings(SPINE_DATABASE_URL=url, LEASE_SECONDS="300")).start()
        try:
            (tmp_path / f"{engine}-heads").mkdir()
            with closing(Heads(tmp_path / f"{engine}-heads", spine)) as heads:
                found = soak.run(dict.fromkeys(BLOWS, ROUNDS), heads.round)
        finally:
            spine.kill9()
        rounds.counts += found.counts
        rounds.seconds += found.seconds
        rounds.cut = rounds.cut or found.cut
    server.drop(name)
    longest = max(count.seconds for count in rounds.counts)
    text = TEXT.format(lease=LEASE_SECONDS, more=TAKE_OVER_SECONDS, said=rounds.said(), longest=longest)
    soak.record(TITLE, text + "\n" + "\n".join(table("leader", BLOWS, rounds.counts)))
    assert rounds.faults() == []
    assert longest <= PROMISED_SECONDS
    assert rounds.cut or rounds.came_about() == sum(rounds.due.values())
