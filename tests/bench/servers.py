"""The server under test as a process of its own, and what it costs: CPU time and memory."""

import asyncio
import os
import shutil
from pathlib import Path

from tests.bench.load import Clients, request
from tests.support.spine_process import TOKENS, SpineProcess

HEAD, CLAW = TOKENS["HEAD_TOKEN"], TOKENS["LEFT_CLAW_TOKEN"]
_TICK = os.sysconf("SC_CLK_TCK")
# Leases that end while a figure is taken would have the reaper at work beside it.
PATIENT = {"SPINE_LEASE_SECONDS": "86400", "SPINE_ACCEPT_LEASE_SECONDS": "3600", "SPINE_LOG_LEVEL": "warning"}


class Server:
    """A `spine serve` on a folder of its own, on a real disk, with FULL sync as always."""

    def __init__(self, folder: Path, store: Path | None = None, **env: str) -> None:
        if store is not None:
            (folder / "data").mkdir(parents=True)
            shutil.move(store, folder / "data" / "spine.db")
        self.process = SpineProcess(folder, {**PATIENT, **env})
        self.process.start()
        self.port = self.process.port
        self._pid = self.process.worker_pid

    def cpu(self) -> float:
        """Seconds of CPU that the serving process has used."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_mib(self) -> float:
        """Memory of the serving process."""
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def until_waiting(self, clients: Clients, count: int) -> None:
        """Wait until so many claims wait at the server.

        Raises:
            TimeoutError: not within 60 s.
        """
        async with asyncio.timeout(60):
            while True:
                page = (await clients.drive([request("GET", "/metrics", HEAD)], 200)).bodies[0]
                if b'\nspine_waiting_claims{worker="0"} %.1f\n' % count in page:
                    return
                await asyncio.sleep(0.1)

    def close(self) -> None:
        """Stop it."""
        self.process.stop()
