"""Two spines on one database and twenty claws, while one spine after the other is killed; a strict count of it.

Claws are threads that speak HTTP through the claws' own client, each call to either spine, and go over to the other
when one does not answer. What they did is written down here, outside of the spines, before they report it.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from tests.support.eventually import eventually
from tests.support.replay import Replay
from tests.support.spine_process import TOKENS, SpineProcess

from contract import wire
from contract.client import SpineClient
from contract.errors import NotRunning, StaleFence, TerminalStatus, Unavailable
from contract.head_client import HeadClient
from contract.retry import RetryPolicy

CLAWS = 20
LIST = 50
OPEN_MOST = 400
KEYS = {"db": 1, "web": 3}
# Until one that was killed serves again, and as often as it takes.
STUBBORN = RetryPolicy(attempts=1000, base_seconds=0.02, cap_seconds=0.25, total_seconds=90.0)
STALL_SECONDS = 60.0


@dataclass
class Tally:
    """What a storm came to. `again`: jobs that were worked on under more than one fence, which a kill may cost."""

    jobs: int = 0
    seconds: float = 0.0
    kills: int = 0
    events: int = 0
    again: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return everything that must not be."""
        return [*self.lost, *self.twice]


@dataclass
class Books:
    """What the outside world knows: what was acknowledged, and what claws have really done."""

    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)  # completed by this fence, and told so
    cancelled: set[str] = field(default_factory=set)
    comments: Counter[str] = field(default_factory=Counter)
    worked: list[tuple[str, int]] = field(default_factory=list)  # an append is one step of the interpreter

    def ended(self) -> int:
        """Return how many jobs are known to have ended."""
        return len(self.done) + len(self.cancelled)


class TwoSpines:
    """The servers, and everybody who speaks to them. Everything random comes from one seed."""

    def __init__(self, folder: Path, database_url: str, seed: int) -> None:
        self._seed, self._names = seed, [f"claw-{n}" for n in range(CLAWS)]
        env = {
            "SPINE_DATABASE_URL": database_url,
            "CLAW_TOKENS": ",".join(f"{name}={_token(name)}" for name in self._names),
            "SPINE_LOG_LEVEL": "warning",
            "REAPER_INTERVAL_MS": "500",
            # A claw that was cut off has its job no longer than a test may wait; one that only waits keeps it.
            "LEASE_SECONDS": "20",
        }
        self.spines = [SpineProcess(folder / name, dict(env)) for name in ("a", "b")]
        self.books = Books()
        self._room = threading.Semaphore(OPEN_MOST)
        self._over, self._submitted = threading.Event(), threading.Event()
        self._kills = 0
        self._faults: list[BaseException] = []

    def storm(self, jobs: int, kills: int, every: float, most_seconds: float) -> Tally:
        """Submit so many jobs or more and do them; kill a spine every few seconds, so many times or more; count."""
        for spine in self.spines:
            spine.start()
        pages, stream = Pages(self._either(0, "HEAD")), Stream(self._either(1, "HEAD"))
        begun = time.monotonic()
        parts = [partial(self._work, n) for n in range(CLAWS)]
        with self._running([*parts, partial(pages.follow, self._over), partial(stream.follow, self._over)]):
            with self._running([partial(self._submit, jobs, kills)]), self._killed(every):
                self._await_ends(begun + most_seconds)
            tally = Tally(len(self.books.fields), time.monotonic() - begun, self._kills)
            head = self._either(0, "HEAD")
            last = head.submit({"target": "any", "spec": None, "notBefore": "2099-01-01T00:00:00Z"}).id
            pages.last = stream.last = last
            head.cancel(last)
            for reader in (pages, stream):
                eventually(lambda reader=reader: self._faults or reader.over(), 40, what="the last event")
        assert self._faults == [], self._faults
        self.books.fields[last] = {}
        self.books.cancelled.add(last)
        self._examine(tally, pages.seen, stream.seen)
        for spine in self.spines:
            tally.lost += spine.faults()
        return tally

    def close(self) -> None:
        """Kill everything."""
        self._over.set()
        for spine in self.spines:
            spine.kill9()

    # --- who speaks to them ------------------------------------------------------------------------------------------

    def _either(self, first: int, name: str, worker: str | None = None) -> HeadClient:
        """Return a client of both spines that begins at one of them."""
        urls = [self.spines[first].url, self.spines[1 - first].url]
        token = TOKENS["HEAD_TOKEN"] if name == "HEAD" else _token(name)
        return HeadClient(urls, token, worker_id=worker, retry=STUBBORN, read_seconds=10, sleep=self._over.wait)

    def _submit(self, count: int, kills: int) -> None:
        chance, heads = random.Random(self._seed), [self._either(n, "HEAD") for n in (0, 1)]
        while len(self.books.fields) < count or self._kills < kills:
            for _ in range(LIST):
                while not self._room.acquire(timeout=1):
                    if self._over.is_set():
                        return
            items = [_drawn(chance) for _ in range(LIST)]
            made = chance.choice(heads).submit_all(items)
            self.books.fields.update((job.id, item) for job, item in zip(made, items, strict=True))
            for job in chance.sample(made, 2):
                with suppress(TerminalStatus):
                    chance.choice(heads).cancel(job.id)
                    self.books.cancelled.add(job.id)
                    self._room.release()
        self._submitted.set()

    def _work(self, number: int) -> None:
        """Claim at either spine, and report to either."""
        name, chance = self._names[number], random.Random(self._seed + 1 + number)
        clients = [self._either(n, name, f"{name}-worker") for n in (0, 1)]
        while not self._over.is_set():
            # The end; or the answer was lost, and of what it would have brought something was cancelled meanwhile.
            with suppress(Unavailable, StaleFence):
                for job in chance.choice(clients).claim(most=chance.choice([1, 1, 1, 4]), wait=2):
                    self._do(job, chance, clients)

    def _do(self, job: wire.Job, chance: random.Random, clients: list[HeadClient]) -> None:
        books = self.books
        books.worked.append((job.id, job.fence))
        try:
            if chance.random() < 0.15:
                chance.choice(clients).heartbeat(job.id, job.fence)
            if chance.random() < 0.05:
                chance.choice(clients).comment(job.id, "half of it is done")
                books.comments[job.id] += 1
            chance.choice(clients).complete(job.id, job.fence, {"fence": job.fence})
        except (StaleFence, NotRunning, TerminalStatus):
            return  # it was cancelled, or passed on; the count says whether it may have been
        if job.id in books.done:
            raise AssertionError(f"{job.id} was accepted of fence {books.done[job.id]} and of {job.fence}")
        books.done[job.id] = job.fence
        self._room.release()

    def _await_ends(self, until: float) -> None:
        seen, since = 0, time.monotonic()
        while not (self._faults or (self._submitted.is_set() and self.books.ended() == len(self.books.fields))):
            now = time.monotonic()
            if self.books.ended() > seen:
                seen, since = self.books.ended(), now
            if now > until or now - since > STALL_SECONDS:
                raise AssertionError(f"{seen} of {len(self.books.fields)} have ended, the last {now - since:.0f} s ago")
            self._over.wait(0.05)

    # --- how it is run -----------------------------------------------------------------------------------------------

    @contextmanager
    def _running(self, parts: list[Callable[[], None]]) -> Iterator[None]:
        threads = [threading.Thread(target=self._guard, args=(part,), daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            self._over.set()
            raise
        finally:
            if len(threads) > 1:
                self._over.set()
            for thread in threads:
                thread.join(20)  # a stream may stand still for as long as its ping takes

    @contextmanager
    def _killed(self, every: float) -> Iterator[None]:
        """Kill one spine after the other, each time when the one before serves again."""
        over, begun = threading.Event(), time.monotonic()

        def kill() -> None:
            while not over.wait(begun + every * (self._kills + 1) - time.monotonic()):
                victim = self.spines[self._kills % 2]
                victim.kill9()
                victim.start()
                self._kills += 1

        thread = threading.Thread(target=self._guard, args=(kill,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _guard(self, part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as e:  # noqa: BLE001 — shown by the test, not lost with its thread
            self._faults.append(e)

    # --- the count ---------------------------------------------------------------------------------------------------

    def _examine(self, tally: Tally, paged: list[wire.Event], streamed: list[wire.Event]) -> None:
        """Hold what the spines say against the books."""
        books, heads = self.books, [self._either(n, "HEAD") for n in (0, 1)]
        jobs = {job.id: job for job in _listed(heads[0])}
        if len(jobs) != len(books.fields):
            tally.twice.append(f"{len(books.fields)} submits were acknowledged, {len(jobs)} jobs are there")
        tally.lost += [f"{job_id} is not there" for job_id in books.fields if job_id not in jobs]
        for job in jobs.values():
            ended = "cancelled" if job.id in books.cancelled else "done"
            fence = books.done.get(job.id)
            if job.status != ended:
                tally.lost.append(f"{job.id} is {job.status}, and was told to be {ended}")
            elif ended == "done" and (job.fence != fence or job.result != {"fence": fence}):
                tally.lost.append(f"{job.id} has {job.result} of fence {job.fence}, not that of {fence}")
        fences = defaultdict(set)
        for (job_id, fence), times in Counter(books.worked).items():
            fences[job_id].add(fence)
            if times > 1:
                tally.twice.append(f"{job_id}: {times} claws were given fence {fence}")
        tally.again = sum(len(found) > 1 for found in fences.values())
        events = list(_events(heads[1]))
        tally.events = len(events)
        for how, seen in (("by pages", paged), ("by a stream", streamed)):
            cursors = Counter(event.cursor for event in seen)
            tally.twice += [f"an event came {times} times {how}" for times in cursors.values() if times > 1]
            tally.lost += [f"an event was missed {how}: {event}" for event in events if event.cursor not in cursors]
            if not tally.faults() and [event.cursor for event in seen] != [event.cursor for event in events]:
                tally.lost.append(f"events came in another order {how}")
        self._replay(tally, events)

    def _replay(self, tally: Tally, events: list[wire.Event]) -> None:
        replay, done, comments = Replay(self.books.fields), Counter[str](), Counter[str]()
        for event in events:
            replay.take({"type": event.type, "jobId": event.job_id, "data": event.data})
            if event.job_id is not None and event.type == "job.completed":
                done[event.job_id] += 1
            if event.job_id is not None and event.type == "job.comment":
                comments[event.job_id] += 1
        if done != Counter(dict.fromkeys(self.books.done, 1)):
            tally.twice.append("what was completed by the events is not what claws were told")
        if comments != self.books.comments:
            tally.lost.append(f"comments: {comments - self.books.comments} more, {self.books.comments - comments} less")


class Pages:
    """A reader of events that asks for page after page, at whichever spine answers."""

    def __init__(self, client: SpineClient) -> None:
        self._client, self.seen = client, list[wire.Event]()
        self.last: str | None = None  # the job whose end is the last event

    def over(self) -> bool:
        """Tell whether the last event has been seen."""
        return bool(self.seen) and (self.seen[-1].job_id, self.seen[-1].type) == (self.last, "job.cancelled")

    def follow(self, stop: threading.Event) -> None:
        """Read until the last event has been seen, or until it is to stop."""
        cursor: str | None = None
        while not (self.over() or stop.is_set()):
            page = self._client.events(cursor, limit=500)
            assert not page.gap
            self.seen += page.events
            cursor = page.next_cursor
            if not page.events:
                stop.wait(0.05)


class Stream(Pages):
    """A reader of the stream, which goes on at the other spine from where it was when one breaks."""

    def follow(self, stop: threading.Event) -> None:
        """Read until the last event has been seen, or until it is to stop."""
        cursor: str | None = None
        while not (self.over() or stop.is_set()):
            with suppress(Unavailable):
                for told in self._client.follow_events(cursor):
                    assert told.event != "gap"
                    self.seen.append(msgspec.json.decode(told.data, type=wire.Event))
                    cursor = told.id
                    if self.over() or stop.is_set():
                        return
            stop.wait(0.05)


def _token(name: str) -> str:
    return f"token-of-{name}-0001"


def _drawn(chance: random.Random) -> dict[str, Any]:
    """Draw a job: many for anyone, some that share a key, some before others."""
    item: dict[str, Any] = {"target": "any", "spec": {"n": chance.random()}, "maxAttempts": 20}
    if chance.random() < 0.1:
        key = chance.choice(sorted(KEYS))
        item |= {"concurrencyKey": key, "concurrencyLimit": KEYS[key]}
    if chance.random() < 0.2:
        item["priority"] = chance.randint(-10, 10)
    return item


def _listed(head: HeadClient) -> Iterator[wire.Job]:
    cursor: dict[str, str] = {}
    while True:
        page = head.jobs(limit=1000, **cursor)
        yield from page.jobs
        if not page.next_cursor:
            return
        cursor = {"cursor": page.next_cursor}


def _events(head: HeadClient) -> Iterator[wire.Event]:
    cursor: str | None = None
    while (page := head.events(cursor, limit=1000)).events:
        yield from page.events
        cursor = page.next_cursor
