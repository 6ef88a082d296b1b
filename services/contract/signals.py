"""Ending by a signal, whichever moment it comes in."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable

_NUDGE = signal.SIGURG  # which is ignored by default, so that it does no harm while the interpreter ends
_NUDGE_SECONDS = 0.5


def on_sigterm(leave: Callable[[], object]) -> None:
    """Call `leave` in the main thread soon after SIGTERM; it ends the process by raising. Call this in the main thread.

    Python calls a handler between two steps of the main thread. A signal that comes just before that enters a blocking
    call, or that another thread gets, would wait for the call's end. So another signal interrupts the call, again and
    again until the process has ended; an interrupted call goes on where it was when no handler raises.
    """
    signal.signal(signal.SIGTERM, lambda *_: leave())
    signal.signal(_NUDGE, lambda *_: None)
    told, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    main = threading.main_thread().ident

    def nudge() -> None:
        # The two sockets live as long as this thread.
        with contextlib.closing(tell):
            while told.recv(1) != bytes([signal.SIGTERM]):
                pass
            while main is not None:
                time.sleep(_NUDGE_SECONDS)  # first let it leave by itself
                signal.pthread_kill(main, _NUDGE)

    threading.Thread(target=nudge, name="nudge", daemon=True).start()
