"""What the address of a page asks for. A name may come more than once; a person may have typed anything."""

from collections.abc import Mapping
from typing import Any

from contract.errors import InvalidField


class Asked:
    """Names and values of a query string, and the parts of the path.

    Raises:
        InvalidField: a NUL, which no store takes in a text.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._values = {name: [value] if isinstance(value, str) else list(value) for name, value in given.items()}
        for name, values in self._values.items():
            if any("\0" in value for value in values):
                raise InvalidField(f"{name[:40]}: a NUL cannot be looked for", name[:40])

    def one(self, name: str) -> str:
        """Return the last value of a name, trimmed; empty when there is none."""
        values = self._values.get(name)
        return values[-1].strip() if values else ""

    def all(self, name: str) -> list[str]:
        """Return every value of a name, also of those that are separated by commas."""
        return [part for value in self._values.get(name, []) for part in value.split(",") if part]

    def without(self, name: str) -> "Asked":
        """Return the same without a name."""
        return Asked({known: values for known, values in self._values.items() if known != name})
