"""Which line of its history a database server is on, and the newest one that was seen: an older one is not believed.

A standby that is promoted begins a new timeline. The primary that it took over from knows nothing of it: when it wakes
it takes sessions and writes as before, and everything that was acknowledged since is missing there.
"""

import threading
from pathlib import Path

import msgspec
import structlog

from contract.durable import write_durably
from spine.store.engine import StoreUnusable

_log = structlog.get_logger()

FILE = "lineage.json"


class Lineage(msgspec.Struct, frozen=True):
    """What a primary says of itself. `system`: one number for a cluster and all that were ever copied from it."""

    system: int
    timeline: int


class NotBelieved(Exception):
    """A server is on an older timeline than one that was seen, or of another cluster; the message says what to do."""


class Newest:
    """The newest line that was seen, by this process or by those before it that kept it in the same file.

    Args:
        path: where it is kept; None keeps it in memory alone.

    Raises:
        StoreUnusable: the file cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self.seen = self._kept()

    def outruns(self, found: Lineage) -> bool:
        """Tell whether a newer timeline was seen than this one."""
        return self.seen is not None and self.seen.timeline > found.timeline

    def trails(self, found: Lineage) -> bool:
        """Tell whether this one is newer than any that was seen; the first one that is seen is not."""
        return self.seen is not None and self.seen.timeline < found.timeline

    def check(self, found: Lineage) -> None:
        """Look whether a server may be believed.

        Raises:
            NotBelieved
        """
        if self.seen is not None and found.system != self.seen.system:
            raise NotBelieved(
                f"it belongs to another cluster (system identifier {found.system}, not {self.seen.system}); if the "
                f"store was moved there on purpose, {self._forget}"
            )
        if self.seen is not None and self.outruns(found):
            raise NotBelieved(
                f"it is an old primary (on timeline {found.timeline}, while {self.seen.timeline} was seen); make it a "
                f"standby of the new one, or, if the store was put back to it on purpose, {self._forget}"
            )

    def admit(self, found: Lineage) -> bool:
        """Keep what a server said that is to be used; return whether it is newer than what was seen before.

        Raises:
            NotBelieved
        """
        with self._lock:
            self.check(found)
            if found == self.seen:
                return False
            newer, before = self.trails(found), self.seen
            self.seen = found
            self._keep(found)
        if before is not None:
            _log.warning("store.newer_primary", timeline=found.timeline, before=before.timeline)
        return newer

    @property
    def _forget(self) -> str:
        return "start the spine again" if self._path is None else f"remove {self._path} and start the spine again"

    def _kept(self) -> Lineage | None:
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Lineage)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as e:
            raise StoreUnusable(
                f"{self._path}, which says what database was served last, cannot be read ({e}): remove it once no old "
                "primary can be reached"
            ) from e

    def _keep(self, found: Lineage) -> None:
        if self._path is None:
            return
        try:
            write_durably(self._path, msgspec.json.encode(found))
        except OSError as e:  # the next process asks every host of the address, too
            _log.error("store.lineage_not_kept", path=str(self._path), error=str(e))
