"""What head has told this claw: one file a message, kept for the agents of its jobs.

A message is on disk before the spine is told that it is here; the spine offers it again until then, so that a file of
the same name is a repeat. What has expired is dropped when it is looked at.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from claw.state import safe_name
from contract.clock import parse_iso
from contract.durable import sync_folder, write_durably
from contract.errors import SpineError
from contract.wire import Message

_RANKS = {"constraint": 0, "decision": 1, "fact": 2, "task": 3}
_REST = 4

log = structlog.get_logger()


class Inbox:
    """The folder `inbox` in the claw's state folder, private to its owner."""

    def __init__(self, state_folder: Path) -> None:
        self.folder = state_folder / "inbox"

    def keep(self, found: list[Message]) -> list[str]:
        """Write messages durably, each once; return the ids of those that are on disk now."""
        kept = []
        for message in found:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path = self._path(message.id)
                if not path.exists():
                    write_durably(path, msgspec.json.format(msgspec.json.encode(message), indent=1))
                    log.info("claw.message", id=message.id, kind=message.kind, by=message.by)
            except OSError as e:
                log.error("claw.message_not_kept", id=message.id, why=e.strerror)
                continue
            kept.append(message.id)
        return kept

    def messages(self, now_ms: int) -> list[Message]:
        """Return what is here, the most pressing first: by kind, then by priority, then the older one."""
        found = []
        for path in sorted(self.folder.glob("msg_*.json")) if self.folder.is_dir() else ():
            try:
                message = msgspec.json.decode(path.read_bytes(), type=Message)
                over = message.expires_at is not None and parse_iso(message.expires_at) <= now_ms
            except (OSError, ValueError, msgspec.MsgspecError) as e:
                log.warning("claw.message_unreadable", path=str(path), why=str(e))
                continue
            if over:
                path.unlink(missing_ok=True)
            else:
                found.append(message)
        return sorted(found, key=lambda m: (_RANKS.get(m.kind, _REST), -m.priority, m.at, m.id))

    def drop(self, message_id: str) -> bool:
        """Forget a message; False when it is not here."""
        path = self._path(message_id)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(self.folder)
        return True

    def _path(self, message_id: str) -> Path:
        return self.folder / f"{safe_name(message_id)}.json"


def listener(inbox: Inbox, acknowledge: Callable[[str], object]) -> Callable[[list[Message]], None]:
    """Return what takes the messages of an answer: they are kept here, and acknowledged in the background.

    Neither a claim nor a heartbeat waits for that. What is lost with this process is offered again.
    """

    def tell(kept: list[str]) -> None:
        for message_id in kept:
            try:
                acknowledge(message_id)
            except SpineError as e:
                log.warning("claw.message_not_acknowledged", id=message_id, code=e.code)

    def take(found: list[Message]) -> None:
        kept = inbox.keep(found)
        if kept:
            threading.Thread(target=tell, args=(kept,), name="messages", daemon=True).start()

    return take
