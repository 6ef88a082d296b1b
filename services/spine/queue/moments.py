"""Times that a client names, as milliseconds."""

from contract.clock import parse_iso
from contract.errors import InvalidField

FARTHEST_MS = 253_402_300_799_000  # the end of the year 9999: what an ISO time can say


def moment_of(text: str, field: str) -> int:
    """Read a time.

    Raises:
        InvalidField: not one, or out of range; it names `field`.
    """
    try:
        moment = parse_iso(text)
    except (ValueError, OverflowError) as e:
        raise InvalidField(f"{field}: expected a time such as 2030-01-31T08:00:00Z", field) from e
    if not 0 <= moment <= FARTHEST_MS:
        raise InvalidField(f"{field}: out of range", field)
    return moment
