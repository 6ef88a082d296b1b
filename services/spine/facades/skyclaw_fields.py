"""What Skyclaw's hosts and clients may say of themselves and of what they want, read as its coordinator reads it."""

from typing import Any

from contract.errors import InvalidField
from spine.facades import front
from spine.facades.mapping import BROKER, clean

CAPABILITY_MOST, CAPABILITIES_MOST = 256, 256


def host_id_of(host_id: str) -> str:
    """Return a host's id; empty when it has none yet.

    Raises:
        InvalidField
    """
    if not front.is_worker_id(host_id):
        raise InvalidField(f"hostId: at most {front.WORKER_MOST} printable characters", "hostId")
    return host_id


def capabilities_of(given: Any, field: str) -> list[str]:
    """Return capabilities trimmed, without empty ones and repeats, sorted by code point (contract: section 2).

    Raises:
        InvalidField
    """
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise InvalidField(f"{field}: expected a list of strings", field)
    found = sorted({name.strip() for name in given} - {""})
    if len(found) > CAPABILITIES_MOST or any(len(n) > CAPABILITY_MOST or clean(n) != n for n in found):
        raise InvalidField(f"{field}: at most {CAPABILITIES_MOST} of {CAPABILITY_MOST} characters", field)
    if BROKER in found:
        raise InvalidField(f"{field}: {BROKER} is another dialect's", field)
    return found


def at_least_one(given: Any) -> float:
    """Return `maxParallel`: a number, or a text that is one; what is below 1 becomes 1.

    Raises:
        InvalidField
    """
    if given is None:
        return 1
    try:
        most = float(given) if isinstance(given, (int, float, str)) else 1.0
    except (ValueError, OverflowError):
        raise InvalidField("maxParallel: expected a number", "maxParallel") from None
    return min(max(most, 1.0), 1_000_000.0) if most == most else 1.0
