"""discord.py's client as the front uses it: what people write and press goes to the front, nothing else is kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import discord
import structlog
import yarl
from discord.gateway import DiscordWebSocket

from chat.discord_shapes import CUSTOM, NOBODY, modal_of, texts_in, why
from chat.settings import DISCORD_URL, Discord
from chat.transport import ASK_TEXT, VERBS, Asked, Front, Pressed, Transport

_log = structlog.get_logger()

NAME = "discord"
LIMIT_SECONDS = 120.0
"""What Discord asks us to wait beyond this, discord.py does not wait for."""
ACT_SECONDS = 10.0
_SEEN_MOST = 1000
# What people wrote: the rest is Discord's own, such as a thread's name in the words of who began it.
_WRITTEN = frozenset({discord.MessageType.default, discord.MessageType.reply})


class Seen:
    """The ids of the last messages and presses: the gateway may tell of one twice."""

    def __init__(self) -> None:
        self._ids: dict[int, None] = {}

    def first(self, event_id: int) -> bool:
        """Tell whether it comes for the first time."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > _SEEN_MOST:
            del self._ids[next(iter(self._ids))]
        return True


class Client(discord.Client):
    """discord.py's client, which hears no more than it must and keeps nothing of what it hears."""

    def __init__(
        self, settings: Discord, front: Front, transport: Transport, seen: Seen, logged_in: Callable[[], object]
    ) -> None:
        # The content of direct messages is no privilege; that of a channel is.
        in_channel = settings.channel_id is not None
        intents = discord.Intents.none()
        intents.dm_messages = intents.guilds = True
        intents.guild_messages = intents.message_content = in_channel
        # It speaks by no voice: no word about what that would need.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=intents,
            allowed_mentions=NOBODY,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_ratelimit_timeout=LIMIT_SECONDS,
        )
        self._elsewhere = settings.api_url != DISCORD_URL
        self._front, self._transport, self._seen, self._logged_in = front, transport, seen, logged_in
        self.hears = self.heard = False
        """Whether messages come now, and whether they ever did."""

    async def setup_hook(self) -> None:
        """discord.py's hook behind the login, before the gateway."""
        if self._elsewhere:
            _, url, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url)
        self._logged_in()

    async def on_connect(self) -> None:
        """A session of the gateway has begun."""
        self.hears = self.heard = True
        _log.info("chat.discord_ready", bot=str(self.application_id))

    async def on_resumed(self) -> None:
        """A session goes on where it was."""
        self.hears = True
        _log.info("chat.discord_resumed")

    async def on_disconnect(self) -> None:
        """The connection broke, or could not be made."""
        self.hears = False

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """Log what a hook of ours raised; discord.py goes on."""
        _log.exception("chat.discord_broke", hook=event_method)

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        if message.author.bot or message.webhook_id is not None or message.type not in _WRITTEN:
            return
        if not self._seen.first(message.id):
            return
        asked = Asked(
            transport=NAME,
            user_id=str(message.author.id),
            user_name=message.author.name,
            channel_id=str(message.channel.id),
            message_id=str(message.id),
            text=message.content,
            direct=message.guild is None,
        )
        await self._front.asked(asked, self._transport)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Somebody pressed a button, or sent the text that one asked for."""
        data: Any = interaction.data or {}
        found = CUSTOM.fullmatch(str(data.get("custom_id", "")))
        if found is None or found[1] not in VERBS or not self._front.may_press(NAME, str(interaction.user.id)):
            return
        if interaction.channel_id is None or not self._seen.first(interaction.id):
            return
        if interaction.type is discord.InteractionType.component and found[1] in ASK_TEXT:
            await _act(interaction.response.send_modal(modal_of(found[0])))
            return
        await _act(interaction.response.defer())  # Discord waits 3 s for this; the rest may take longer
        pressed = Pressed(
            transport=NAME,
            user_id=str(interaction.user.id),
            user_name=interaction.user.name,
            channel_id=str(interaction.channel_id),
            key=str(interaction.id),
            verb=found[1],
            job_id=found[2],
            fence=int(found[3]),
            text=next(texts_in(data), ""),
        )
        if await self._front.pressed(pressed, self._transport):
            await _act(interaction.edit_original_response(view=None))


async def _act(answer: Any) -> None:
    """Answer an interaction; one that Discord does not take changes nothing of what was asked."""
    try:
        async with asyncio.timeout(ACT_SECONDS):
            await answer
    except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as e:
        _log.info("chat.press_unanswered", why=why(e))
