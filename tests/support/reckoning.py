"""Holding what a spine says of jobs against what the world shows: the strict count of a round under kills."""

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.support.eventually import eventually
from tests.support.ledger import Ledger

from contract.client import SpineClient
from contract.wire import Job

PHASES = ("first", "last")
ENDED = ("done", "failed", "dead")
DONE_SECONDS = 90.0
REACH_SECONDS = 20.0


@dataclass
class Count:
    """What a round came to. `again`: attempts that were begun anew under a new fence, which a kill may cost."""

    blow: str
    reached: bool = False
    jobs: int = 0
    again: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def faults(self) -> list[str]:
        """Return everything that must not be."""
        return [*self.lost, *self.twice, *self.stuck]


def submit(head: SpineClient, ledger: Ledger, repo: str, jobs: int, first_for: str = "any") -> list[str]:
    """Submit jobs from several threads; every third one changes the repository.

    `first_for` is the target of the first, which changes the repository; the others are for anyone.
    """

    def one(n: int) -> str:
        phases = [{"name": mark, "run": ledger.note(mark)} for mark in PHASES]
        spec: dict[str, object] = {"phases": phases}
        if n % 3 == 0:
            phases[1]["run"] += "; echo two >> file.txt"
            spec["repo"] = repo
        target = first_for if n == 0 else "any"
        return head.submit({"target": target, "spec": spec, "maxAttempts": 20}).id

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(jobs)))


def let_begin(ledger: Ledger, chance: random.Random) -> None:
    """Let some of the work begin, and then a little time pass, so that a blow comes at no particular moment."""
    before, more = len(ledger.entries()), chance.randint(1, 4)
    with contextlib.suppress(AssertionError):
        eventually(lambda: len(ledger.entries()) >= before + more, REACH_SECONDS)
    time.sleep(chance.uniform(0.0, 0.4))


def passed_on(head: SpineClient, job_id: str, fence: int) -> bool:
    """Tell whether a job has gone from the holder of this fence."""
    job = head.job(job_id)
    return job.fence > fence or job.status != "running"


def await_ends(head: SpineClient, ids: Iterable[str], at_rest: Callable[[], bool], count: Count) -> list[Job]:
    """Wait until every job has ended, and then until nobody holds one; note in `stuck` the jobs that do not end.

    `head` asks until it is answered.
    """
    open_ = list(ids)

    def ended() -> bool:
        while open_ and head.job(open_[-1]).status in ENDED:
            open_.pop()
        return not open_

    with contextlib.suppress(AssertionError):
        eventually(ended, DONE_SECONDS, every=0.1)
        eventually(at_rest, DONE_SECONDS, every=0.1)
    jobs = [head.job(job_id) for job_id in ids]
    count.stuck += [f"{job.id} is {job.status}" for job in jobs if job.status not in ENDED]
    return jobs


def examine(
    head: SpineClient, ledger: Ledger, commits: Callable[[str], list[str]], jobs: Iterable[Job], count: Count
) -> None:
    """Hold each job that `submit` made against the ledger, and against the commits on its branch."""
    known = set()
    for job in jobs:
        known.add(job.id)
        done = [attempt.fence for attempt in head.attempts(job.id) if attempt.outcome == "done"]
        count.again += len({entry.fence for entry in ledger.entries(job.id)}) - 1
        if job.status != "done" or job.result is None:
            count.lost.append(f"{job.id} is {job.status}: {job.error}")
            continue
        if done != [job.fence]:
            count.twice.append(f"{job.id} was accepted by {done}, fence {job.fence}")
        marks = ledger.marks(job.id, job.fence)
        if marks != list(PHASES):
            bad = count.twice if len(marks) > len(PHASES) else count.lost
            bad.append(f"{job.id}, fence {job.fence}, did {marks}")
        if isinstance(job.spec, dict) and "repo" in job.spec:
            found = commits(job.id)
            if job.result.get("commit") not in found:
                count.lost.append(f"{job.id}: {job.result.get('commit')} is not on its branch")
            if len(found) > 1:
                count.twice.append(f"{job.id} has {len(found)} commits on its branch")
    count.twice += [str(entry) for entry in ledger.repeated() if entry.job_id in known]


def table(title: str, blows: Sequence[str], counts: Sequence[Count]) -> list[str]:
    """Return the lines of a table: a row for each kind of blow, and the sum."""
    rows = [[blow, *_sums([count for count in counts if count.blow == blow])] for blow in blows]
    rows.append(["**all**", *_sums(counts)])
    return [
        f"| {title} | rounds | came about | jobs | again | lost | twice | stuck | seconds a round |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _sums(counts: Sequence[Count]) -> list[str]:
    whole = [
        len(counts),
        sum(count.reached for count in counts),
        sum(count.jobs for count in counts),
        sum(count.again for count in counts),
        sum(len(count.lost) for count in counts),
        sum(len(count.twice) for count in counts),
        sum(len(count.stuck) for count in counts),
    ]
    each = sum(count.seconds for count in counts) / max(1, len(counts))
    return [*(str(number) for number in whole), f"{each:.1f}"]
