"""What a chat service is to the rest of the front: it hears what people write and press, and says replies.

No chat service by name here: each has a module of its own, and all verbs exist as words too, for one without buttons.
"""

import base64
import hashlib
from typing import NamedTuple, Protocol

ACCEPT, REWORK, APPROVE, REJECT, CANCEL = "accept", "rework", "approve", "reject", "cancel"
VERBS = frozenset({ACCEPT, REWORK, APPROVE, REJECT, CANCEL})
ASK_TEXT = frozenset({REWORK})
"""Buttons behind which a text is asked for."""
KEY_CHARS = 24


class Asked(NamedTuple):
    """A message that somebody wrote. Ids are the service's own; `direct`: nobody else reads that channel."""

    transport: str
    user_id: str
    user_name: str
    channel_id: str
    message_id: str
    text: str
    direct: bool


class Button(NamedTuple):
    """Something to press below a reply: `verb` is one of VERBS; `fence` that of the result that was looked at.

    `style`: good, bad or plain.
    """

    label: str
    verb: str
    job_id: str
    fence: int = 0
    style: str = "plain"


class Reply(NamedTuple):
    """What is said. The text is ready: cut, masked and defused."""

    text: str
    buttons: tuple[Button, ...] = ()


class Pressed(NamedTuple):
    """A button that somebody pressed, with the text that it asked for; `key` is this press' own."""

    transport: str
    user_id: str
    user_name: str
    channel_id: str
    key: str
    verb: str
    job_id: str
    fence: int
    text: str = ""


class CannotSay(Exception):
    """A reply did not reach its channel.

    `for_good`: nor will it ever, as the channel is gone or closed to us. `after`: not before so many seconds.
    """

    def __init__(self, why: str, for_good: bool = False, after: float = 0.0) -> None:
        super().__init__(why)
        self.for_good, self.after = for_good, after


class Refused(Exception):
    """The chat service does not let us in, and will not until a setting is changed: the text says which."""


class Front(Protocol):
    """Who listens to a transport. Neither call raises; both may take as long as an answer of the spine."""

    async def asked(self, asked: Asked, by: "Transport") -> None:
        """Take a message; whether it is answered, the front decides."""

    async def pressed(self, pressed: Pressed, by: "Transport") -> bool:
        """Carry out what a button stands for; tell whether the buttons have done their work and may go."""

    def may_press(self, transport: str, user_id: str) -> bool:
        """Tell whether a press of this user is listened to: before a text is asked for."""


class Transport(Protocol):
    """A chat service."""

    name: str

    @property
    def ready(self) -> bool:
        """Whether messages are heard now."""

    @property
    def announces(self) -> bool:
        """Whether it has a place for announcements."""

    async def run(self, front: Front) -> None:
        """Hear, until cancelled; connections that break are made again.

        Raises:
            Refused
        """

    async def say(self, channel_id: str, reply: Reply, key: str, answers: str | None = None) -> str:
        """Say a reply, below the message `answers` where the service can; return the new message's id.

        Twice under one `key` (24 characters, see `key_of`) is once, as far as the service can tell.

        Raises:
            CannotSay
        """

    async def announce(self, reply: Reply, key: str) -> None:
        """Say it in the place for announcements.

        Raises:
            CannotSay
        """


def key_of(*parts: str) -> str:
    """Return a key for what the parts name: the same for the same parts, 24 characters of base32."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest).decode("ascii")[:KEY_CHARS].lower()
