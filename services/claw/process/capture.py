"""The beginning of one output stream, kept for a job's result: redacted, in bounded memory, cut as Skyclaw cuts."""

from collections.abc import Callable, Iterable

from contract.redaction import Redactor

MARK = b"\n[output truncated]\n"
"""Where an output ends that was longer than its limit: what Skyclaw's hosts write."""


class Capture:
    """Takes a byte stream; `tee` gets all of it without its secrets, at the latest when `text` is asked for."""

    def __init__(self, most: int, secrets: Iterable[str], tee: Callable[[bytes], None]) -> None:
        self._most, self._tee = most, tee
        self._redactor = Redactor(secrets)
        self._kept = bytearray()

    def write(self, chunk: bytes) -> None:
        """Take output as it came."""
        self._take(self._redactor.feed(chunk))

    def text(self) -> str:
        """Return what came: all of it up to the limit in bytes, else its beginning and a mark within the limit.

        A character that the cut has split becomes U+FFFD. No more may come after this.
        """
        self._take(self._redactor.flush())
        data = bytes(self._kept)
        if len(data) > self._most:
            data = data[: max(self._most - len(MARK), 0)] + MARK
        return data.decode("utf-8", "replace")

    def _take(self, data: bytes) -> None:
        # One byte more than the limit tells that there was more.
        self._kept += data[: max(self._most + 1 - len(self._kept), 0)]
        if data:
            self._tee(data)
