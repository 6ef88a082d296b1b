"""What time it is where the server runs, as far as its answers tell: a client's own clock may be hours off."""

import time
from email.utils import parsedate_to_datetime

# A Date header names a second without its fraction; within that our own clock says it better.
_COARSE_MS = 1500
_HALF_SECOND_MS = 500


class ServerTime:
    """Follows the `Date` of answers; until there is one, our own clock is believed."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def hear(self, date: str | None) -> None:
        """Take the header `Date` of an answer that has just come; one that cannot be read changes nothing."""
        if date is None:
            return
        try:
            moment = parsedate_to_datetime(date)
        except ValueError:
            return
        ahead = int(moment.timestamp() * 1000) + _HALF_SECOND_MS - _own_ms()
        self._ahead_ms = 0 if abs(ahead) < _COARSE_MS else ahead

    def now(self) -> int:
        """Return the server's wall time in ms, to about a second."""
        return _own_ms() + self._ahead_ms


def _own_ms() -> int:
    return time.time_ns() // 1_000_000
