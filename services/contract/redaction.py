"""Hiding secrets in a byte stream: known values and well-known patterns, also across the borders of chunks."""

import re
from collections.abc import Iterable, Iterator

MASK = b"[redacted]"

# Forms that are secrets wherever they stand. Each is bounded and stays on its line.
_PATTERNS = (
    rb"spn_[a-z0-9-]{1,32}_[a-z0-9]{8}_[a-z0-9]{40}",
    rb"gh[pousr]_[A-Za-z0-9]{36,255}",
    rb"github_pat_[A-Za-z0-9_]{22,255}",
    rb"glpat-[A-Za-z0-9_-]{20,64}",
    rb"xox[abprs]-[A-Za-z0-9-]{10,250}",
    rb"sk-[A-Za-z0-9_-]{20,255}",
    rb"AKIA[0-9A-Z]{16}",
    rb"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,45}",
    rb"discord(?:app)?\.com/api/webhooks/[0-9]{5,25}/[A-Za-z0-9_-]{40,100}",
    rb"whsec_[A-Za-z0-9+/]{32,88}={0,2}",
    rb"(?i:authorization:[ \t]{0,64}(?:bearer|basic)[ \t]{1,64})[^\s\"']{8,512}",
    rb"(?i:://[^\s:/@]{0,64}:)[^\s:/@]{1,256}(?=@)",
    rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
)
_PATTERN = re.compile(b"|".join(_PATTERNS))
_KEEP = re.compile(rb"(?i)^(authorization:[ \t]{0,64}(?:bearer|basic)[ \t]{1,64}|://[^\s:/@]{0,64}:)")
# What follows the first line of a private key: its lines, or one line with \n in it. None is longer than 16 KiB.
_KEY_BODY = re.compile(rb"[A-Za-z0-9+/=\s\\]*")
_KEY_MOST = 16 * 1024
# Longer than any pattern with what it looks ahead to: a match that begins so far from the end is wholly seen.
_TAIL = 1024
SHORTEST = 6


class Redactor:
    """Feeds bytes through; what it gives out holds none of the secrets, however they are cut. Not thread-safe.

    The last bytes, at most about a kilobyte, are held back until more come or `flush` is called, since a secret may
    continue in the next chunk; a line that has ended is given out at once. Known values shorter than 6 bytes are left
    alone: masking them would hide ordinary text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = sorted({s.encode("utf-8", "surrogateescape") for s in secrets if len(s) >= SHORTEST})
        self._tail = max([_TAIL, *(len(value) for value in self._known)])
        self._lines = not any(b"\n" in value for value in self._known)
        self._held = b""
        self._masked = 0  # how many of the held bytes the last mask stands for
        self._scanned = 0  # where in the held bytes the last pattern ended
        self._key_left = 0  # how many bytes of a private key that has begun may still come

    def feed(self, chunk: bytes) -> bytes:
        """Take more bytes, return those that are safe to show."""
        data = self._held + chunk
        cut = len(data) - self._tail
        if self._lines:  # nothing that is looked for goes on behind the end of a line
            cut = max(cut, data.rfind(b"\n") + 1)
        return self._give(data, max(cut, 0))

    def flush(self) -> bytes:
        """Return what was held back."""
        return self._give(self._held, len(self._held))

    def _give(self, data: bytes, cut: int) -> bytes:
        """Return what stands before `cut`, masked; keep the rest, and how far a mask reaches into it."""
        out: list[bytes] = []
        at = self._key_body(data, self._masked, self._key_left) if self._key_left else self._masked
        for start, end in sorted(self._spans(data, cut)):
            if start >= at:
                out += (data[at:start], MASK)
            at = max(at, end)
        out.append(data[at:cut])
        self._held = data[cut:]
        self._masked, self._scanned = max(0, at - cut), max(0, self._scanned - cut)
        return b"".join(out)

    def _spans(self, data: bytes, cut: int) -> Iterator[tuple[int, int]]:
        """Yield what must be hidden and begins before `cut`, as (start, end)."""
        for value in self._known:
            at = data.find(value, 0, cut + len(value) - 1)
            while at >= 0:
                yield at, at + len(value)
                at = data.find(value, at + 1, cut + len(value) - 1)
        for match in _PATTERN.finditer(data, self._scanned):
            if match.start() >= cut:
                break
            kept = _KEEP.match(match.group())
            self._scanned = end = match.end()
            if match.group().startswith(b"-----"):
                end = self._key_body(data, end, _KEY_MOST)
            yield match.start() + (kept.end() if kept else 0), end

    def _key_body(self, data: bytes, start: int, most: int) -> int:
        """Return where the lines of a private key end; when they may go on in the next chunk, note it."""
        end = min(len(data), start + most)
        body = _KEY_BODY.match(data, start, end)
        stop = start if body is None else body.end()
        self._key_left = most - (stop - start) if stop == len(data) else 0
        return stop


def redacted_start(text: str, most: int) -> tuple[str, bool]:
    """Hide secrets in the first `most` characters of a text; return them, and whether anything is left out.

    However long the text is, a bounded piece of it is read. What a secret that is cut by the piece's end has within it
    is held back, and not shown: where the piece is full of secrets, there are fewer than `most` characters.
    """
    piece = text[: 2 * most + _KEY_MOST]
    if len(piece) == len(text):
        shown = redact(text)
    else:
        shown = Redactor().feed(piece.encode("utf-8", "replace")).decode("utf-8", "ignore")
    return shown[:most], len(piece) < len(text) or len(shown) > most


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide secrets in one text."""
    data = text.encode("utf-8", "replace")
    known = tuple(secrets)
    if not known and _PATTERN.search(data) is None:  # most texts: a log line has ten
        return data.decode("utf-8", "replace")
    redactor = Redactor(known)
    return (redactor.feed(data) + redactor.flush()).decode("utf-8", "replace")
