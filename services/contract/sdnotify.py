"""Telling a service manager how this process stands, by systemd's sd_notify protocol. Without one, nothing is sent.

A role's `settings.py` takes the variables out of the environment and makes the one `Notifier` of the process.
"""

import os
import socket
import time
from collections.abc import MutableMapping

import structlog

_log = structlog.get_logger()
_SEND_SECONDS = 1.0
# A loop may say more often that it goes on than anybody wants to hear.
_LEAST_SECONDS = 1.0


class Notifier:
    """Sends datagrams to the address that systemd has given; a manager that does not take them stops no work.

    Args:
        address: a path, or `@name` for an abstract one; None when nobody listens.
        watchdog_seconds: the process is killed when `alive` is not called for so long; 0 when nobody watches.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float = 0.0) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds if address else 0.0
        self._stretched = False
        self._said_at = float("-inf")

    def ready(self, status: str) -> None:
        """Say that the service serves from now on."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """Say in one line what the service does."""
        self._send(f"STATUS={text}")

    def stopping(self, status: str) -> None:
        """Say that the process is about to end; the manager's time for a stop runs from here."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self, busy_seconds: float = 0.0) -> None:
        """Feed the watchdog. The next call may come this much later than usual."""
        if not self.watchdog_seconds:
            return
        now = time.monotonic()
        if not busy_seconds and not self._stretched and now - self._said_at < _LEAST_SECONDS:
            return
        words = ["WATCHDOG=1"]
        if busy_seconds or self._stretched:
            words.append(f"WATCHDOG_USEC={int((self.watchdog_seconds + busy_seconds) * 1e6)}")
        self._stretched, self._said_at = busy_seconds > 0, now
        self._send(*words)

    def _send(self, *words: str) -> None:
        if self._address is None:
            return
        # Lines are the protocol's framing.
        message = "\n".join(" ".join(word.split("\n")) for word in words)
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_SEND_SECONDS)
                out.sendto(message.encode(), address)
        except OSError as e:
            _log.warning("sdnotify.refused", error=str(e))


def take(environ: MutableMapping[str, str]) -> Notifier:
    """Take systemd's variables out of the environment, so that no child answers in our place; return who uses them."""
    address = environ.pop("NOTIFY_SOCKET", "")
    usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")):
        return Notifier()
    watched = usec.isdecimal() and pid in ("", str(os.getpid()))
    return Notifier(address, int(usec) / 1e6 if watched else 0.0)
