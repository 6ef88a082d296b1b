"""What the long tests of a database that fails over share: two spines under load, the rounds, their section."""

import itertools
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.support import soak
from tests.support.failover import SETTINGS, Load, Striking
from tests.support.reckoning import table
from tests.support.spine_process import SpineProcess

SPINES = 2
# A database may be away for most of a minute before the last job can end.
END_SECONDS = 120.0
_SAID = """{said}. {jobs} jobs were done, by calls of which {refused} were answered 503 and repeated, {unknown} of
them with `outcome_unknown`. No change was acknowledged for {writes:.1f} s at most, no read answered for {reads:.1f} s,
counted from the blow. The reader of events was told of a gap {regained} times, and began anew.
"""


def struck(
    title: str,
    text: str,
    url: str,
    striking: Callable[[Load], Striking],
    due: Mapping[str, int],
    seconds: float,
    folder: Path,
) -> None:
    """Strike a database as often as is due while two spines serve from it, count, and write a section.

    Raises:
        AssertionError: something was lost, done twice or stuck, or a spine logged an error
    """
    with ExitStack() as stack:
        spines = [SpineProcess(folder / f"spine-{n}", SETTINGS | {"SPINE_DATABASE_URL": url}) for n in range(SPINES)]
        for spine in spines:
            stack.callback(spine.kill9)
            spine.start()
        blows = striking(Load(spines, folder))
        blows.load.start()
        try:
            rounds = soak.run(due, blows.round, seconds)
        finally:
            blows.load.finish(END_SECONDS)
        blows.load.examine(rounds.counts[-1])
    soak.record(title, _section(text, rounds, blows))
    assert rounds.faults() == [], rounds.faults()
    assert rounds.cut or rounds.came_about() == sum(due.values())
    for spine in spines:
        faults = spine.faults('"level": "error"')
        assert faults == [], faults


def _section(text: str, rounds: soak.Rounds, blows: Striking) -> str:
    refusals, gaps = blows.load.refusals, blows.gaps
    said = _SAID.format(
        said=rounds.said(),
        jobs=len(blows.load.submitted),
        regained=blows.load.regained,
        refused=refusals["unavailable"] + refusals["outcome_unknown"],
        unknown=refusals["outcome_unknown"],
        writes=max(gap.writes for gap in gaps),
        reads=max(gap.reads for gap in gaps),
    )
    lines = table("what befell", list(rounds.due), rounds.counts)
    lines += ["", "| seconds without | changes: median | longest | reads: median | longest |", "|---|--:|--:|--:|--:|"]
    for blow, found in itertools.groupby(sorted(gaps, key=lambda gap: gap.blow), key=lambda gap: gap.blow):
        these = list(found)
        kinds = [gap.writes for gap in these], [gap.reads for gap in these]
        cells = [f"{pick(kind):.1f}" for kind in kinds for pick in (statistics.median, max)]
        lines.append(f"| {blow} | {' | '.join(cells)} |")
    return text.strip() + "\n\n" + said + "\n" + "\n".join(lines)
