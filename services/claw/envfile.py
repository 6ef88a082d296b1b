"""The settings file `claw.env`: lines of NAME=value that `claw join` writes and every command reads."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

NAME = "claw.env"
_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def read(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return what the file sets, and each fault; a file that is not there sets nothing.

    A value is the rest of the line as it stands, without blanks around it, and without one pair of quotes.
    """
    try:
        with path.open(encoding="utf-8") as source:
            found = os.fstat(source.fileno())
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                return {}, [f"{path}: not private to this user; chown it, and chmod 600"]
            lines = source.read().splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as e:
        return {}, [f"{path}: cannot be read ({e.__class__.__name__})"]
    values, faults = {}, []
    for n, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(f"{path}: line {n} is not NAME=value")
        else:
            values[match[1]] = _unquoted(match[2].strip())
    return values, faults


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def under(file: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Lay the environment over the file; a token given there in either form hides both of the file's."""
    hidden: set[str] = set()
    for forms in (("SPINE_TOKEN", "SPINE_TOKEN_FILE"), ("OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_TOKEN_FILE")):
        if any(environ.get(name, "").strip() for name in forms):
            hidden |= {*forms}
    return {name: value for name, value in file.items() if name not in hidden} | dict(environ)


def text(values: Mapping[str, str]) -> bytes:
    """Return the file's content."""
    head = "# Settings of the claw on this machine; variables of the environment win over them.\n"
    return (head + "".join(f"{name}={value}\n" for name, value in values.items())).encode()
