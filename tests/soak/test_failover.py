"""The primary database struck in every way, over and over, under load; what came of it, and how long it took."""

import itertools
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support import soak
from tests.support.engine import opened
from tests.support.failover import BLOWS, SETTINGS, Failovers, Load
from tests.support.postgres_pair import PostgresPair
from tests.support.reckoning import table
from tests.support.spine_process import SpineProcess

pytestmark = [pytest.mark.soak, pytest.mark.docker]

SPINES = 2
ROUNDS = 10
SECONDS = 900.0
TITLE = "The primary database lost"
TEXT = """Two spines serve from a PostgreSQL primary with a synchronous standby. Heads submit, workers claim and
complete, each call repeated under its key until it is answered. One reader looks again and again at jobs whose end was
acknowledged, another follows the events. In each round the primary is struck, or left as it is, and the standby
promoted at once. Then the old primary comes back as it was, taking sessions and writes, and at last a new standby has
its place. *Lost* is also a write that went to the old one when all had left it, a look at it, or an event that the
reader did not get, or not in its order. It goes on for {minutes:.0f} minutes at most.

{said}. {jobs} jobs were done, by calls of which {refused} were answered 503 and repeated, {unknown} of them with
`outcome_unknown`. No change was acknowledged for {writes:.1f} s at most, no read answered for {reads:.1f} s, counted
from the blow. The reader of events was told of a gap {regained} times, and began anew.
"""


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    with opened() as client:
        pair = PostgresPair(client)
        yield pair
        pair.stop()


def test_failover_after_failover(pair: PostgresPair, tmp_path: Path) -> None:
    with ExitStack() as stack:
        settings = SETTINGS | {"SPINE_DATABASE_URL": pair.url()}
        spines = [SpineProcess(tmp_path / f"spine-{n}", dict(settings)) for n in range(SPINES)]
        for spine in spines:
            stack.callback(spine.kill9)
            spine.start()
        failovers = Failovers(pair, Load(spines, tmp_path))
        failovers.load.start()
        try:
            rounds = soak.run(dict.fromkeys(BLOWS, ROUNDS), failovers.round, SECONDS)
        finally:
            failovers.load.finish(60)
        failovers.load.examine(rounds.counts[-1])
    soak.record(TITLE, section(rounds, failovers))
    assert rounds.faults() == []
    assert rounds.cut or rounds.came_about() == ROUNDS * len(BLOWS)
    for spine in spines:
        assert spine.faults('"level": "error"') == []


def section(rounds: soak.Rounds, failovers: Failovers) -> str:
    """Write what came of it: a few sentences, the counts, and the pauses."""
    refusals, gaps = failovers.load.refusals, failovers.gaps
    text = TEXT.format(
        minutes=SECONDS / 60,
        said=rounds.said(),
        jobs=len(failovers.load.submitted),
        regained=failovers.load.regained,
        refused=refusals["unavailable"] + refusals["outcome_unknown"],
        unknown=refusals["outcome_unknown"],
        writes=max(gap.writes for gap in gaps),
        reads=max(gap.reads for gap in gaps),
    )
    lines = table("what befell", BLOWS, rounds.counts)
    lines += ["", "| seconds without | changes: median | longest | reads: median | longest |", "|---|--:|--:|--:|--:|"]
    for blow, found in itertools.groupby(sorted(gaps, key=lambda gap: gap.blow), key=lambda gap: gap.blow):
        these = list(found)
        kinds = [gap.writes for gap in these], [gap.reads for gap in these]
        cells = [f"{pick(kind):.1f}" for kind in kinds for pick in (statistics.median, max)]
        lines.append(f"| {blow} | {' | '.join(cells)} |")
    return text + "\n" + "\n".join(lines)
