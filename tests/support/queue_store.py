"""A store on disk with the verbs of the queue at hand and a clock that a test sets: no server, no waiting."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contract import wire
from spine.queue import claim, comment, joblog, named, settle, steer, submit
from spine.queue.access import Caller, Principal
from spine.queue.rules import Rules
from spine.store import blobs, events, jobs
from spine.store.blobs import BlobRow
from spine.store.engine import Refusal, Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.sqlite import SqliteEngine

T = TypeVar("T")
HEAD = Caller(Principal("head", "head"))
LEFT = Caller(Principal("left-claw", "claw"), "w1")
DAY_MS = 86_400_000


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class QueueStore:
    """A store in a folder; closed by the test's fixture."""

    def __init__(self, folder: Path, clock: SetClock) -> None:
        self.folder, self.clock = folder, clock
        self.engine = SqliteEngine(folder, clock, readers=1)
        self.rules = Rules(300_000, 15_000, 5, {"left-claw", "right-claw"}, 1 << 26)

    def close(self) -> None:
        self.engine.close()

    def write(self, verb: Callable[[Tx], T]) -> T:
        """Carry out a verb; a refusal that keeps its writes fails the test."""
        done = self.engine.write(verb).result(timeout=20)
        assert not isinstance(done, Refusal), done
        return done

    def read(self, look: Callable[[Tx], T]) -> T:
        return self.engine.read(look).result(timeout=20)

    def submit(self, **fields: Any) -> str:
        request = msgspec.json.decode(msgspec.json.encode(fields), type=wire.Submit)
        return self.write(lambda tx: submit.submit(tx, self.rules, HEAD, request))[0].id

    def claim(self, job_id: str) -> JobRow:
        found = self.write(lambda tx: claim.claim_one(tx, self.rules, LEFT, job_id, None))
        assert isinstance(found, JobRow)
        return found

    def complete(self, job_id: str, fence: int | None, result: str = "null") -> JobRow:
        found = self.write(lambda tx: settle.complete(tx, LEFT, job_id, fence, result))
        assert isinstance(found, JobRow)
        return found

    def complete_refused(self, job_id: str, fence: int, result: str = "null") -> Refusal:
        """Complete as one who has lost the job; return the refusal."""
        found = self.engine.write(lambda tx: settle.complete(tx, LEFT, job_id, fence, result)).result(timeout=20)
        assert isinstance(found, Refusal)
        return found

    def done(self, **fields: Any) -> str:
        """Submit, claim and complete a job; return its id."""
        job_id = self.submit(**fields)
        self.complete(job_id, self.claim(job_id).fence)
        return job_id

    def cancel(self, job_id: str) -> None:
        self.write(lambda tx: steer.cancel(tx, HEAD, job_id, None))

    def review(self, job_id: str, decision: str) -> None:
        self.write(lambda tx: steer.review(tx, HEAD, job_id, wire.Review(decision=decision)))

    def comment(self, job_id: str, text: str) -> None:
        self.write(lambda tx: comment.comment(tx, HEAD, job_id, text))

    def log(self, job_id: str, fence: int, data: bytes) -> None:
        self.write(lambda tx: joblog.append(tx, self.rules, LEFT, job_id, fence, None, data))

    def take_lease(self, name: str) -> int:
        return self.write(lambda tx: named.take(tx, LEFT, name, "w1", 60_000, "null")).fence

    def blob(self, blob_id: str, data: bytes, sha256: str) -> None:
        """Put a blob's bytes and its row there."""
        place = self.folder / "blobs" / blob_id.removeprefix("blob_")[:2] / blob_id
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self.write(
            lambda tx: blobs.add(tx, BlobRow(blob_id, "f", len(data), sha256, "text/plain", tx.now, "left-claw"))
        )

    def job(self, job_id: str) -> JobRow | None:
        return self.read(lambda tx: jobs.find(tx, job_id))

    def events(self, job_id: str) -> list[EventRow]:
        return self.read(lambda tx: events.of_job(tx, job_id, 0, 1000))
