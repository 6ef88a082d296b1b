"""`claw rotate`: a new token for this machine, in the place of the old one."""

import os
import tempfile
from pathlib import Path

from claw import exits
from claw.runner import machine
from claw.settings import Settings
from claw.state import Journal
from contract.durable import write_durably
from contract.errors import SpineError, Unauthorized
from contract.fleet_client import FleetClient
from contract.retry import ONCE


class CannotRotate(Exception):
    """The token is the one it was; the text says why, `code` is the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def rotate(settings: Settings, grace_seconds: int) -> str:
    """Ask for a new token, write it into the token's file, try it; returns a line for people.

    A claw that runs meanwhile reads the file again when the old token has ended.

    Raises:
        CannotRotate
    """
    if settings.token_file is None:
        told = "the token is in the variable SPINE_TOKEN, where it cannot be replaced; put it into SPINE_TOKEN_FILE"
        raise CannotRotate(told, exits.CONFIG)
    path = settings.token_file.resolve()
    journal = Journal(settings.state_dir)
    journal.open()
    with journal.lock("rotate.lock") as ours:
        if not ours:
            raise CannotRotate("another `claw rotate` is under way", exits.CANNOT_WRITE)
        _require_room(path)
        client = FleetClient(settings.base_urls, settings.token_now(), retry=ONCE)
        try:
            known = machine.itself(client)
            given = client.rotate(settings.name if known is None else known.name, grace_seconds)
        except SpineError as e:
            code = exits.UNREACHABLE if e.retryable else exits.REFUSED
            raise CannotRotate(e.detail, exits.CONFIG if isinstance(e, Unauthorized) else code) from e
        try:
            write_durably(path, given.token.encode() + b"\n")
        except OSError as e:
            told = f"{path} cannot be written ({e.strerror}); the old token ends in {grace_seconds} s: rotate again"
            raise CannotRotate(told, exits.CANNOT_WRITE) from e
    try:
        FleetClient(settings.base_urls, given.token).machines()
    except SpineError as e:
        return f"{path} holds a new token for {given.name}; it was not tried ({e.code}: {e.detail})."
    return f"{path} holds a new token for {given.name}; those before end in {grace_seconds} s."


def _require_room(path: Path) -> None:
    """Check that the file can be replaced before a token is asked for that could not be kept."""
    try:
        fd, probe = tempfile.mkstemp(dir=path.parent)
        os.close(fd)
        Path(probe).unlink()
    except OSError as e:
        told = f"{path.parent} cannot be written ({e.strerror}), so that no new token could be kept"
        raise CannotRotate(told, exits.CANNOT_WRITE) from e
