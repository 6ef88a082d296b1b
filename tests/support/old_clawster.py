"""A node of clawster, played as its last running election does it: a lock, taken by NX, looked at, and written again.

    python old_clawster.py HOST PORT NODE_ID LEASE_SECONDS EVERY_SECONDS

It speaks over a bare socket, and writes a line whenever it begins or ceases to believe that it leads. Look and write
are two commands, as they were there. A connection that was lost is never opened again.
"""

import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from contract.clock import since_boot

LOCK = "openclaw:cluster:leader_lock"


class Wire:
    """One connection; commands that take and give short texts."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=5)
        self._answers = self._socket.makefile("rb")

    def call(self, *words: str) -> str | None:
        parts = [word.encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        line = self._answers.readline().decode()
        if not line or line[0] == "-":
            raise OSError(line or "hung up")
        if line[0] != "$":
            return line[1:].strip()
        size = int(line[1:])
        return None if size < 0 else self._answers.read(size + 2)[:-2].decode()


def main(host: str, port: str, node_id: str, lease: str, every: str) -> None:
    wire = Wire(host, int(port))
    value: str | None = None
    while True:
        if value is None:
            wanted = f"{node_id}:{int(time.time() * 1000)}"
            if wire.call("SET", LOCK, wanted, "NX", "EX", lease) == "OK":
                value = wanted
                print("leads", since_boot(), flush=True)
        elif wire.call("GET", LOCK) != value or wire.call("SET", LOCK, value, "XX", "EX", lease) != "OK":
            value = None
            print("follows", since_boot(), flush=True)
        time.sleep(float(every))


class Reign(NamedTuple):
    """A while in which somebody took himself for the leader, in s since the machine's boot."""

    who: str
    begin: float
    end: float


class OldNode:
    """The program above, as a process."""

    def __init__(self, host: str, node_id: str, lease: int, every: float = 0.1) -> None:
        self.node_id = node_id
        command = [sys.executable, str(Path(__file__)), host, "6379", node_id, str(lease), str(every)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def led(self) -> bool:
        """Whether it has said that it leads: it says nothing else first, and nobody reads before its end."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def kill(self) -> list[Reign]:
        """Kill it; return when it believed that it led, until the kill."""
        self._process.kill()
        ended = since_boot()
        lines, _ = self._process.communicate(timeout=10)
        reigns: list[Reign] = []
        for line in lines.splitlines():
            word, at = line.split()
            if word == "leads":
                reigns.append(Reign(self.node_id, float(at), ended))
            else:
                reigns[-1] = reigns[-1]._replace(end=float(at))
        return reigns


if __name__ == "__main__":
    main(*sys.argv[1:])
