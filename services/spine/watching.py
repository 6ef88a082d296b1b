"""The tick that watches task groups: it looks, and writes only where there is something to tell."""

import structlog

from contract.errors import SpineError
from spine.queue import groups
from spine.store.engine import Engine

WAIT_SECONDS = 60
GROUPS_SECONDS = 2

_log = structlog.get_logger()


class Groups:
    """Watches the groups of a store."""

    def __init__(self, store: Engine) -> None:
        self._store = store

    def turn(self) -> int:
        """Look once; return of how many groups something was told. Never raises: the next turn looks again."""
        told = 0
        try:
            for group_id in self._store.read(groups.due).result(timeout=WAIT_SECONDS):
                told += self._tell(group_id)
        except (SpineError, TimeoutError) as e:
            _log.error("groups.failed", error=str(e))
        return told

    def _tell(self, group_id: str) -> bool:
        word = self._store.write(lambda tx: groups.tell(tx, group_id)).result(timeout=WAIT_SECONDS)
        if word is not None:
            _log.info("groups.told", group=group_id, word=word)
        return word is not None
