"""The lookup `fleet_token`: tokens by name, from a vault's dictionary or from the controller's folder of files."""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: fleet_token
author: The Spinal Cord authors
short_description: Tokens of a fleet
description: Returns the token of each name; with O(upcoming) also the one that a rotation is bringing in.
options:
  _terms:
    description: Names, such as head or a claw's.
    required: true
  folder:
    description: Where C(NAME.token) lies on the controller, and C(NAME.token.next) during a rotation.
    type: path
    required: true
  given:
    description: Tokens by name that come from elsewhere, such as a vault; they win.
    type: dict
    default: {}
  absent:
    description: What to return for a token that is not there yet; without it that is an error.
    type: str
  upcoming:
    description: Whether to add the token that a rotation is bringing in, where there is one.
    type: bool
    default: false
"""
RETURN = """
_raw:
  description: The tokens.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """Reads files of one line."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """Return the tokens of the names.

        Raises:
            AnsibleError: one is not there, is empty, or has a space in it.
        """
        self.set_options(var_options=variables, direct=options)
        folder, given, absent = Path(self.get_option("folder")), self.get_option("given"), self.get_option("absent")
        found: list[str] = []
        for name in terms:
            path = folder / f"{name}.token"
            if given.get(name):
                found.append(str(given[name]))
            elif path.is_file():
                found.append(_read(path))
            elif absent is not None:
                found.append(f"{absent} {name}")
            else:
                raise AnsibleError(f"no token for {name}: {path} is not there")
            coming = path.with_name(f"{name}.token.next")
            if self.get_option("upcoming") and coming.is_file():
                found.append(_read(coming))
        return found


def _read(path: Path) -> str:
    token = path.read_text(encoding="utf-8").strip()
    if len(token) < 8 or len(token.split()) != 1:
        raise AnsibleError(f"{path}: expected one token of at least 8 characters; delete it, and another one is made")
    return token
