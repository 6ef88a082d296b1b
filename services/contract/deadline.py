"""A total deadline for work on a socket: a time-out of its own restarts with every byte that a slow peer sends."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class Deadline:
    """So many seconds from now on for all of a conversation. Shared by no two of them."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._ends

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of a host that takes it; looking its name up has the resolver's own limits.

        Raises:
            TimeoutError
            OSError: none of them does; why the last one does not.
        """
        refused: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            found = socket.socket(family, kind, protocol)
            try:
                found.settimeout(self.left)
                found.connect(address)
            except OSError as e:
                found.close()
                refused = e
            else:
                return found
        raise refused

    @contextlib.contextmanager
    def guard(self, connection: socket.socket) -> Iterator[None]:
        """End the connection when the time is over, whatever is being waited for on it.

        Raises:
            TimeoutError: in the place of the error that the end of the connection led to.
        """
        left = self.left
        handle = connection.dup()  # TLS takes the socket over, and leaves an empty one
        timer = threading.Timer(left, _shut, (handle,))
        timer.daemon = True
        timer.start()
        try:
            yield
            if self.is_over:  # what was cut off can look like the end of an answer
                raise TimeoutError("the time is over")
        except Exception as e:
            if self.is_over:
                raise TimeoutError("the time is over") from e
            raise
        finally:
            timer.cancel()
            timer.join()
            handle.close()


def _shut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        handle.shutdown(socket.SHUT_RDWR)
