"""Backups that the server makes by itself, on a thread of their own: when one is due, again when it failed, and pruned.

A place that hangs holds up nothing: the thread is not waited for when the server ends. What it leaves half-made has no
name, and the next round sweeps it.
"""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

from contract.clock import Clock, iso
from spine.backup_settings import MINUTE_MS, Disk, Plan
from spine.operations import files
from spine.operations.disk import DiskPlace
from spine.operations.files import Progress
from spine.operations.kept import Kept, Place, name_of, superfluous
from spine.operations.manifest import Manifest
from spine.operations.refusal import Refused
from spine.store import lock

_log = structlog.get_logger()
_RETRY_MOST_MS = 60 * MINUTE_MS
LATE = 2
"""A place whose newest backup is older than so many times the interval is not kept up (`doctor` says so)."""


class Stopped(Exception):
    """The server ends in the midst of a backup."""


class Round(NamedTuple):
    """What a round did. `unpruned`: why what is superfluous could not be taken away, None when it was."""

    kept: Kept
    manifest: Manifest
    removed: list[str]
    unpruned: str | None


def place_of(plan: Plan) -> Place:
    """Return where a plan's backups are kept."""
    if isinstance(plan.place, Disk):
        return DiskPlace(plan.place.folder, plan.blobs_at)
    from spine.operations.objects import BucketPlace

    return BucketPlace(plan.place, plan.blobs_at)


def carry_out(plan: Plan, place: Place, data_dir: Path, clock: Clock, progress: Progress = files.quiet) -> Round:
    """Make a backup, and only when it is whole take away those that the plan no longer keeps.

    Raises:
        Refused: there is no store, it is damaged, or another process is at it. OSError: the place or the disk refuses.
    """
    handle = lock.make_backups(data_dir)
    if handle is None:
        raise Refused(f"another process backs up {data_dir} right now; wait until it is done")
    try:
        place.sweep(clock.now())  # first: what was cut off may be what the room is needed for
        at, taken = clock.now() // 1000 * 1000, {one.at for one in place.backups()}
        while at in taken:  # a name has whole seconds: of two in one second the later gets the next
            at += 1000
        kept = Kept(name_of(at), at)
        made = place.make(kept.name, data_dir, clock, progress)
        removed: list[str] = []
        unpruned = None
        try:
            found = place.backups()
            if kept not in found:
                raise OSError(5, f"{kept.name} was made and is not there", place.title)
            for one in superfluous(found, plan.keep, plan.keep_days):
                if one != kept:
                    place.remove(one.name)
                    removed.append(one.name)
        except OSError as e:
            unpruned = _said(e)
        return Round(kept, made, removed, unpruned)
    finally:
        os.close(handle)


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def wait_ms(newest: int | None, now: int, every_ms: int) -> int:
    """Return how long (ms) until a backup is due: at once when there is none; never longer than the interval."""
    return 0 if newest is None else min(every_ms, max(0, newest + every_ms - now))


def newest_of(found: list[Kept], now: int) -> int | None:
    """Return the moment (ms) of the newest backup; one of the future, of a clock that was ahead, keeps none waiting."""
    return max((one.at for one in found if one.at <= now), default=None)


class Backups:
    """The thread. `made` and `failed` are told of each round, with the moment of the backup (ms) and the reason."""

    def __init__(
        self, plan: Plan, data_dir: Path, clock: Clock, made: Callable[[int], None], failed: Callable[[], None]
    ) -> None:
        self._plan, self._data_dir, self._clock = plan, data_dir, clock
        self._made, self._failed = made, failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backups", daemon=True)

    def start(self) -> None:
        """Begin. The first backup is made when the newest that is there is older than the interval."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """End, in the midst of a backup too; wait at most so long for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        failures, known = 0, False
        newest: int | None = None
        while not self._stopping.is_set():
            try:
                place = place_of(self._plan)
                if not known:
                    newest, known = newest_of(place.backups(), self._clock.now()), True
                    if newest is not None:
                        self._made(newest)
                if newest is not None:  # a clock that is put back makes the wait no longer
                    newest = min(newest, self._clock.now())
                pause = wait_ms(newest, self._clock.now(), self._plan.every_ms)
                if pause == 0:
                    newest = self._round(place)
                    pause = wait_ms(newest, self._clock.now(), self._plan.every_ms)
                failures = 0
            except Stopped:
                return
            except Exception as e:  # noqa: BLE001 - the outermost turn of the thread: whatever it was, try again
                failures += 1
                pause = self._pause(failures)
                self._failed()
                _log.error("backup.failed", error=_said(e), kind=type(e).__name__, failures=failures, again_in_ms=pause)
                self._stopping.wait(pause / 1000)
            else:
                # In pieces: the wall clock may be set while it waits, and a machine may sleep.
                self._stopping.wait(min(pause, MINUTE_MS) / 1000)

    def _round(self, place: Place) -> int:
        began = self._clock.monotonic()
        done = carry_out(self._plan, place, self._data_dir, self._clock, self._go_on)
        took = round(self._clock.monotonic() - began, 3)
        size, removed = done.manifest.held_bytes, len(done.removed)
        left = {} if done.manifest.blobs_at is None else {"blobs_at": done.manifest.blobs_at}
        _log.info(
            "backup.made", name=done.kept.name, place=place.title, bytes=size, seconds=took, removed=removed, **left
        )
        if done.manifest.damaged:
            _log.error("backup.damaged_blobs", blobs=done.manifest.damaged[:10], count=len(done.manifest.damaged))
        if done.unpruned:
            _log.error("backup.prune_failed", error=done.unpruned)
        self._made(done.kept.at)
        return done.kept.at

    def _go_on(self, _what: str, _done: int, _total: int) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _pause(self, failures: int) -> int:
        most = min(MINUTE_MS * 2 ** min(failures - 1, 10), _RETRY_MOST_MS, self._plan.every_ms)
        return max(1, int(most * (1 - random.random() / 2)))


def told(plan: Plan, found: list[Kept], now: int) -> tuple[bool, str]:
    """Tell whether backups are kept up, and what to say of it."""
    if not found:
        return False, "there is none yet"
    newest = newest_of(found, now)
    if newest is None:
        return False, f"{len(found)} there, all of them of a time to come; is the clock right?"
    age = now - newest
    said = f"{len(found)} there, the newest of {iso(newest)}"
    return age <= LATE * plan.every_ms + 10 * MINUTE_MS, said
