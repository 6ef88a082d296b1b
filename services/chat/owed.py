"""Answers that are owed, one file each: written before a job is created, gone when its end has been said."""

import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from chat.transport import key_of
from contract.durable import sync_folder, write_durably

_log = structlog.get_logger()
FOLDER = "owed"


class Owed(msgspec.Struct, kw_only=True):
    """An answer to a message or a press.

    `asked`: the id of what was asked, `answers` that of the message to answer below. `fields`: the job as it is, or
    was, submitted, under an Idempotency-Key made of `key`; None when the job was there before. `since`: wall time in
    seconds. `told`: it was said that the job is there; `late`: and that it is still running.
    """

    key: str
    transport: str
    channel_id: str
    asked: str
    answers: str | None
    since: float
    prefix: str = ""
    fields: dict[str, Any] | None = None
    job_id: str | None = None
    told: bool = False
    late: bool = False

    @property
    def idempotency_key(self) -> str:
        """Under which the job is submitted, and submitted again after a crash."""
        return f"chat-{self.key}"

    def say_key(self, what: str) -> str:
        """Return the key of one of the replies."""
        return key_of(self.key, what)


def owed(transport: str, channel_id: str, asked: str, answers: str | None, **more: Any) -> Owed:
    """Make one, as of now."""
    return Owed(
        key=key_of(transport, channel_id, asked, more.get("job_id") or ""),
        transport=transport,
        channel_id=channel_id,
        asked=asked,
        answers=answers,
        since=time.time(),
        **more,
    )


class Book:
    """The folder of what is owed. Its calls block."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def open(self) -> None:
        """Make the folder.

        Raises:
            OSError
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, entry: Owed) -> None:
        """Keep an entry as it stands.

        Raises:
            OSError
        """
        write_durably(self._path(entry), msgspec.json.encode(entry))

    def remove(self, entry: Owed) -> None:
        """Owe it no more. Twice is once.

        Raises:
            OSError
        """
        self._path(entry).unlink(missing_ok=True)
        sync_folder(self._folder)

    def read(self) -> list[Owed]:
        """Return all that is owed, the oldest first; a file that cannot be read is put aside.

        Raises:
            OSError
        """
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Owed))
            except msgspec.MsgspecError as e:
                path.replace(path.with_suffix(".bad"))
                _log.error("chat.owed_unreadable", path=str(path), why=str(e))
        return sorted(found, key=lambda entry: entry.since)

    def _path(self, entry: Owed) -> Path:
        return self._folder / f"{entry.key}.json"
