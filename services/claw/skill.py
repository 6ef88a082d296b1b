"""`claw skill`: the spine's skill document, as a file in the folder where an OpenClaw agent looks for skills."""

import hashlib
from pathlib import Path

import msgspec

from claw import exits
from claw.settings import Settings
from claw.state import Journal
from contract.durable import write_durably
from contract.errors import SpineError
from contract.fleet_client import Document, FleetClient

NAME = "spinal-cord"


class CannotInstall(Exception):
    """The file is what it was; the text says why, `code` is the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Installed(msgspec.Struct, rename="camel", kw_only=True):
    """What `skill.json` in the state folder remembers: which file, its ETag, and the digest of what was written."""

    path: str
    etag: str
    sha256: str


def install(settings: Settings, skills: Path) -> str:
    """Fetch the document into the folder `skills`; returns a line for people.

    Raises:
        CannotInstall
    """
    path = skills.expanduser().absolute() / NAME / "SKILL.md"
    _write(settings, path, _fetch(settings, "") or Document("", ""))
    return f"{path} is installed; `claw skill refresh` keeps it up to date."


def refresh(settings: Settings) -> str:
    """Fetch the document again when the spine has another one, or the file was changed; returns a line for people.

    Raises:
        CannotInstall: nothing is installed, among others.
    """
    try:
        known = msgspec.json.decode(_note(settings).read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError) as e:
        raise CannotInstall("no skill is installed; run `claw skill install`", exits.CONFIG) from e
    path = Path(known.path)
    found = _fetch(settings, known.etag if _digest(path) == known.sha256 else "")
    if found is None:
        return f"{path} is up to date."
    _write(settings, path, found)
    return f"{path} is new."


def _fetch(settings: Settings, etag: str) -> Document | None:
    client = FleetClient(settings.base_urls, settings.token_now(), renew=settings.newer_token)
    try:
        found = client.skill_document(etag)
    except SpineError as e:
        raise CannotInstall(e.detail, exits.UNREACHABLE if e.retryable else exits.REFUSED) from e
    if found is not None and (not found.text.strip() or settings.token_now() in found.text):
        raise CannotInstall("the document is empty, or has this claw's token in it; it was not written", exits.REFUSED)
    return found


def _write(settings: Settings, path: Path, found: Document) -> None:
    content = found.text.encode()
    note = Installed(path=str(path), etag=found.etag, sha256=hashlib.sha256(content).hexdigest())
    try:
        Journal(settings.state_dir).open()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
        write_durably(_note(settings), msgspec.json.encode(note))
    except OSError as e:
        raise CannotInstall(f"{path} cannot be written ({e.strerror})", exits.CANNOT_WRITE) from e


def _note(settings: Settings) -> Path:
    return settings.state_dir / "skill.json"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
