"""`claw join`: a one-time code becomes this machine's token and settings file, and the machine proves itself."""

import os
import tempfile
from pathlib import Path

import msgspec

from claw import capabilities, envfile, exits, settings
from claw.process.guard import hide_memory
from claw.runner import machine
from claw.settings import Settings
from claw.state import Journal
from claw.ticks import proof
from contract.durable import write_durably
from contract.env import SettingsError, base_urls
from contract.errors import Forbidden, NotFound, RateLimited, SpineError
from contract.fleet_client import FleetClient
from contract.retry import ONCE

TOKEN_FILE = "token"


class CannotJoin(Exception):
    """The machine has not joined; the text says why, `code` is the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Joining(msgspec.Struct, kw_only=True):
    """How a machine is to join: `name` None takes the one that the code was made for."""

    url: str
    code: str
    name: str | None = None
    force: bool = False


def join(asked: Joining) -> list[str]:
    """Join; returns lines for people.

    The code is spent only when the settings can be written, and they are written before anything else is tried.

    Raises:
        CannotJoin
    """
    hide_memory()
    try:
        address = ",".join(base_urls(asked.url))
    except ValueError as e:
        raise CannotJoin(str(e), exits.USAGE) from e
    folder = settings.home_folder()
    file, token_file = folder / envfile.NAME, folder / TOKEN_FILE
    _require_room(folder, [] if asked.force else [file, token_file])
    provisional = _provisional(address)
    client = FleetClient(base_urls(address), "", read_seconds=30, retry=ONCE)
    try:
        given = client.join(asked.code, capabilities.find(provisional), capabilities.facts(provisional))
    except SpineError as e:
        raise CannotJoin(_why(address, e), exits.UNREACHABLE if e.retryable else exits.REFUSED) from e
    kept, _ = envfile.read(file)
    written = {
        "SPINE_BASE_URL": address,
        "SPINE_TOKEN_FILE": str(token_file),
        "CLAW_NAME": asked.name or given.name,
    }
    others = {name: value for name, value in kept.items() if name not in (*written, "SPINE_TOKEN")}
    try:
        write_durably(token_file, given.token.encode() + b"\n")
        write_durably(file, envfile.text(written | others))
    except OSError as e:
        again = f"joined as {given.name}, but {folder} cannot be written ({e.strerror}); ask for another code"
        raise CannotJoin(again, exits.CANNOT_WRITE) from e
    said = [f"Joined {address} as {given.name}. Settings are in {file}, the token in {token_file}."]
    said += [f"{name} is set in the environment and wins over {file}: unset it." for name in settings.shadowing()]
    return said + _prove(settings.joined(address, given.token, token_file))


def _require_room(folder: Path, absent: list[Path]) -> None:
    for path in absent:
        if path.exists():
            told = f"{path} is there already: this machine has joined. --force replaces its token and address."
            raise CannotJoin(told, exits.CANNOT_WRITE)
    try:
        Journal(folder).open()
        fd, probe = tempfile.mkstemp(dir=folder)
        os.close(fd)
        Path(probe).unlink()
    except OSError as e:
        told = f"{folder} cannot be written ({e.strerror}); correct CLAW_STATE_DIR"
        raise CannotJoin(told, exits.CANNOT_WRITE) from e


def _provisional(address: str) -> Settings:
    """Return the settings as they stand before there is a token.

    Raises:
        CannotJoin: one of them cannot be used.
    """
    try:
        return settings.joined(address, "not given yet", None)
    except SettingsError as e:
        raise CannotJoin("\n".join(e.faults), exits.CONFIG) from e


def _why(address: str, fault: SpineError) -> str:
    if isinstance(fault, NotFound | Forbidden | RateLimited):
        return fault.detail
    if fault.retryable:
        return (
            f"{address} did not answer ({fault.detail}); try again, "
            "and when the code is then refused, ask the head for another one"
        )
    return f"{fault.code}: {fault.detail}"


def _prove(used: Settings) -> list[str]:
    """Use the new token; what goes wrong now does not undo the joining."""
    client = FleetClient(used.base_urls, used.token, read_seconds=30)
    try:
        known = machine.tell_facts(used, client)
        if known is None:
            return []
        return [f"The spine knows what it can do: {', '.join(known.capabilities)}.", *proof.ping(used, known.name)]
    except SpineError as e:
        return [f"The new token was not proven ({e.code}: {e.detail}); see `claw doctor`."]
