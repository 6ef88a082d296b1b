"""The sender: empties the outbox with threads of its own, one for each alias that has something due.

A receiver that hangs holds its alias' thread and nobody else's. Each notice is taken under a lease and a fence: a
sender that dies loses nothing, and its word counts for nothing once another has taken the notice.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from contract.errors import SpineError
from contract.killpoints import reach
from contract.redaction import redact
from spine.notices import aliases, channels, message
from spine.notices.aliases import Entry
from spine.notices.channels.calling import Failed
from spine.queue import notices
from spine.queue.notices import Patience
from spine.store import notices as store
from spine.store.engine import Engine, Tx
from spine.store.notices import NoticeRow

_log = structlog.get_logger()

WAIT_SECONDS = 60
THREADS_MOST = 64
LOOK_SECONDS = 30.0
# After a fault the alias rests, so that a thousand notices for a receiver that is down are not a thousand calls a turn.
REST_SECONDS = 1.0
REST_MOST_SECONDS = 60.0
STOP_SECONDS = 5.0
PRUNE_SECONDS = 600
PRUNE_MOST = 500
PRUNE_PAUSE_SECONDS = 0.2
DAY_MS = 86_400_000
NOBODY = "no alias that can be used has this name"


class Sending(NamedTuple):
    """How notices are sent. `timeout_seconds`: of one call; `origin`: the source of events; `base`: for links."""

    timeout_seconds: int
    patience: Patience
    origin: str
    base: str | None
    keep_days: int = 30

    @property
    def lease_ms(self) -> int:
        """How long a notice is one sender's: a call that may take all of its time, and as long again to say so."""
        return (2 * self.timeout_seconds + 3) * 1000


class _Rest:
    """An alias that rests after a fault: until when, and for how long the next time (s, monotonic)."""

    def __init__(self) -> None:
        self.until = 0.0
        self._next = REST_SECONDS

    def fault(self, after: float) -> None:
        self.until = time.monotonic() + max(self._next, after)
        self._next = min(self._next * 2, REST_MOST_SECONDS)

    def well(self) -> None:
        self.until, self._next = 0.0, REST_SECONDS


class Sender:
    """Sends what is due.

    Args:
        entries: asks for the aliases as they are now.
        outcome: told what came of each try, for the figures.
    """

    def __init__(
        self,
        store: Engine,
        entries: Callable[[], dict[str, Entry]],
        sending: Sending,
        outcome: Callable[[str], None],
    ) -> None:
        self._store, self._entries, self._sending, self._outcome = store, entries, sending, outcome
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Thread] = {}
        self._rests: dict[str, _Rest] = {}
        self._main = threading.Thread(target=self._run, name="notices", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._main.start()

    def kick(self) -> None:
        """Look at once: something has become due. From any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Take nothing more, wait a little for calls under way; what has no end by then is sent again."""
        self._stopping.set()
        self._wake.set()
        ends = time.monotonic() + STOP_SECONDS
        with self._lock:
            threads = [self._main, *self._busy.values()]
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, ends - time.monotonic()))

    def prune(self) -> int:
        """Delete what was sent long ago; return how many. Never raises: what is left over goes at the next turn."""
        gone, count = 0, PRUNE_MOST
        try:
            # Between two batches the writer is everyone else's.
            while count == PRUNE_MOST and not self._stopping.wait(PRUNE_PAUSE_SECONDS if gone else 0):
                old = self._store.write(self._prune)
                count = old.result(timeout=WAIT_SECONDS)
                gone += count
        except (SpineError, TimeoutError) as e:
            _log.error("notices.prune_failed", error=str(e))
        return gone

    def _prune(self, tx: Tx) -> int:
        return store.prune(tx, "sent", tx.now - self._sending.keep_days * DAY_MS, PRUNE_MOST)

    # --- the turns ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            seconds = LOOK_SECONDS
            try:
                seconds = self._turn()
            except (SpineError, TimeoutError) as e:
                _log.warning("notices.turn_failed", error=str(e))
            except Exception:  # noqa: BLE001 — the outermost turn of the thread: without it nothing is sent any more
                _log.exception("notices.turn_failed")
            self._wake.wait(seconds)

    def _turn(self) -> float:
        """Give each alias with something due a thread; return when to look again (s)."""
        found, now_ms = self._store.read(lambda tx: (store.queues(tx), tx.now)).result(timeout=WAIT_SECONDS)
        entries = self._entries()
        seconds = LOOK_SECONDS
        for queue in found:
            if notices.is_put_off(queue.due_at, now_ms, self._sending.patience):
                self._call_back(queue.alias)
                seconds = 0.0  # to look again
                continue
            entry = entries.get(queue.alias)
            if entry is None or entry.alias is None:
                self._expire(queue.alias, entry)
                continue
            due = max((queue.due_at - now_ms) / 1000, self._rest(queue.alias).until - time.monotonic())
            if due > 0:
                seconds = min(seconds, due)
            elif not self._begin(queue.alias):
                seconds = min(seconds, REST_SECONDS)
        return seconds

    def _call_back(self, alias: str) -> None:
        patience = self._sending.patience
        back = self._store.write(lambda tx: notices.call_back(tx, alias, patience)).result(timeout=WAIT_SECONDS)
        _log.warning("notices.called_back", notices=back, alias=alias, reason="a clock that was ahead had put them off")

    def _rest(self, alias: str) -> _Rest:
        return self._rests.setdefault(alias, _Rest())

    def _expire(self, alias: str, entry: Entry | None) -> None:
        reason = NOBODY if entry is None else f"the alias cannot be used: {entry.problem}"
        patience = self._sending.patience

        def look(tx: Tx) -> bool:
            return bool(store.stale(tx, alias, tx.now - patience.give_up_ms, 1))

        if self._store.read(look).result(
            timeout=WAIT_SECONDS
        ):  # a write at each turn would be one for each end of a job
            gone = self._store.write(lambda tx: notices.expire(tx, alias, patience, reason))
            self._note_given_up(gone.result(timeout=WAIT_SECONDS), alias, reason)

    def _note_given_up(self, count: int, alias: str, reason: str, **more: str) -> None:
        for _ in range(count):
            self._outcome("given_up")
        if count:
            _log.error("notices.given_up", notices=count, alias=alias, reason=reason, **more)

    def _begin(self, alias: str) -> bool:
        """Give an alias its thread; False when there is none to be had."""
        with self._lock:
            if alias in self._busy or len(self._busy) >= THREADS_MOST or self._stopping.is_set():
                return True  # whoever ends next wakes the turn
            thread = threading.Thread(target=self._serve, args=(alias,), name=f"notices-{alias}", daemon=True)
            self._busy[alias] = thread
            try:
                thread.start()
            except RuntimeError as e:  # the system gives no more threads: the alias must not stay busy for ever
                del self._busy[alias]
                _log.error("notices.no_thread", alias=alias, error=str(e))
                return False
        return True

    def _serve(self, alias: str) -> None:
        """Send an alias' notices one after another, until none is due or one fails."""
        try:
            while not self._stopping.is_set() and self._next(alias):
                pass
        except (SpineError, TimeoutError) as e:
            _log.warning("notices.store_refused", alias=alias, error=str(e))
            self._rest(alias).fault(0)
        except Exception:  # noqa: BLE001 — the outermost turn of the thread: the lease gives the notice to another try
            _log.exception("notices.failed", alias=alias)
            self._rest(alias).fault(0)
        finally:
            with self._lock:
                del self._busy[alias]
            self._wake.set()

    # --- one notice --------------------------------------------------------------------------------------------------

    def _next(self, alias: str) -> bool:
        """Take and send one notice; tell whether to go on."""
        entry = self._entries().get(alias)
        if entry is None or entry.alias is None:
            return False
        lease_ms = self._sending.lease_ms
        row = self._store.write(lambda tx: notices.take(tx, alias, lease_ms)).result(timeout=WAIT_SECONDS)
        if row is None:
            return False
        try:
            mine = self._send(entry.alias, row)
        except Failed as e:
            self._failed(entry.alias, row, e)
            return False
        except (SpineError, TimeoutError):
            raise
        except Exception as e:  # noqa: BLE001 — one that cannot be put into words must come to its end too
            _log.exception("notices.fault", notice=row.id, alias=alias)
            self._failed(entry.alias, row, Failed(f"a fault of the sender ({type(e).__name__})"))
            return False
        reach("spine.notice-sent")
        if mine and self._store.write(lambda tx: notices.sent(tx, row)).result(timeout=WAIT_SECONDS):
            self._outcome("sent")
            _log.info("notices.sent", notice=row.id, alias=alias, job_id=row.job_id, attempt=row.attempts)
        self._rest(alias).well()
        return True

    def _send(self, alias: aliases.Kind, row: NoticeRow) -> bool:
        """Send the pieces that have not gone out; False when the notice became another sender's meanwhile.

        Raises:
            Failed
        """
        channel = channels.OF[type(alias)]
        notice = message.outgoing(row, self._sending.origin, self._sending.base)
        pieces = channel.pieces(notice)
        for number, piece in enumerate(pieces, 1):
            if number <= row.parts:
                continue
            channel.send(alias, notice, piece, number, self._sending.timeout_seconds)
            if number < len(pieces) and not self._progress(row, number):
                return False
        return True

    def _progress(self, row: NoticeRow, parts: int) -> bool:
        def note(tx: Tx) -> bool:
            return store.progress(tx, row, parts, tx.now + self._sending.lease_ms)

        return self._store.write(note).result(timeout=WAIT_SECONDS)

    def _failed(self, alias: aliases.Kind, row: NoticeRow, error: Failed) -> None:
        reason = redact(str(error), aliases.secrets_of(alias))
        after_ms = int(error.after * 1000)

        def note(tx: Tx) -> str:
            kept = store.find(tx, row.id) or row
            # What went out of a long text stays noted, whoever sends the rest.
            return notices.failed(
                tx, row._replace(parts=kept.parts), reason, self._sending.patience, after_ms, error.gone
            )

        became = self._store.write(note).result(timeout=WAIT_SECONDS)
        self._rest(row.addressee).fault(0.0 if error.gone else error.after)
        if became == "given_up":
            self._note_given_up(1, row.addressee, reason, notice=row.id)
        elif became:
            self._outcome("failed")
            _log.info("notices.try_failed", notice=row.id, alias=row.addressee, attempt=row.attempts, reason=reason)
