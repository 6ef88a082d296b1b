"""A cluster on Redis while its primary is killed or frozen, over and over; the figures go to docs/reference/soak.md."""

from collections.abc import Callable

import pytest
from tests.support import soak
from tests.support.engine import opened
from tests.support.eventually import eventually
from tests.support.redis_fleet import DOWN_MS, RedisFleet
from tests.support.redis_watch import LEASE, Watch

from cluster.redis_address import read_url
from cluster.redis_backend import RedisBackend
from contract.clock import since_boot

pytestmark = [pytest.mark.soak, pytest.mark.docker, pytest.mark.timeout(0)]

ROUNDS = 10
TITLE = "A cluster on Redis whose primary fails"
TEXT = """A primary, a replica and three Sentinels ({down} s until they take a primary for dead). Two candidates contend
for a lease of {lease} s, one sender broadcasts, three members receive. In each round the primary is killed, or frozen
and thawed when the other has taken its place. *Gap*: from then until a lease is taken or renewed again. *Overlap*: how
long two candidates could take themselves for the leader, of whom only the one with the greater token is let in. *Lost*:
messages that were acknowledged to their sender and went down with the primary, before its replica had them.

| the primary was | rounds | shortest gap | longest gap | longest overlap | sent | lost | disorder | tokens back |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def test_failover_after_failover() -> None:
    rows = []
    with opened() as client:
        for name in ("killed", "frozen"):
            fleet = RedisFleet(client)
            try:
                rows.append(_rounds(name, fleet, fleet.kill if name == "killed" else fleet.freeze))
            finally:
                fleet.stop()
    soak.record(TITLE, TEXT.format(down=DOWN_MS / 1000, lease=LEASE) + "\n".join(rows))


def _rounds(name: str, fleet: RedisFleet, blow: Callable[[], str]) -> str:
    backends: list[RedisBackend] = []

    def connect() -> RedisBackend:
        backends.append(RedisBackend(read_url(fleet.url)))
        return backends[-1]

    watch = Watch(connect)
    gaps: list[float] = []
    try:
        while len(gaps) < ROUNDS and soak.seconds_left() > 60:
            sent = len(watch.sent)
            eventually(lambda sent=sent: len(watch.sent) > sent + 100, 30)
            begin = since_boot()
            address = blow()
            struck = since_boot()
            back = eventually(lambda struck=struck: watch.leader_after(struck + 0.5), 60, what="a lease at the replica")
            gaps.append(back - begin)
            fleet.mend(address)
            print(f"{name} {len(gaps)}/{ROUNDS}: {gaps[-1]:.1f} s, {watch.lost()} lost", flush=True)
        goal = watch.sent[-1]
        eventually(lambda: watch.reached(goal), 30)
    finally:
        watch.stop()
        for backend in backends:
            backend.close()
    assert (watch.faults, watch.disorder(), watch.backwards()) == ([], [], 0)
    return (
        f"| {name} | {len(gaps)} | {min(gaps):.1f} s | {max(gaps):.1f} s | {watch.overlap():.1f} s"
        f" | {len(watch.sent)} | {watch.lost()} | {len(watch.disorder())} | {watch.backwards()} |"
    )
