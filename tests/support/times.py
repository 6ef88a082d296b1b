"""Times of the wire as numbers."""

from datetime import datetime


def ms(text: str) -> int:
    """Read an ISO time into milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
