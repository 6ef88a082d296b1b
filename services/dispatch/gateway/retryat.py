"""When a quota is said to be reset, in the text of an error; only times that are plain, never a guess."""

import re

from contract.clock import parse_iso

MOST_MS = 8 * 86_400_000
"""A time further away than a weekly quota with a day to spare is not believed."""
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_CUE = r"(?:try again|retry|retry[- ]?after|resets?|available again|wait)"
_AFTER = re.compile(
    rf"\b{_CUE}\b[^.\n0-9]{{0,24}}((?:\d+(?:\.\d+)?\s*"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_MOMENT = re.compile(
    rf"\b{_CUE}\b[^\n]{{0,24}}?(\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s*(?:Z|UTC|GMT|[+-]\d\d:?\d\d))",
    re.IGNORECASE,
)
_EPOCH = re.compile(rf"\b{_CUE}\b[^\n0-9]{{0,24}}(\d{{10}}|\d{{13}})\b", re.IGNORECASE)


def retry_at(text: str, now: int) -> int | None:
    """Return the moment (epoch ms) that a text names: a date with a zone, seconds since the epoch, a time from now.

    Args:
        now: epoch ms, from which "in 20 minutes" counts.
    """
    for found in (_moment(text), _epoch(text), _span(text, now)):
        if found is not None and now < found <= now + MOST_MS:
            return found
    return None


def _moment(text: str) -> int | None:
    match = _MOMENT.search(text)
    if match is None:
        return None
    try:
        return parse_iso(re.sub(r"\s*(?:Z|UTC|GMT)\Z", "+00:00", match[1], flags=re.IGNORECASE))
    except ValueError:
        return None


def _epoch(text: str) -> int | None:
    match = _EPOCH.search(text)
    if match is None:
        return None
    return int(match[1]) * (1000 if len(match[1]) == 10 else 1)


def _span(text: str, now: int) -> int | None:
    match = _AFTER.search(text)
    if match is None:
        return None
    total = 0.0
    for number, word in _PART.findall(match[1]):
        unit = "ms" if word.lower().startswith(("ms", "milli")) else word[0].lower()
        total += float(number) * _UNITS[unit]
    return now + int(total) if total > 0 else None
