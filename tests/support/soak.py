"""What the long tests share: the time they may take together, rounds until enough has been struck, and their page.

Each adds a section to the page. It is found by its title and replaced whole, so that one may be run without the others.
"""

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.reckoning import Count
from tests.support.spine_process import REPO

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
# How often the spine, and how often claws, are to be killed in each part.
KILLS = int(os.environ.get("SOAK_KILLS", "100"))
PAGE = REPO / "docs" / "reference" / "soak.md"
HEAD = """# Soak

Written by `make soak`: each part of it that counts something writes a section. `SOAK_KILLS` sets how often the spine,
and how often claws, are killed in each part (100), `SOAK_MINUTES` how long all of it may take (60); a section says so
when that time cut it short. In a table of rounds

- *again* is an attempt that had begun to work and was begun anew under a new fence: what a kill may cost;
- *lost*: a submit was acknowledged and the job did not end as done, or something of what it did is missing;
- *twice*: two accepted results, two commits of one job on its branch, or one attempt that ran a phase two times;
- *stuck*: a job that did not end, a claw that still holds something, or a process that was left running.
"""

_begun = time.monotonic()


def seconds_left() -> float:
    """Return how much is left of the time that all long tests have, from the start of this process; not below 0."""
    return max(0.0, MINUTES * 60 - (time.monotonic() - _begun))


def kills_each(kinds: int) -> int:
    """Return how often each of several kinds of kill is due, so that together they are as many as are wanted."""
    return math.ceil(KILLS / kinds)


def record(title: str, text: str, page: Path = PAGE) -> None:
    """Write a section of the page: a new one at the end, one with this title in its place. The others stay."""
    sections = _sections(page.read_text(encoding="utf-8")) if page.exists() else {}
    sections[title] = text.strip()
    parts = [HEAD.strip(), *(f"## {title}\n\n{text}" for title, text in sections.items())]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _sections(text: str) -> dict[str, str]:
    _, *found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title.strip(): body.strip() for title, body in zip(found[::2], found[1::2], strict=True)}


@dataclass
class Rounds:
    """What came of many rounds. `due`: how often each blow was to come about; `cut`: the time was over before."""

    due: Mapping[str, int]
    counts: list[Count] = field(default_factory=list)
    seconds: float = 0.0
    cut: bool = False

    def came_about(self, among: Iterable[str] | None = None) -> int:
        """Return how often one of some blows, or any, has come about."""
        wanted = set(self.due if among is None else among)
        return sum(count.reached for count in self.counts if count.blow in wanted)

    def owed(self) -> list[str]:
        """Return the blows that have not come about as often as they are due; a few may miss, not most."""
        struck = Counter(count.blow for count in self.counts if count.reached)
        tried = Counter(count.blow for count in self.counts)
        owed = [blow for blow in self.due if struck[blow] < self.due[blow] and tried[blow] < 2 * self.due[blow]]
        # Evenly, so that all have had their share whenever the time is over.
        return sorted(owed, key=lambda blow: tried[blow] / self.due[blow])

    def faults(self) -> list[Count]:
        """Return the rounds in which something went wrong."""
        return [count for count in self.counts if count.faults()]

    def said(self) -> str:
        """Say how many rounds there were, and whether they were all."""
        text = f"{len(self.counts)} rounds in {self.seconds:.0f} s"
        return f"{text}, cut short by the time: {sum(self.due.values())} were due" if self.cut else text


def run(due: Mapping[str, int], one: Callable[[str], Count], most_seconds: float = math.inf) -> Rounds:
    """Run rounds until each blow has come about as often as it is due, a fault is found or the time is over."""
    rounds, begun = Rounds(due), time.monotonic()
    until = begun + min(most_seconds, seconds_left())
    while (owed := rounds.owed()) and not rounds.faults():
        if time.monotonic() >= until:
            rounds.cut = True
            break
        last = one(owed[0])
        rounds.counts.append(last)
        rounds.seconds = time.monotonic() - begun
        print(
            f"{rounds.came_about():4}/{sum(due.values())} {rounds.seconds:6.0f} s: {last.blow}"
            f"{'' if last.reached else ' (missed)'}, {last.seconds:.1f} s, again {last.again}, "
            f"faults {last.faults() or 'none'}",
            flush=True,
        )
    return rounds
