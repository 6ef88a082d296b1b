"""Untrusted texts for a page: clean of what a browser would obey, and links that are links.

Markup is escaped by the templates themselves; here goes what survives that: control characters, marks that turn the
order of letters around, and addresses that are programs.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
# What a terminal would take for colours and the like: no word of it is for people.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_LINE = re.compile(r"[\t\n\u2028\u2029]+")
LINK_MOST = 2000
TEXT_MOST = 20_000


def text(value: Any) -> str:
    """Return a text of several lines for a page; what is no text as JSON."""
    told = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return _CONTROL.sub("\ufffd", _SEQUENCE.sub("", told.replace("\r\n", "\n")))


def line(value: Any, most: int = 200) -> str:
    """Return a text for one line, cut where it is too long."""
    told = _LINE.sub(" ", text(value)).strip()
    return told if len(told) <= most else told[: most - 1] + "…"


def cut(value: str, most: int = TEXT_MOST) -> str:
    """Return a text, shortened in the middle where it is very long."""
    if len(value) <= most:
        return value
    half = most // 2
    return f"{value[:half]}\n… {len(value) - most} characters left out …\n{value[-half:]}"


def link(value: Any) -> str | None:
    """Return an address that a page may link to (http and https alone), or None."""
    if not isinstance(value, str) or len(value) > LINK_MOST or _CONTROL.search(value):
        return None
    try:
        parts = urlsplit(value.strip())
    except ValueError:
        return None
    return value.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def pretty(value: Any) -> str:
    """Return a value as JSON for people."""
    return text(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def size(count: float) -> str:
    """Say a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def number(value: int) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")
