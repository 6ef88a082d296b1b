"""Chromium without a screen, driven over DevTools: the machine's own, or a container's on the machine's network."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.eventually import eventually

CONTEXT = Path(__file__).parent / "browser"
OWN = Path("/usr/bin/chromium")
# Port 0: it takes a free one and says which. No word goes to its maker's servers.
WORDS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
START_SECONDS = 60.0
_ADDRESS = re.compile(rb"DevTools listening on (ws://127\.0\.0\.1:\d+/\S+)")


class Chromium:
    """A browser that runs, at `address`; `stop` ends it with all that it kept. It shares no files with the tests."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="spine-test-chromium-")
        self._process: subprocess.Popen[bytes] | None = None
        self._container = None
        try:
            self._start_own() if OWN.exists() else self._start_contained()
            self.address: str = eventually(self._told, START_SECONDS, every=0.05, what="the browser's address")
        except BaseException:
            self.stop()
            raise

    def _start_own(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(OWN), *WORDS, f"--user-data-dir={self._profile}/profile"],
                env={"PATH": os.environ["PATH"], "HOME": self._profile},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_contained(self) -> None:
        from tests.support.engine import image, labels, opened

        with opened() as client:
            self._container = client.containers.run(
                image(client, CONTEXT),
                [*WORDS, "--user-data-dir=/tmp/profile"],
                detach=True,
                name=f"spine-test-chromium-{os.getpid()}",
                labels=labels(),
                network_mode="host",
                init=True,
                shm_size="512m",
                tmpfs={"/tmp": "size=512m,mode=1777"},
            ).id

    @property
    def _log(self) -> Path:
        return Path(self._profile) / "log"

    def log(self) -> bytes:
        """All that it has written."""
        if self._container is None:
            return self._log.read_bytes()
        said = subprocess.run(["docker", "logs", self._container], capture_output=True, timeout=180)
        return said.stdout + said.stderr

    def _told(self) -> str | None:
        log = self.log()
        assert self._process is None or self._process.poll() is None, log.decode(errors="replace")
        found = _ADDRESS.search(log)
        return found and found[1].decode()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
        if self._container is not None:
            subprocess.run(["docker", "rm", "--force", self._container], check=True, capture_output=True, timeout=120)
        shutil.rmtree(self._profile, ignore_errors=True)
