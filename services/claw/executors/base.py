"""What every executor shares."""

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Refused(Exception):
    """The phase may not or cannot be run on this claw; the text names the setting or field. Never worth a repeat."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a phase runs: its folder, the files of spec and result, and all that it sees of an environment."""

    workspace: Path
    spec_file: Path
    result_file: Path
    env: Mapping[str, str]
