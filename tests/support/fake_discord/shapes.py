"""People, messages and channels, in the shapes that Discord gives them on the wire."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.support.fake_discord.forms import EPHEMERAL, LOADING

if TYPE_CHECKING:
    from tests.support.fake_discord.world import World

DM, TEXT = 1, 0
"""Types of channels."""
REPLY = 19
"""The type of a message that answers another one."""


@dataclass(eq=False)
class Person:
    """A user, or a bot. `dms_closed`: takes no direct messages."""

    id: str
    name: str
    bot: bool = False
    dms_closed: bool = False

    def payload(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "username": self.name,
            "global_name": self.name.title(),
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }

    def member(self) -> dict[str, Any]:
        joined = "2024-01-01T00:00:00+00:00"
        return {"roles": [], "joined_at": joined, "deaf": False, "mute": False, "flags": 0, "nick": None}


@dataclass(eq=False)
class Post:
    """A message. `sent` is the body as it came over the wire; `versions` are its contents, oldest first."""

    world: "World" = field(repr=False)
    room: "Room" = field(repr=False)
    id: str
    author: Person
    content: str
    made: datetime
    nonce: str | int | None = None
    flags: int = 0
    sent: dict[str, Any] = field(default_factory=dict)
    components: list[dict[str, Any]] = field(default_factory=list)
    embeds: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    reference: str | None = None
    edited: datetime | None = None
    versions: list[str] = field(default_factory=list)
    deleted: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields that stand in its payload besides, such as `webhook_id` or another `type`."""

    @property
    def allowed_mentions(self) -> dict[str, Any] | None:
        """What it may mention, as it was sent; None where the sender said nothing, which allows all."""
        return self.sent.get("allowed_mentions")

    @property
    def buttons(self) -> list[dict[str, Any]]:
        return [button for row in self.components for button in row.get("components", [])]

    @property
    def labels(self) -> list[str]:
        """What stands on its buttons that can be pressed."""
        return [button.get("label", "") for button in self.buttons if not button.get("disabled")]

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    def await_text(self, containing: str, seconds: float = 60.0) -> "Post":
        """Wait until its content, edited or not, has this text."""
        return self.world.wait(lambda: self if containing in self.content else None, seconds, f"{containing!r} in it")

    def payload(self) -> dict[str, Any]:
        """Return it as REST answers it; MESSAGE_CREATE adds the guild and the member."""
        body: dict[str, Any] = {
            "id": self.id,
            "channel_id": self.room.id,
            "author": self.author.payload(),
            "content": self.content,
            "timestamp": self.made.isoformat(),
            "edited_timestamp": self.edited.isoformat() if self.edited else None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [person.payload() for person in self.world.mentioned(self.content)],
            "mention_roles": [],
            "attachments": self.attachments,
            "embeds": self.embeds,
            "components": self.components,
            "pinned": False,
            "flags": self.flags,
            "type": REPLY if self.reference else 0,
        }
        body |= self.extra
        if self.nonce is not None:
            body["nonce"] = self.nonce
        if self.reference:
            body["message_reference"] = {"type": 0, "channel_id": self.room.id, "message_id": self.reference}
        return body


@dataclass(eq=False)
class Room:
    """A channel: a direct one with `recipient`, or a text channel of the guild. `access`: the bot may use it."""

    id: str
    name: str
    recipient: Person | None = None
    guild_id: str | None = None
    access: bool = True
    posts: dict[str, Post] = field(default_factory=dict)
    typed: int = 0

    def payload(self) -> dict[str, Any]:
        body: dict[str, Any] = {"id": self.id, "last_message_id": next(reversed(self.posts), None), "flags": 0}
        if self.recipient:
            return body | {"type": DM, "recipients": [self.recipient.payload()]}
        return body | {
            "type": TEXT, "guild_id": self.guild_id, "name": self.name, "position": 0, "topic": None, "nsfw": False,
            "parent_id": None, "permission_overwrites": [], "rate_limit_per_user": 0,
        }  # fmt: skip
