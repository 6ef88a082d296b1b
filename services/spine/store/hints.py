"""What servers on one database tell each other: that there is something to claim, to read, to send. Hints, no truth.

A hint goes out after the commit that it tells of, in a transaction of its own: one that notifies holds a lock of the
whole server while it commits, which would put all writers in a row. So a hint can be lost, with its sender or with the
connection: whoever waits is also woken by a slow look at the store itself.
"""

import contextlib
import os
import secrets
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import psycopg
import structlog

from contract.errors import Unavailable
from spine.store.engine import Signals, StoreAway
from spine.store.link import Link
from spine.store.servers import Servers

_log = structlog.get_logger()

LOOK_SECONDS = 2.0
"""How often the store itself is looked at."""
# Streams are paced too (see spine.api.streams): what is told of more often would be read no sooner.
PACE_SECONDS = 0.02
_CHANNEL = "spine"
_PAYLOAD_MOST = 7900  # the server refuses 8000 bytes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class _Hint(msgspec.Struct):
    """One notification's text. `by`: which process sent it."""

    by: str
    signals: Signals


class Hints:
    """Tells other processes what this one has committed, and this one what they have. A thread with a connection.

    Args:
        heard: given what others tell, and what a look at the store finds; called from this thread.
        look: looks at the store itself; may raise what the store raises.
    """

    def __init__(self, servers: Servers, heard: Callable[[Signals], None], look: Callable[[], Signals]) -> None:
        self._servers, self._heard, self._look = servers, heard, look
        self._me = secrets.token_hex(6)
        self._waiting, self._asked = Signals(), threading.Lock()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-hints", daemon=True)
        self._pause = _FIRST_PAUSE

    def start(self) -> None:
        """Begin to listen and to tell."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._nudge()
        self._thread.join()
        os.close(self._wake)
        os.close(self._woken)

    def tell(self, signals: Signals) -> None:
        """Let the others know of a commit, soon. From any thread."""
        if not (signals.lanes or signals.messages or signals.logs or signals.events or _is_urgent(signals)):
            return
        # Each server counts, and tells of, what it did itself: none of that waits while the connection is gone.
        with self._asked:
            self._waiting.merge(replace(signals, waits=[], runs=[], expired=0, steps=[]))
        self._nudge()

    def _nudge(self) -> None:
        with contextlib.suppress(BlockingIOError):  # there are wake-ups enough in the pipe
            os.write(self._wake, b".")

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._serve()
            except (psycopg.OperationalError, StoreAway, Unavailable, TimeoutError) as e:
                _log.warning("store.hints_lost", error=str(e), kind=type(e).__name__)
                self._ended.wait(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            except Exception:  # noqa: BLE001 — the outermost turn of the thread: without hints all goes on, slower
                _log.exception("store.hints_failed")
                self._ended.wait(_LONGEST_PAUSE)

    def _serve(self) -> None:
        link = Link(self._servers)
        try:
            with link.bounded():
                link.run(f"LISTEN {_CHANNEL}")
            self._heard(Signals(everything=True, events=True, tokens=True))  # what was told before is lost
            looked = told = 0.0
            while not (self._ended.is_set() or link.broken):
                if time.monotonic() - looked >= LOOK_SECONDS:
                    self._heard(self._look())
                    looked, self._pause = time.monotonic(), _FIRST_PAUSE
                now = time.monotonic()
                wait, due = looked + LOOK_SECONDS - now, self._due(told)
                if due is not None:
                    wait = min(wait, max(0.0, due - now))
                select.select([link.connection.fileno(), self._woken], [], [], max(0.0, wait))
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                due = self._due(told)
                if due is not None and due <= time.monotonic():
                    told = time.monotonic()
                    self._say(link)
                self._hear(link)
        finally:
            link.close()

    def _due(self, told: float) -> float | None:
        """Return when the next hint goes out (monotonic s): at once where somebody waits for work, else paced."""
        with self._asked:
            waiting = self._waiting
            if waiting.lanes or waiting.messages or _is_urgent(waiting):
                return told
            return told + PACE_SECONDS if waiting.events or waiting.logs else None

    def _say(self, link: Link) -> None:
        with self._asked:
            signals, self._waiting = self._waiting, Signals()
        # What is due at a moment, whoever wrote it looks after itself.
        told = replace(signals, deadline=None, firing=None, notices=False)
        text = msgspec.json.encode(_Hint(self._me, told))
        if len(text) > _PAYLOAD_MOST:
            text = msgspec.json.encode(_Hint(self._me, Signals(events=True, everything=True, tokens=signals.tokens)))
        with link.bounded():
            link.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, text.decode()))

    def _hear(self, link: Link) -> None:
        heard = Signals()
        with link.bounded():
            for note in link.connection.notifies(timeout=0):
                try:
                    hint = msgspec.json.decode(note.payload, type=_Hint)
                except msgspec.DecodeError:  # anyone may notify: it is not ours
                    continue
                if hint.by != self._me:
                    heard.merge(hint.signals)
        if heard != Signals():
            self._heard(heard)


def _is_urgent(signals: Signals) -> bool:
    return signals.everything or signals.tokens
