"""The file of token digests: names, and the SHA-256 of each one's token."""

import re
from pathlib import Path

from spine.queue.access import RESERVED, Principal, Role

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ROLES: dict[str, Role] = {"head": "head", "viewer": "viewer", "chat": "chat"}
_NOBODY = RESERVED - _ROLES.keys()


class Mistaken(RuntimeError):
    """The file gives a role's name to what the store knows as a claw."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"SPINE_TOKEN_DIGESTS: {', '.join(names)} stands for a role now, but is a claw in the store; give the claw "
            "another name in the file, revoke the old one (spine-head machine revoke), then give the role its token"
        )


def read_digests(path: Path) -> dict[str, Principal]:
    """Read a file of token digests: lines of a name and the SHA-256 of its token in hex; `#` begins a comment.

    Raises:
        ValueError: naming the line that cannot be used, or that there is no head.
        OSError
    """
    found: dict[str, Principal] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0] in _NOBODY:
            raise ValueError(f"{path}, line {number}: {not_for_a_claw(words[0])}")
        if len(words) != 2 or not is_name(words[0]) or not _DIGEST.fullmatch(words[1]):
            raise ValueError(f"{path}, line {number}: expected a name and the SHA-256 of its token in hex")
        principal = principal_of(words[0])
        if found.setdefault(words[1], principal) != principal:
            raise ValueError(f"{path}, line {number}: the same token stands for {found[words[1]].name}")
    if not any(principal.is_head for principal in found.values()):
        raise ValueError(f"{path}: it names no head, so that nobody could steer this spine")
    return found


def principal_of(name: str) -> Principal:
    """Return whom a name stands for."""
    return Principal(name, _ROLES.get(name, "claw"))


def not_for_a_claw(name: str) -> str:
    """Say why a claw may not have a reserved name."""
    return f"{name} is not for a claw, it means another; give the claw another name"


def is_name(text: str) -> bool:
    """Tell whether a claw may have this name."""
    return (
        0 < len(text) <= 64 and text[0].isalnum() and all(c in "abcdefghijklmnopqrstuvwxyz0123456789.-_" for c in text)
    )
