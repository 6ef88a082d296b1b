"""What the server knows: who and what there is, and how it comes to be and changes. No socket in here.

It is changed on the server's loop alone, each change under `changed`; tests wait on that condition.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from tests.support.fake_discord.forms import LOADING, Refusal, check_message, unknown
from tests.support.fake_discord.shapes import DM, TEXT, Person, Post, Room

T = TypeVar("T")
EPOCH_MS = 1_420_070_400_000
"""Where Discord's ids begin to count, in milliseconds of the Unix clock."""
GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 0, 1 << 9, 1 << 12, 1 << 15
"""Intents; what a client does not name, it does not get."""


class Emit(Protocol):
    """Sends an event to each session that has the intent; `hidden` is what one without the contents gets."""

    def __call__(self, name: str, data: dict[str, Any], intent: int, hidden: dict[str, Any] | None = None) -> None: ...


class World:
    """People, rooms and posts. `skew`: seconds by which the server's clock is ahead of the machine's."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.skew = 0.0
        self.emit: Emit = lambda *_: None
        self._last_id = 0
        self.people: dict[str, Person] = {}
        self.rooms: dict[str, Room] = {}
        self.nonces: dict[tuple[str, str], Post] = {}
        """(author's id, nonce) of the last minutes; `forget_nonces` lets them pass."""
        self.bot = self.person("spinal", bot=True)
        self.guild_id = self.snowflake()

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.skew, UTC)

    def snowflake(self) -> str:
        """Return a new id; later ones are greater."""
        stamp = (int(self.now().timestamp() * 1000) - EPOCH_MS) << 22
        self._last_id = max(stamp, self._last_id + 1)
        return str(self._last_id)

    def wait(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Return the first truthy answer of `look`, which is asked after each change.

        Raises:
            AssertionError: it did not come in time; with the newest messages.
        """
        found: list[T] = []

        def ready() -> bool:
            if answer := look():
                found.append(answer)
            return bool(found)

        with self.changed:
            if not self.changed.wait_for(ready, seconds):
                newest = [f"{p.author.name}: {p.content[:80]!r}" for r in self.rooms.values() for p in r.posts.values()]
                raise AssertionError(f"{what} did not come within {seconds:g} s; the messages: {newest[-8:]}")
        return found[0]

    def person(self, name: str, bot: bool = False) -> Person:
        """Return who has this name, new or not."""
        known = next((person for person in self.people.values() if person.name == name), None)
        if known is None:
            known = Person(self.snowflake(), name, bot)
            self.people[known.id] = known
        return known

    def direct(self, person: Person) -> Room:
        """Return the bot's direct channel with somebody, new or not."""
        known = next((room for room in self.rooms.values() if room.recipient is person), None)
        if known is None:
            known = Room(self.snowflake(), "", recipient=person)
            self.rooms[known.id] = known
        return known

    def text_channel(self, name: str) -> Room:
        """Return the guild's channel of this name, new or not."""
        known = next((room for room in self.rooms.values() if room.guild_id and room.name == name), None)
        if known is None:
            known = Room(self.snowflake(), name, guild_id=self.guild_id)
            self.rooms[known.id] = known
            self.emit("CHANNEL_CREATE", known.payload(), GUILDS)
        return known

    def room(self, room_id: str) -> Room:
        """Return a channel that the bot may use.

        Raises:
            Refusal: there is none, or it may not.
        """
        if room_id not in self.rooms:
            raise unknown("Channel")
        if not self.rooms[room_id].access:
            raise Refusal(403, 50001, "Missing Access")
        return self.rooms[room_id]

    def find(self, room: Room, post_id: str) -> Post:
        """Return a message of a channel.

        Raises:
            Refusal: there is none.
        """
        if post_id not in room.posts or room.posts[post_id].deleted:
            raise unknown("Message")
        return room.posts[post_id]

    def mentioned(self, content: str) -> list[Person]:
        return [p for p in self.people.values() if f"<@{p.id}>" in content or f"<@!{p.id}>" in content]

    def post(self, room: Room, author: Person, body: dict[str, Any], flags: int = 0) -> Post:
        """Make a message and tell of it; a nonce that is enforced and known gives the message that has it.

        Raises:
            Refusal: it is not taken.
        """
        if not flags & LOADING:
            check_message(body)
        if author is self.bot and room.recipient and room.recipient.dms_closed:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce") and (author.id, str(nonce)) in self.nonces:
            return self.nonces[author.id, str(nonce)]
        reference = (body.get("message_reference") or {}).get("message_id")
        if reference and (body["message_reference"].get("fail_if_not_exists", True)):
            self.find(room, str(reference))
        content = body.get("content") or ""
        post = Post(
            self, room, self.snowflake(), author, content, self.now(), nonce, flags | body.get("flags", 0), body,
            body.get("components") or [], body.get("embeds") or [], body.get("attachments") or [],
            str(reference) if reference else None, versions=[content], extra=body.get("extra") or {},
        )  # fmt: skip
        with self.changed:
            room.posts[post.id] = post
            if nonce is not None:
                self.nonces[author.id, str(nonce)] = post
            self.changed.notify_all()
        self.tell("MESSAGE_CREATE", post)
        return post

    def edit(self, post: Post, body: dict[str, Any]) -> Post:
        """Change what the body names, and tell of it.

        Raises:
            Refusal: it is not taken.
        """
        check_message(body, editing=True)
        with self.changed:
            for name in ("content", "components", "embeds", "attachments"):
                if name in body:
                    setattr(post, name, body[name] or ("" if name == "content" else []))
            post.flags &= ~LOADING
            post.sent = post.sent | body
            post.edited = self.now()
            post.versions.append(post.content)
            self.changed.notify_all()
        self.tell("MESSAGE_UPDATE", post)
        return post

    def delete(self, post: Post) -> None:
        """Take a message away, and tell of it."""
        with self.changed:
            post.deleted = True
            self.changed.notify_all()
        gone = {"id": post.id, "channel_id": post.room.id}
        if post.room.guild_id:
            gone["guild_id"] = post.room.guild_id
        self.emit("MESSAGE_DELETE", gone, GUILD_MESSAGES if post.room.guild_id else DIRECT_MESSAGES)

    def tell(self, name: str, post: Post) -> None:
        """Send an event about a message. In the guild its content is for those alone who may read it."""
        if post.ephemeral:
            return
        data = post.payload()
        if not post.room.guild_id:
            self.emit(name, data | {"channel_type": DM}, DIRECT_MESSAGES)
            return
        data |= {"guild_id": post.room.guild_id, "member": post.author.member(), "channel_type": TEXT}
        bare = data | {"content": "", "components": [], "embeds": [], "attachments": []}
        own = post.author is self.bot or self.bot in self.mentioned(post.content)
        self.emit(name, data, GUILD_MESSAGES, data if own else bare)
