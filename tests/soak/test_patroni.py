"""The leader of a Patroni cluster struck, over and over, under load; nobody promotes but Patroni."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support import failover_soak
from tests.support.engine import opened
from tests.support.failover import CUT_OFF, FROZEN, KILLED
from tests.support.patroni_cluster import TTL_SECONDS, PatroniCluster, Takeovers

pytestmark = [pytest.mark.soak, pytest.mark.docker]

DUE = {KILLED: 10, FROZEN: 3, CUT_OFF: 2}
SECONDS = 1200.0
TITLE = "The leader of a Patroni cluster lost"
TEXT = """Two spines serve from three PostgreSQL members under Patroni, with one etcd, `synchronous_mode: true` and
`ttl: {ttl}`, the least that Patroni takes. Load and count are those of the section on the primary database. In each
round, once one member is a synchronous standby and all are on one timeline, the leader is struck: its whole container
is killed with `kill -9`, frozen, or cut off the network. Nobody promotes by hand: Patroni does, when the leader's lock
has lapsed. Then the old leader comes back, and Patroni makes it a standby again. It goes on for {minutes:.0f} minutes
at most.
"""


@pytest.fixture
def cluster() -> Iterator[PatroniCluster]:
    with opened() as client:
        cluster = PatroniCluster(client)
        yield cluster
        cluster.stop()


def test_takeover_after_takeover(cluster: PatroniCluster, tmp_path: Path) -> None:
    text = TEXT.format(ttl=TTL_SECONDS, minutes=SECONDS / 60)
    failover_soak.struck(TITLE, text, cluster.url(), partial(Takeovers, cluster), DUE, SECONDS, tmp_path)
