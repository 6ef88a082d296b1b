"""Hiding secrets in a byte stream: known values and well-known patterns, also across the borders of chunks."""

import re
from collections.abc import Iterable

MASK = b"[redacted]"

# Forms that are secrets wherever they stand. Each is bounded, so that a stream can be cut at `_TAIL` bytes.
_PATTERNS = (
    rb"spn_[a-z0-9-]{1,32}_[a-z0-9]{8}_[a-z0-9]{40}",
    rb"gh[pousr]_[A-Za-z0-9]{36,255}",
    rb"github_pat_[A-Za-z0-9_]{22,255}",
    rb"glpat-[A-Za-z0-9_-]{20,64}",
    rb"xox[abprs]-[A-Za-z0-9-]{10,250}",
    rb"sk-[A-Za-z0-9_-]{20,255}",
    rb"AKIA[0-9A-Z]{16}",
    rb"(?i:authorization:[ \t]*(?:bearer|basic)[ \t]+)[^\s\"']{8,512}",
    rb"(?i:://[^\s:/@]{1,64}:)[^\s:/@]{1,256}(?=@)",
    rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
)
_PATTERN = re.compile(b"|".join(_PATTERNS))
_KEEP = re.compile(rb"(?i)^(authorization:[ \t]*(?:bearer|basic)[ \t]+|://[^\s:/@]{1,64}:)")
_TAIL = 1024
SHORTEST = 6


def _mask(match: re.Match[bytes]) -> bytes:
    kept = _KEEP.match(match.group())
    return (kept.group() if kept else b"") + MASK


class Redactor:
    """Feeds bytes through; what it gives out holds none of the secrets. Not thread-safe.

    The last bytes are held back until more come or `flush` is called, since a secret may continue in the next chunk.
    Known values shorter than 6 bytes are left alone: masking them would hide ordinary text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({s.encode() for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile(b"|".join(re.escape(v) for v in values)) if values else None
        self._tail = max([_TAIL, *(len(v) for v in values)])
        self._held = b""

    def _clean(self, data: bytes) -> bytes:
        if self._known is not None:
            data = self._known.sub(MASK, data)
        return _PATTERN.sub(_mask, data)

    def _border(self, data: bytes) -> int:
        """Return where `data` may be cut: no match lies across the cut."""
        cut = len(data) - self._tail
        # A newline ends every pattern and nearly every known value: hold less back when a line has ended.
        newline = data.rfind(b"\n")
        if newline >= 0 and not (self._known and any(b"\n" in m for m in (self._known.pattern,))):
            cut = max(cut, newline + 1)
        for pattern in filter(None, (self._known, _PATTERN)):
            for match in pattern.finditer(data):
                if match.start() < cut < match.end():
                    cut = match.start()
        return max(cut, 0)

    def feed(self, chunk: bytes) -> bytes:
        """Take more bytes, return those that are safe to show."""
        data = self._held + chunk
        cut = self._border(data)
        self._held = data[cut:]
        return self._clean(data[:cut])

    def flush(self) -> bytes:
        """Return what was held back."""
        data, self._held = self._held, b""
        return self._clean(data)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide secrets in one text."""
    redactor = Redactor(secrets)
    return (redactor.feed(text.encode("utf-8", "replace")) + redactor.flush()).decode("utf-8", "replace")
