"""What the live table shows: who runs what, what waits and why, what needs a person, what has ended lately.

Kept up to date from lists and events; how it looks is decided in `head.boardview`.
"""

import time
from collections.abc import Iterable

import msgspec

from contract.errors import Gone, NotFound, SpineError
from contract.head_client import HeadClient
from contract.states import TERMINAL, Status
from contract.wire import Event, Job, JobList, Machine, Reason
from head import words
from head.steer import candidates

SHOWN_MOST = 50
_WHY_MOST = 20
_ENDED_MOST = 10
# Lists are by when jobs were made: among so many of the newest are those that ended last.
_LATELY = 200
_COUNT_SECONDS = 2.0
_FETCH_MOST = 50  # over it one list is cheaper than single looks
_TOLD = frozenset(
    {"job.completed", "job.adopted", "job.failed", "job.dead", "job.cancelled", "job.rejected", "job.reviewed"}
    | {"job.retried", "job.late_result"}
)


class Waiting(msgspec.Struct, rename="camel", kw_only=True):
    """A job that has not begun, and the first reason why; None where it was not asked for."""

    job: Job
    why: Reason | None


class Need(msgspec.Struct, rename="camel", kw_only=True):
    """A job that a person has to decide about: `approval`, `review`, or a `late` result with its fence."""

    kind: str
    job: Job
    fence: int | None = None


class Picture(msgspec.Struct, rename="camel", kw_only=True):
    """One look at the fleet; `more…` says that there are more than are listed. `at` is the spine's time.

    `counts` are all jobs that the spine keeps, by status; empty where it does not tell.
    """

    at: str
    running: list[Job] = []
    more_running: bool = False
    waiting: list[Waiting] = []
    more_waiting: bool = False
    needs_person: list[Need] = []
    more_needs: bool = False
    ended: list[Job] = []
    machines: list[Machine] = []
    paused_targets: list[str] = []
    counts: dict[str, int] = {}


class Board:
    """Looks at the spine; not safe for several threads."""

    def __init__(self, client: HeadClient) -> None:
        self._client = client
        self._reviews: dict[str, Job] = {}
        self._late: dict[str, tuple[Job, int]] = {}
        self._unlisted: set[str] = set()  # kinds of which there are more than are listed
        self._ended: dict[str, Job] = {}
        self._since = ""
        self._counts: dict[str, int] = {}
        self._counted_at = float("-inf")

    def place(self) -> str:
        """Return the cursor behind all that has happened until now.

        What is loaded after this call misses nothing but what events behind the place tell.

        Raises:
            SpineError
        """
        return self._client.events("newest", limit=1).next_cursor

    def load(self) -> None:
        """Look for what lists alone tell.

        Raises:
            SpineError
        """
        self._since = self._now()
        self._reviews, self._late, self._ended = {}, {}, {}
        reviews, late = self._oldest(needs="review"), self._oldest(needs="late")
        self._unlisted = {kind for kind, page in (("review", reviews), ("late", late)) if _goes_on(page)}
        ended = self._client.jobs(order="newest", limit=_LATELY, status=",".join(sorted(TERMINAL)))
        for job in ended.jobs:
            self._keep_end(job)
        for job in reviews.jobs:
            self._keep(job)
        for job in late.jobs:
            self._look_for_late(job)

    def note(self, events: Iterable[Event]) -> None:
        """Take in what has happened.

        Raises:
            SpineError
        """
        ids = {event.job_id: None for event in events if event.type in _TOLD and event.at >= self._since}
        if len(ids) > _FETCH_MOST:
            self.load()
            return
        listed = self._listed() & self._unlisted
        for job_id in ids:
            try:
                job = self._client.job(job_id or "")
            except (NotFound, Gone):
                continue
            for known in (self._reviews, self._late, self._ended):
                known.pop(job.id, None)
            self._keep(job)
            if job.status != Status.DONE and job.fence > 0:
                self._look_for_late(job)
        if listed - self._listed():  # there is room for the next ones
            self.load()

    def look(self) -> Picture:
        """Return the fleet as it is now.

        Raises:
            SpineError
        """
        running = self._oldest(status="running")
        waiting, approvals = self._oldest(status="waiting,queued"), self._oldest(needs="approval")
        rest = [job for job in waiting.jobs if job.approval is None or job.approval.state != "pending"]
        fleet = self._client.machines()
        needs = [Need(kind="approval", job=job) for job in approvals.jobs]
        needs += [Need(kind="review", job=job) for job in self._reviews.values()]
        needs += [Need(kind="late", job=job, fence=fence) for job, fence in self._late.values()]
        return Picture(
            at=self._now(),
            running=running.jobs,
            more_running=_goes_on(running),
            waiting=[Waiting(job=job, why=self._why(job.id) if n < _WHY_MOST else None) for n, job in enumerate(rest)],
            more_waiting=_goes_on(waiting),
            needs_person=needs,
            more_needs=bool(self._unlisted) or _goes_on(approvals),
            ended=sorted(self._ended.values(), key=_end, reverse=True)[:_ENDED_MOST],
            machines=[machine for machine in fleet.machines if machine.revoked_at is None],
            paused_targets=fleet.paused_targets,
            counts=self._count(),
        )

    def _keep(self, job: Job) -> None:
        if words.needs_review(job):
            self._reviews[job.id] = job
        if job.status in TERMINAL:
            self._keep_end(job)

    def _keep_end(self, job: Job) -> None:
        self._ended[job.id] = job
        if len(self._ended) > 4 * _ENDED_MOST:
            kept = sorted(self._ended.values(), key=_end)[-_ENDED_MOST:]
            self._ended = {one.id: one for one in kept}

    def _listed(self) -> set[str]:
        """Return the kinds of which at least half as many are listed as there is room for."""
        kinds = {"review": len(self._reviews), "late": len(self._late)}
        return {kind for kind, count in kinds.items() if 2 * count >= SHOWN_MOST}

    def _look_for_late(self, job: Job) -> None:
        found = candidates(self._client.attempts(job.id))
        if found:
            self._late[job.id] = (job, found[-1].fence)

    def _why(self, job_id: str) -> Reason | None:
        try:
            return next(iter(self._client.why(job_id).reasons), None)
        except (NotFound, Gone):
            return None

    def _count(self) -> dict[str, int]:
        """Return how many jobs there are, asked for only so often: a look may follow on another at once."""
        if time.monotonic() - self._counted_at >= _COUNT_SECONDS:
            self._counted_at = time.monotonic()
            try:
                self._counts = self._client.counts()
            except SpineError:  # figures may be kept from us by a proxy: the board does without
                self._counts = {}
        return self._counts

    def _now(self) -> str:
        """Return the spine's time."""
        return str(self._client.health()["time"])

    def _oldest(self, **query: str) -> JobList:
        """Return the jobs that match and have been there for longest."""
        return self._client.jobs(limit=SHOWN_MOST, **query)


def _goes_on(page: JobList) -> bool:
    return isinstance(page.next_cursor, str)


def _end(job: Job) -> str:
    return job.finished_at or job.updated_at
