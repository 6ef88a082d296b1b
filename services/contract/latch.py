"""An event that a signal handler may set."""

import queue
import time

# A signal that came just before its wait began is seen when a wait ends: Python runs handlers between two steps only.
_SLICE_SECONDS = 1.0


class Latch:
    """Set once, for ever. For use between threads, and in handlers of signals.

    `threading.Event` is not for handlers: they run in the main thread between any two of its steps, and `set` wants the
    lock that a `wait` which is just beginning there holds. That thread would wait for itself. `SimpleQueue.put` is made
    to be called so.
    """

    def __init__(self) -> None:
        self._set = False
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Set it; all that wait go on."""
        self._set = True
        self._calls.put(None)

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most `seconds`; tells whether it is. Signals are handled meanwhile."""
        deadline = time.monotonic() + seconds
        while not self._set and (left := deadline - time.monotonic()) > 0:
            try:
                self._calls.get(timeout=min(left, _SLICE_SECONDS))
            except queue.Empty:
                continue
            self._calls.put(None)  # for the next one that waits
        return self._set
