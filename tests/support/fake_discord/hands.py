"""The hands of a test: users and channels that send and wait, presses that wait for their answers."""

from typing import TYPE_CHECKING, Any

from tests.support.fake_discord.forms import filled, text_inputs
from tests.support.fake_discord.interactions import Interaction
from tests.support.fake_discord.shapes import Person, Post, Room

if TYPE_CHECKING:
    from tests.support.fake_discord import FakeDiscord


class User:
    """Somebody who talks to the bot."""

    def __init__(self, discord: "FakeDiscord", person: Person) -> None:
        self.discord, self.person = discord, person
        self.id, self.name = person.id, person.name

    def dm(self) -> "Channel":
        """Return the direct channel between this user and the bot."""
        return Channel(self.discord, self.discord.do(self.discord.world.direct, self.person), self)

    def close_dms(self) -> None:
        """Take no more direct messages from the bot: it is answered 403, code 50007."""
        self.person.dms_closed = True


class Channel:
    """A channel as one user sees it; `user` is who speaks in it where nobody else is named."""

    def __init__(self, discord: "FakeDiscord", room: Room, user: User | None = None) -> None:
        self.discord, self.room, self.user = discord, room, user
        self.id = room.id

    def seen_by(self, user: User) -> "Channel":
        return Channel(self.discord, self.room, user)

    def send(self, text: str, by: User | None = None, **fields: Any) -> Post:
        """Say something; the client is told of it.

        `fields`: more of its body, such as `embeds`; `extra` is what stands in the event besides, such as `webhook_id`.
        """
        speaker = by or self.user
        assert speaker is not None, "who speaks? by=…"
        return self.discord.do(self.discord.world.post, self.room, speaker.person, {"content": text, **fields})

    def edit(self, post: Post, text: str) -> None:
        """Change what was said, as its author."""
        self.discord.do(self.discord.world.edit, post, {"content": text})

    def delete(self, post: Post) -> None:
        self.discord.do(self.discord.world.delete, post)

    def messages(self) -> list[Post]:
        """Return what is to be read in it, oldest first; a message that is still "thinking" is not."""
        with self.discord.world.changed:
            return [post for post in self.room.posts.values() if not post.deleted and not post.loading]

    def replies(self, after: Post | None = None) -> list[Post]:
        """Return what the bot said, all of it or what came later than a message."""
        since = int(after.id) if after else 0
        return [post for post in self.messages() if post.author is self.discord.world.bot and int(post.id) > since]

    def await_reply(self, containing: str = "", after: Post | None = None, seconds: float = 60.0) -> Post:
        """Wait for the first answer with this text to a message, by default to the last that a person sent.

        Raises:
            AssertionError: none came.
        """
        asked = after or next((post for post in reversed(self.messages()) if not post.author.bot), None)

        def look() -> Post | None:
            return next((post for post in self.replies(asked) if containing in post.content), None)

        return self.discord.world.wait(look, seconds, f"a reply with {containing!r}")

    def await_replies(self, count: int, after: Post | None = None, seconds: float = 60.0) -> list[Post]:
        """Wait until the bot has said so many things; return all that it said."""
        found = self.discord.world.wait(
            lambda: self.replies(after) if len(self.replies(after)) >= count else None, seconds, f"{count} replies"
        )
        return found

    def await_typing(self, seconds: float = 60.0) -> None:
        """Wait until the bot has shown that it types."""
        self.discord.world.wait(lambda: self.room.typed, seconds, "typing")


class Press:
    """A button that was pressed, or a modal that was submitted."""

    def __init__(self, discord: "FakeDiscord", interaction: Interaction) -> None:
        self.discord, self.interaction = discord, interaction

    @property
    def answers(self) -> list[int]:
        """Types of the answers that were taken: 4 message, 5 later, 6 update later, 7 update, 9 modal."""
        return self.interaction.answers

    def await_answer(self, seconds: float = 60.0) -> int:
        """Wait until it is answered in some way; return the type of the answer."""
        self.discord.world.wait(lambda: self.answers, seconds, "an answer to the press")
        return self.answers[0]

    def await_message(self, containing: str = "", seconds: float = 60.0) -> Post:
        """Wait for the message that answers it: its own, an update of the one that was pressed, or a follow-up."""

        def look() -> Post | None:
            said = [self.interaction.original, *self.interaction.followups]
            return next((post for post in said if post and not post.loading and containing in post.content), None)

        return self.discord.world.wait(look, seconds, f"an answer with {containing!r}")

    def await_modal(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until it asks for a text; return the modal as it was sent."""
        return self.discord.world.wait(lambda: self.interaction.modal, seconds, "a modal")

    def submit(self, *texts: str, seconds: float = 60.0, **values: str) -> "Press":
        """Fill the modal in (its fields in their order, or by their custom_id) and send it."""
        modal = self.await_modal(seconds)
        names = [field["custom_id"] for field in text_inputs(modal)]
        components = filled(modal, dict(zip(names, texts, strict=False)) | values)
        return Press(self.discord, self.discord.do(self.discord.interactions.submit, self.interaction, components))
