"""The end of a job's log as it looks on a terminal: its colours, and nothing else that a terminal would obey."""

import time
from collections import deque

from rich.text import Text

from contract.errors import SpineError
from contract.head_client import HeadClient
from head import follow
from head.clean import TerminalFilter

_BYTES = 16_384  # enough for the last lines, unless these are very long


class LogTail:
    """The last lines of what has been fed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.restart()

    def restart(self) -> None:
        """Begin with another attempt's log."""
        self._lines: deque[str] = deque(maxlen=self._most)
        self._open = ""
        self._filter = TerminalFilter()

    def feed(self, data: bytes) -> None:
        """Take more bytes of the same log."""
        *whole, last = (self._open + self._filter.feed(data)).split("\n")
        self._lines.extend(line[:_BYTES] for line in whole)
        self._open = last[-_BYTES:]

    def lines(self) -> list[Text]:
        """Return the lines, none of them wrapped; of one that was written over, what stands there now."""
        shown = [*self._lines, *([self._open] if self._open else [])][-self._most :]
        return [_line(line) for line in shown]


def end_of(client: HeadClient, job_id: str, fence: int, most: int) -> tuple[int, list[Text]]:
    """Return how long an attempt's log is (bytes), and its last lines.

    Raises:
        SpineError
    """
    size = client.log_state(job_id, fence).size
    begin, tail = max(0, size - _BYTES), LogTail(most)
    for piece in follow.read(client, job_id, fence, begin):
        tail.feed(piece.data)
    return size, tail.lines()


def keep_up(client: HeadClient, job_id: str, tail: LogTail) -> None:
    """Feed a tail with a job's log as it grows, until nothing can follow; for a thread of its own."""
    try:
        for news in follow.follow_log(client, job_id, None, time.sleep):
            if isinstance(news, follow.Piece):
                if news.data:
                    tail.feed(news.data)
                else:
                    tail.restart()
    except SpineError:
        return  # whoever follows the job itself is told of the same


def _line(line: str) -> Text:
    text = Text.from_ansi(line.rstrip("\r").rpartition("\r")[2].expandtabs())
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
