"""beanstalkd beside the server: Debian's package, its log fsynced at every write (`-b DIR -f 0`)."""

import shutil
import socket
import subprocess
from pathlib import Path

from tests.bench.load import Clients, Connection, Round
from tests.support.eventually import eventually
from tests.support.spine_process import free_port

MISSING = "beanstalkd is not installed: `apt-get install beanstalkd` (as root on Debian)"


def is_installed() -> bool:
    """Tell whether there is a beanstalkd to measure."""
    return shutil.which("beanstalkd") is not None


class _Line(Connection):
    """beanstalkd's answers: a line, and for a reserved job its bytes. The status is 0 for what is expected."""

    def cut(self, data: bytes) -> tuple[int, bytes] | None:
        end = data.find(b"\r\n")
        if end < 0:
            return None
        words = data[:end].split()
        if words[0] == b"RESERVED":
            return (0, data[:end]) if len(data) >= end + 4 + int(words[2]) else None
        return (0 if words[0] in (b"INSERTED", b"DELETED") else 1), data[:end]


class Beanstalk:
    """One beanstalkd on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self._process = subprocess.Popen(
            ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), "-b", str(folder), "-f", "0"]
        )
        try:
            eventually(self._listens, 10, what="beanstalkd")
        except AssertionError:
            self.close()
            raise

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(10)

    async def connect(self, count: int) -> Clients:
        """Open connections."""
        return await Clients.connect(self.port, count, _Line)

    async def enqueue(self, clients: Clients, spec: bytes, count: int) -> Round:
        """Put so many jobs."""
        put = b"put 0 0 86400 %d\r\n%s\r\n" % (len(spec), spec)
        return await clients.drive([put] * count, 0)

    async def dequeue(self, clients: Clients, count: int) -> Round:
        """Reserve and delete so many jobs."""

        def delete(answer: bytes) -> bytes | None:
            words = answer.split()
            return b"delete %s\r\n" % words[1] if words[0] == b"RESERVED" else None

        return await clients.drive([b"reserve\r\n"] * count, 0, delete)
