"""Looks at a store that others write to, for what no hint has told: work, events, who is let in."""

from spine.store import events, lanes
from spine.store.engine import Engine, Signals, Tx

WAIT_SECONDS = 10.0


class Lookout:
    """Finds, again and again, what there is to wake somebody for."""

    def __init__(self, store: Engine) -> None:
        self._store = store
        self._newest = -1

    def look(self) -> Signals:
        """Return what there is now.

        Raises:
            SpineError, TimeoutError: the store does not answer.
        """

        def found(tx: Tx) -> tuple[dict[int, int], int]:
            return lanes.ready(tx), events.last(tx)

        ready, newest = self._store.read(found).result(timeout=WAIT_SECONDS)
        is_news, self._newest = newest != self._newest, newest
        return Signals(lanes=ready, events=is_news, tokens=True)
