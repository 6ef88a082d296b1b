"""What a program's list of exit codes is made of; the codes are each program's own."""

from typing import NamedTuple


class Exit(NamedTuple):
    """A row of the reference: the code and when it is given."""

    code: int
    meaning: str
