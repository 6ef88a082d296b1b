"""Housekeeping by APScheduler ticks on their own threads: reaper, sealing of logs, pruning, retention, checkpoints."""

import functools
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from contract.clock import Clock, JumpDetector
from contract.errors import SpineError
from contract.ids import new_blob_id
from spine.blobs.base import Blobs
from spine.digests import Mistaken, read_digests
from spine.queue import groups, messages, reap
from spine.queue.access import Principal
from spine.queue.rules import Rules
from spine.store import blobs, idempotency, lock, logs, retention
from spine.store import groups as watched
from spine.store import messages as written
from spine.store import notices as outbox
from spine.store.blobs import BlobRow
from spine.store.engine import Engine, Tx
from spine.store.logs import LogRow
from spine.turns import WAIT_SECONDS, Firing, Turns

_log = structlog.get_logger()

SEAL_SECONDS = 20
SEAL_MOST = 50
PRUNE_SECONDS = 600
RETENTION_SECONDS = 600
RETENTION_BATCH = 500
# Between two batches the writer is everyone else's: a batch takes it for some tens of milliseconds.
RETENTION_PAUSE_SECONDS = 0.2
DIGESTS_SECONDS = 1
CHECKPOINT_SECONDS = 3600
DAY_MS = 24 * 3600 * 1000
# Below this the two clocks only differ by how they are read and slewed.
JUMP_MS = 5_000


# Servers that share a store: how often each notes a pass at least, and since when nobody must have, until it is a gap.
# A shorter one harms no lease whose holder beats: a claim is to be accepted within 15 s and the first beat comes after
# 10. And each start would put off the end of what nobody holds any more.
SHARED_MS, SHARED_GAP_MS = 1_500, 4_000


class Reaper(Turns):
    """Ends leases as they run out: wakes at the next lease end, or after the interval, whichever comes first.

    `shared`: other servers may do the same for this store.
    """

    name = "reaper"

    def __init__(
        self,
        store: Engine,
        rules: Rules,
        clock: Clock,
        interval_ms: int,
        expired: Callable[[int], None],
        shared: bool = False,
    ) -> None:
        super().__init__(clock, min(interval_ms, SHARED_MS) if shared else interval_ms)
        self._store, self._rules, self._expired = store, rules, expired
        self._gap_ms = SHARED_GAP_MS if shared else 0
        self._jumps = JumpDetector(clock)

    def begin(self) -> int:
        """Excuse leases that ended while no server ran; return how many. Call before anything is served."""
        excused = self._store.write(lambda tx: reap.excuse_gap(tx, self._rules, least_ms=self._gap_ms))
        changed: int = excused.result(timeout=WAIT_SECONDS)
        if changed:
            _log.info("reaper.grace", reason="the server was down", leases=changed)
        return changed

    def _pass(self) -> int | None:
        jumped = self._jumps.jump_ms()
        if jumped > JUMP_MS:
            since = self._clock.now() - jumped - self.interval_ms
            changed = self._store.write(lambda tx: reap.excuse_gap(tx, self._rules, since)).result(timeout=WAIT_SECONDS)
            _log.warning("reaper.grace", reason="the wall clock jumped", jumped_ms=jumped, leases=changed)
        while True:
            done = self._store.write(reap.reap).result(timeout=WAIT_SECONDS)
            self._expired(done.ended)
            if done.ended or done.woken:
                _log.info("reaper.pass", leases_ended=done.ended, jobs_woken=done.woken)
            if not done.full:
                return done.following


class Retention:
    """Deletes what is so many days old: jobs that ended, blobs that no job names, messages that all have read, notices
    that were given up, groups that are done or closed. Groups that no job came to for as long are closed."""

    def __init__(self, store: Engine, files: Blobs, data_dir: Path, days: int) -> None:
        self._store, self._files, self._data_dir = store, files, data_dir
        self.days = days
        self._stopping = threading.Event()
        self._rowless: list[str] = []  # blobs whose row is gone and whose bytes are not yet

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping.set()

    def turn(self) -> tuple[int, int]:
        """Make one pass; return how many jobs and blobs went. Never raises: what is left over goes at the next turn."""
        jobs_gone = blobs_gone = 0
        try:
            jobs_gone = self._purge(retention.purge_jobs)
            blobs_gone = self._all(self._blobs)
            self._purge(written.purge)
            self._purge(lambda tx, before, most: outbox.prune(tx, "given_up", before, most))
            self._close_forgotten()
            self._purge(watched.purge)
        except (SpineError, TimeoutError, OSError) as e:
            _log.error("retention.failed", error=str(e))
        if jobs_gone or blobs_gone:
            _log.info("retention.pass", jobs=jobs_gone, blobs=blobs_gone)
        return jobs_gone, blobs_gone

    def _all(self, batch: Callable[[], int]) -> int:
        done = 0
        while self.days and not self._stopping.is_set():
            count = batch()
            done += count
            if count < RETENTION_BATCH:
                break
            self._stopping.wait(RETENTION_PAUSE_SECONDS)
        return done

    def _purge(self, purge: Callable[[Tx, int, int], int]) -> int:
        """Have all rows go that `purge` finds: a function of a transaction, a moment (ms) and how many at most."""

        def batch() -> int:
            return self._store.write(lambda tx: purge(tx, tx.now - self.days * DAY_MS, RETENTION_BATCH)).result(
                timeout=WAIT_SECONDS
            )

        return self._all(batch)

    def _close_forgotten(self) -> None:
        """One by one: each look counts jobs."""
        if not self.days:
            return
        span = self.days * DAY_MS
        for group_id in self._store.read(lambda tx: groups.forgotten(tx, tx.now - span)).result(timeout=WAIT_SECONDS):

            def close(tx: Tx, group_id: str = group_id) -> None:
                groups.close_forgotten(tx, group_id, tx.now - span)

            self._store.write(close).result(timeout=WAIT_SECONDS)

    def _blobs(self) -> int:
        def purge(tx: Tx) -> list[str]:
            return retention.purge_blobs(tx, tx.now - self.days * DAY_MS, RETENTION_BATCH)

        handle = lock.drop_files(self._data_dir)
        if handle is None:
            return 0  # a backup copies files that its snapshot names
        try:
            self._drop()  # what an outage left: no further row goes while bytes cannot
            gone = self._store.write(purge).result(timeout=WAIT_SECONDS)
            self._rowless += gone  # the row first: bytes without a row are waste, a row without bytes is a lie
            self._drop()
            return len(gone)
        finally:
            os.close(handle)

    def _drop(self) -> None:
        while self._rowless:
            self._files.remove(self._rowless[-1])
            self._rowless.pop()


class DigestsFile:
    """Reads the file of token digests, again when it has changed; one that cannot be used changes nothing.

    A look at its times costs less than a way to be told, and works for a file that is mounted or replaced.
    """

    def __init__(self, path: Path, adopt: Callable[[dict[str, Principal]], None]) -> None:
        self._path, self._adopt = path, adopt
        self._seen: tuple[int, ...] | None = None
        self._told = ""

    def turn(self) -> None:
        """Look at the file. Never raises."""
        try:
            self.look()
        except Mistaken as e:  # it is looked at again each time: the claw may be revoked meanwhile
            self._seen = None
            if str(e) != self._told:
                self._refuse(e)

    def look(self) -> None:
        """Look at the file.

        Raises:
            Mistaken
        """
        try:
            stat = self._path.stat()
            now: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        except OSError:
            now = ()
        if now == self._seen:
            return
        self._seen = now
        try:
            found = read_digests(self._path)
        except (OSError, ValueError) as e:
            self._refuse(e)
            return
        self._adopt(found)
        self._told = ""
        _log.info("tokens.listed", tokens=len(found), names=sorted({principal.name for principal in found.values()}))

    def _refuse(self, fault: Exception) -> None:
        self._told = str(fault)
        _log.error("tokens.refused", error=self._told, kept="the tokens that it named before")


class Keeper:
    """Runs the ticks."""

    def __init__(
        self,
        store: Engine,
        files: Blobs,
        reaper: Reaper,
        old: Retention | None = None,
        digests: DigestsFile | None = None,
        firing: Firing | None = None,
    ) -> None:
        self._store, self._files, self._reaper, self._retention = store, files, reaper, old
        self._digests = digests
        self._others: list[tuple[str, float, Callable[[], object]]] = []
        # Their ticks plan themselves, by the id of their job in the scheduler.
        self._turns: dict[str, Turns] = {"reap": reaper} | ({} if firing is None else {"fire": firing})
        # Plans and the stop exclude each other: the scheduler, once told to shut down, holds the lock that a plan wants
        # until the ticks have ended, and the tick would wait for it in vain.
        self._planning = threading.Lock()
        self._stopped = False
        self._scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, turn: Callable[[], object], name: str) -> None:
        """Have a turn of another part made every so many seconds. `turn` never raises. Before `start`."""
        self._others.append((name, seconds, turn))

    def start(self) -> None:
        """Begin ticking."""
        for name, seconds, turn in self._others:
            self._scheduler.add_job(turn, "interval", seconds=seconds, id=name)
        # Each pass plans the next one. The interval is for a plan that the scheduler lost: it drops a run that comes
        # due while the one before is still being put away.
        for name, tick in self._turns.items():
            tick.replan = functools.partial(self._replan, name)
            self._scheduler.add_job(
                tick.turn,
                "interval",
                seconds=max(1, tick.interval_ms // 1000),
                id=name,
                next_run_time=datetime.now(UTC),
            )
        self._scheduler.add_job(self.seal, "interval", seconds=SEAL_SECONDS, id="seal", jitter=2)
        self._scheduler.add_job(self.prune, "interval", seconds=PRUNE_SECONDS, id="prune", jitter=30)
        self._scheduler.add_job(self.checkpoint, "interval", seconds=CHECKPOINT_SECONDS, id="checkpoint", jitter=60)
        if self._retention is not None and self._retention.days:
            self._scheduler.add_job(
                self._retention.turn,
                "interval",
                seconds=RETENTION_SECONDS,
                id="retention",
                next_run_time=datetime.now(UTC),
            )
        if self._digests is not None:
            self._scheduler.add_job(self._digests.turn, "interval", seconds=DIGESTS_SECONDS, id="tokens")
        self._scheduler.start()

    def stop(self) -> None:
        """End ticking; waits for the tick under way."""
        with self._planning:
            self._stopped = True
        for tick in self._turns.values():
            tick.stop()
        if self._retention is not None:
            self._retention.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _replan(self, name: str, delay_ms: int) -> None:
        with self._planning:
            if not self._stopped:
                at = datetime.now(UTC) + timedelta(milliseconds=delay_ms)
                self._scheduler.modify_job(name, next_run_time=at)

    def seal(self) -> None:
        """Move ended logs from rows into blobs."""
        try:
            found = self._store.read(lambda tx: logs.sealable(tx, SEAL_MOST)).result(timeout=WAIT_SECONDS)
            for row in found:
                self._seal(row)
        except (SpineError, TimeoutError) as e:
            _log.error("keeper.seal_failed", error=str(e))

    def _seal(self, row: LogRow) -> None:
        upload = self._files.sealing()
        try:
            at = 0
            while at < row.size:
                piece = self._store.read(_piece(row, at)).result(timeout=WAIT_SECONDS)
                if not piece:
                    now = self._store.read(lambda tx: logs.find(tx, row.job_id, row.fence)).result(timeout=WAIT_SECONDS)
                    if now is not None and now.blob_id is None:  # else another server of this store was quicker
                        _log.error("keeper.log_short", job_id=row.job_id, fence=row.fence, size=row.size, at=at)
                    return
                upload.write(piece)
                at += len(piece)
            blob_id = new_blob_id()
            upload.keep(blob_id)

            def record(tx: Tx) -> bool:
                if not logs.seal(tx, row.job_id, row.fence, blob_id):
                    return False
                name = f"{row.job_id}-{row.fence}.log"
                kind = "text/plain; charset=utf-8"
                blobs.add(tx, BlobRow(blob_id, name, upload.size, upload.sha256, kind, tx.now, "spine"))
                blobs.mention(tx, blob_id, row.job_id)
                return True

            if not self._store.write(record).result(timeout=WAIT_SECONDS):
                self._files.remove(blob_id)  # another server of this store was quicker
        finally:
            upload.discard()

    def checkpoint(self) -> None:
        """Fold the store's write-ahead log back; what it could not fold stays for the next turn."""
        try:
            self._store.checkpoint()
        except SpineError as e:
            _log.error("keeper.checkpoint_failed", error=str(e))

    def prune(self) -> None:
        """Drop idempotency keys that are over, mark messages that nobody has read in time."""
        try:
            self._store.write(idempotency.prune).result(timeout=WAIT_SECONDS)
            while self._store.write(messages.expire).result(timeout=WAIT_SECONDS) >= messages.EXPIRE_MOST:
                continue
        except (SpineError, TimeoutError) as e:
            _log.error("keeper.prune_failed", error=str(e))


def _piece(row: LogRow, start: int) -> Callable[[Tx], bytes]:
    return lambda tx: logs.read(tx, row.job_id, row.fence, start, 1024 * 1024)
