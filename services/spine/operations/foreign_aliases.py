"""Aliases of openclaw-scheduler: a name there is a chat, here an entry of the file of aliases, which holds secrets.

So nothing of them is written anywhere: they become lines that a person puts into that file.
"""

import re
from typing import Any, NamedTuple

import msgspec

from contract.seed_schedule import Note
from spine.notices.aliases import Message
from spine.store.foreign import Foreign

TABLE = "delivery_aliases"
_COLUMNS = ("alias", "channel", "target")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
# What the scheduler has in its own settings, if anywhere.
_URL, _TOKEN = "http://127.0.0.1:18789", "the-token-of-the-gateway"


class ForeignAlias(NamedTuple):
    """A name and its chat. `problem`: why it cannot be an alias here under this name; None where it can."""

    name: str
    channel: str
    target: str
    problem: str | None

    def entry(self) -> dict[str, str]:
        """Return what stands for it in the file of aliases, but for the gateway's address and token."""
        chat = {"via": self.channel, "to": self.target}
        return {"channel": "openclaw-message", "url": _URL, "token": _TOKEN, **chat}


def read(db: Foreign) -> list[ForeignAlias]:
    """Read the aliases of a scheduler.db; none where its schema has no such table yet.

    Raises:
        Unreadable
    """
    if not set(_COLUMNS) <= db.columns(TABLE):
        return []
    return [_alias(*(row[name] for name in _COLUMNS)) for _place, row in db.rows(TABLE, _COLUMNS)]


def _alias(name: Any, channel: Any, target: Any) -> ForeignAlias:
    found = ForeignAlias(str(name).removeprefix("@"), str(channel or ""), str(target or ""), None)
    if bytes in map(type, (name, channel, target)):
        return found._replace(problem="its name or its chat is no text")
    if not _NAME.match(found.name):
        return found._replace(problem="a name has 1 to 64 of a-z, 0-9, dot, hyphen and underscore here")
    try:
        msgspec.convert(found.entry(), Message)
    except msgspec.ValidationError as e:
        return found._replace(problem=f"its chat cannot be used: {e}")
    return found


def named(job: dict[str, Any], aliases: list[ForeignAlias]) -> tuple[dict[str, Any], list[Note]]:
    """Return a row of `jobs` with its delivery as we write it, and what is told of that.

    The scheduler takes an alias with and without `@`, and whatever channel stands beside it.
    """
    to = str(job.get("delivery_to") or "").removeprefix("@")
    alias = next((one for one in aliases if to and one.name == to), None)
    if alias is None:
        return job, []
    if alias.problem is None:
        return job | {"delivery_to": f"@{alias.name}"}, []
    note = Note("delivery_to", f"the alias {to[:64]!r} cannot be one here, so the job names its chat itself")
    return job | {"delivery_channel": alias.channel, "delivery_to": alias.target}, [note]
