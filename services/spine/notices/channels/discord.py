"""Discord's incoming webhooks: 2,000 characters a message, nobody is pinged by what a job printed."""

import re

from spine.notices import message
from spine.notices.aliases import Discord
from spine.notices.channels.calling import send_json
from spine.notices.message import Outgoing

MOST = 2000
_MARKS = re.compile(r"([\\*_~`|>#\[\]()<@:-])")


def pieces(notice: Outgoing) -> list[str]:
    """Return the text in pieces that Discord takes, each with the notice's id to know a repeat by."""
    mark = f"\n-# {notice.id}"
    found = message.cut(escaped(message.for_people(notice), notice.link), MOST - len(mark), notice.where)
    return [piece + mark for piece in found]


def escaped(text: str, link: str | None) -> str:
    """Return a text whose marks are shown and not obeyed; our own link stays one."""
    head, found, tail = text.rpartition(link) if link else ("", "", text)
    return _MARKS.sub(r"\\\1", head) + found + _MARKS.sub(r"\\\1", tail)


def send(alias: Discord, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Send one message.

    Raises:
        Failed
    """
    body = {"content": piece, "allowed_mentions": {"parse": []}, "flags": 4}  # 4: no previews of what it links
    send_json(alias.url, body, {}, seconds)
