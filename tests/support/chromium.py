"""Chromium without a screen, driven over DevTools, in a container on the machine's network."""

import json
import os
import re
import subprocess
from pathlib import Path

from tests.support.engine import image, labels, opened
from tests.support.eventually import eventually

CONTEXT = Path(__file__).parent / "browser"
# Port 0: it takes a free one and says which. No word goes to its maker's servers.
WORDS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0",
    "--user-data-dir=/tmp/profile",
)  # fmt: skip
# A browser that hears of a new address of the machine fails whatever waits for a connection, those to the machine
# itself too (net::ERR_NETWORK_CHANGED): each network that another test makes would be heard of. It hears of them by a
# netlink socket, and without one it takes the network for one that never changes.
AF_NETLINK, EAFNOSUPPORT = 16, 97
DEAF = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": EAFNOSUPPORT,
            "args": [{"index": 0, "value": AF_NETLINK, "op": "SCMP_CMP_EQ"}],
        }
    ],
}
START_SECONDS = 60.0
_ADDRESS = re.compile(rb"DevTools listening on (ws://127\.0\.0\.1:\d+/\S+)")


class Chromium:
    """A browser that runs, at `address`; `stop` ends it with all that it kept. It shares no files with the tests."""

    def __init__(self) -> None:
        with opened() as client:
            self._container: str = client.containers.run(
                image(client, CONTEXT),
                list(WORDS),
                detach=True,
                name=f"spine-test-chromium-{os.getpid()}",
                labels=labels(),
                network_mode="host",
                security_opt=[f"seccomp={json.dumps(DEAF)}"],
                init=True,
                shm_size="512m",
                tmpfs={"/tmp": "size=512m,mode=1777"},
            ).id
        try:
            self.address: str = eventually(self._told, START_SECONDS, every=0.05, what="the browser's address")
        except BaseException:
            self.stop()
            raise

    def log(self) -> bytes:
        """All that it has written."""
        said = subprocess.run(["docker", "logs", self._container], capture_output=True, timeout=180)
        return said.stdout + said.stderr

    def _told(self) -> str | None:
        found = _ADDRESS.search(self.log())
        return found and found[1].decode()

    def stop(self) -> None:
        """End it."""
        subprocess.run(["docker", "rm", "--force", self._container], check=True, capture_output=True, timeout=120)
