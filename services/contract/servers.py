"""Which of several servers a client asks: it stays with one until that one fails, and goes on to the next at once."""

import threading
from collections.abc import Iterable

import requests

_CANNOT = frozenset({502, 503, 504})


class Servers:
    """The addresses of servers that share a store; threads share whose turn it is.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = [url.rstrip("/") for url in urls if url.strip()]
        if not self._urls:
            raise ValueError("give at least one base URL")
        self._turn, self._changing = 0, threading.Lock()

    @property
    def current(self) -> str:
        """The address whose turn it is."""
        return self._urls[self._turn]

    def leave(self, url: str) -> None:
        """Go on to the next address, unless another thread has left this one already: two would come back to it."""
        with self._changing:
            if self._urls[self._turn] == url:
                self._turn = (self._turn + 1) % len(self._urls)


def cannot(answer: requests.Response) -> bool:
    """Tell whether another server may be able to do what this one could not."""
    return answer.status_code in _CANNOT


def nobody_there(error: BaseException) -> bool:
    """Tell whether no connection was made: the call has certainly not been carried out."""
    # requests is told to repeat nothing by itself: what below it says so of repeats is about the connection alone.
    vain = bool(error.args) and hasattr(error.args[0], "reason")
    return isinstance(error, requests.ConnectTimeout) or vain
