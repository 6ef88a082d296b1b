"""Answers that are not longer than an agent can use: what does not fit is cut, and says so."""

import json
from typing import Any

MOST = 32 * 1024
"""How many bytes of JSON the API's answer may have in a tool's answer."""
LEVELS = 32
"""How deep an answer is nested at most: hosts and the SDK read some hundred levels, and fail beyond."""
# Below this a member is not worth dividing further.
_LEAST = 64


def fitted(value: Any, most: int = MOST) -> tuple[Any, bool]:
    """Return a value of at most about `most` bytes of JSON, and whether anything of it was cut.

    Each record of a list and each member of a record gets a fair share; what is small leaves more for what is not. A
    text is cut; what cannot be divided so becomes the beginning of its JSON text.
    """
    if size(value) <= most:
        return value, False
    if isinstance(value, dict) and len(value) * _LEAST <= most:
        parts = _shared({name: size(name) + size(part) + 4 for name, part in value.items()}, most)
        return {name: fitted(part, parts[name] - size(name) - 4)[0] for name, part in value.items()}, True
    if isinstance(value, list) and len(value) * _LEAST <= most:
        parts = _shared({n: size(part) + 2 for n, part in enumerate(value)}, most)
        return [fitted(part, parts[n] - 2)[0] for n, part in enumerate(value)], True
    if isinstance(value, (str, list, dict)):
        return _cut(value if isinstance(value, str) else json.dumps(value), most), True
    return value, False


def shallow(value: Any, levels: int = LEVELS) -> Any:
    """Return a value of at most so many levels; what lies deeper becomes its JSON text.

    Raises:
        RecursionError: it is deeper than its text could be made of.
    """
    if not isinstance(value, (dict, list)):
        return value
    if not levels:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return {name: shallow(part, levels - 1) for name, part in value.items()}
    return [shallow(part, levels - 1) for part in value]


def size(value: Any) -> int:
    """Return how many bytes a value has as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _cut(text: str, most: int) -> str:
    mark = f" … ({len(text)} characters in all)"
    room, kept = max(most - size(mark), 0), text[: max(most, 0)]
    while kept and (needed := size(kept)) > room:  # a character has one byte or several
        kept = kept[: min(len(kept) * room // needed, len(kept) - 1)]
    return kept + mark


def _shared(sizes: dict[Any, int], most: int) -> dict[Any, int]:
    """Divide `most` among parts of these sizes: none gets more than it needs, the larger ones the same."""
    shares, left = {}, most
    for n, (name, needed) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        shares[name] = min(needed, left // (len(sizes) - n))
        left -= shares[name]
    return shares
