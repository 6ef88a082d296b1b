"""A stand-in for systemd, as far as a program sees it: it keeps listening sockets, hands them over, hears notices."""

import socket
import sys
import threading
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.spine_process import SpineProcess

# Becomes the program, under the same process id, with the sockets where systemd puts them.
_HAND_OVER = """
import fcntl, os, sys
# Out of the way first, to places that are free: one of them may stand where another is to go.
handles = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 100) for n in sys.argv[1].split(",")]
for i, handle in enumerate(handles):
    os.dup2(handle, 3 + i, inheritable=True)
    os.close(handle)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(handles)), LISTEN_FDNAMES="spine")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Holds sockets on free loopback ports, and a socket for notices; both are closed at the end of a `with`."""

    def __init__(self, folder: Path, listeners: int = 1, watchdog_seconds: float = 0.0, abstract: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._watchdog_seconds = folder, watchdog_seconds
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(listeners)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        path = str(folder / "notify")
        self.address = f"@spinal-cord-test-{self.ports[0]}" if abstract else path
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(f"\0{self.address[1:]}" if abstract else path)
        self.messages: list[str] = []
        self._ear = threading.Thread(target=self._hear, daemon=True)

    def __enter__(self) -> "Manager":
        self._ear.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._notices.shutdown(socket.SHUT_RDWR)
        self._ear.join(10)
        for one in (self._notices, *self.listeners):
            one.close()

    def _hear(self) -> None:
        while message := self._notices.recv(4096):
            self.messages.append(message.decode())

    @property
    def environment(self) -> dict[str, str | None]:
        """What systemd gives a service that is to notify it."""
        env: dict[str, str | None] = {"NOTIFY_SOCKET": self.address}
        if self._watchdog_seconds:
            env["WATCHDOG_USEC"] = str(int(self._watchdog_seconds * 1e6))
        return env

    def heard(self, word: str) -> int:
        """Count the messages that have this line."""
        return sum(word in message.split("\n") for message in self.messages)

    def await_word(self, word: str, times: int = 1, seconds: float = 20.0) -> None:
        """Wait until a line has come so many times."""
        eventually(lambda: self.heard(word) >= times, seconds, what=f"{word} ({times})")

    def spine(self, **env: str | None) -> SpineProcess:
        """Return a server that will be started with the sockets; its port is that of the first."""
        handles = tuple(listener.fileno() for listener in self.listeners)
        words = (sys.executable, "-c", _HAND_OVER, ",".join(map(str, handles)))
        process = SpineProcess(self._folder, {**self.environment, **env}, words, handles)
        process.port = self.ports[0]
        return process
