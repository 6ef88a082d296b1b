"""Discord: direct messages or one channel are heard by its gateway, replies go by its REST interface.

Buttons carry what they mean in their own ids, so that they work whichever process made them.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import discord
import structlog
import yarl
from discord import ui
from discord.gateway import DiscordWebSocket
from discord.http import Route

from chat import words
from chat.settings import DISCORD_URL, Discord
from chat.transport import ASK_TEXT, VERBS, Asked, Button, CannotSay, Front, Pressed, Refused, Reply

_log = structlog.get_logger()

NAME = "discord"
TEXT_MOST = 2000
SAY_SECONDS = 180.0
"""For one reply, with what Discord asks us to wait; what it asks beyond LIMIT_SECONDS is waited for outside."""
LIMIT_SECONDS = 120.0
ACT_SECONDS = 10.0
REWORK_MOST = 1000
_AGAIN = (1.0, 60.0)
_CUSTOM = re.compile(r"spinal:([a-z]{1,16}):([A-Za-z0-9._-]{1,64}):([0-9]{1,16})")
_STYLES = {
    "good": discord.ButtonStyle.success,
    "bad": discord.ButtonStyle.danger,
    "plain": discord.ButtonStyle.secondary,
}
_UNAUTHENTICATED = 4004
_NOBODY = discord.AllowedMentions.none()
# What goes on at its own pace when a service hangs up: none of it is a fault of ours.
_AWAY = (discord.HTTPException, discord.GatewayNotFound, discord.ConnectionClosed, aiohttp.ClientError, OSError)


class DiscordFront:
    """The transport."""

    name = NAME

    def __init__(self, settings: Discord) -> None:
        self._settings = settings
        self._client: _Client | None = None
        self._in = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether messages are heard now."""
        return self._client is not None and self._client.hears

    @property
    def announces(self) -> bool:
        """Whether it has a place for announcements."""
        return self._settings.announce_channel_id is not None

    async def run(self, front: Front) -> None:
        """Hear, until cancelled. discord.py mends connections itself; a client that gives up is made anew.

        Raises:
            Refused
        """
        trouble = _AGAIN[0]
        if self._settings.api_url != DISCORD_URL:
            Route.BASE = self._settings.api_url
        while True:
            try:
                async with _Client(self._settings, front, self) as self._client:
                    await self._client.start(self._settings.token)
            except discord.LoginFailure as e:
                raise Refused("Discord refuses the bot's token; put the right one into DISCORD_TOKEN") from e
            except discord.PrivilegedIntentsRequired as e:
                raise Refused(
                    "Discord does not let the bot read a channel: switch on its Message Content Intent (Developer "
                    "Portal, Bot), or leave ALLOWED_CHANNEL_ID empty for direct messages only"
                ) from e
            except _AWAY as e:
                if isinstance(e, discord.ConnectionClosed) and e.code == _UNAUTHENTICATED:
                    raise Refused("Discord refuses the bot's token; put the right one into DISCORD_TOKEN") from e
                _log.warning("chat.discord_away", why=_why(e))
                trouble = _AGAIN[0] if self._in.is_set() else trouble
            finally:
                self._in.clear()
                self._client = None
            await asyncio.sleep(trouble)
            trouble = min(trouble * 2, _AGAIN[1])

    async def logged_in(self) -> None:
        """Let replies go: the REST interface has taken our token."""
        self._in.set()

    async def say(self, channel_id: str, reply: Reply, key: str, answers: str | None = None) -> str:
        """Say a reply, below the message that it answers while that is there; return the new message's id.

        Twice under one key within some minutes is once: Discord itself knows the key as the message's nonce.

        Raises:
            CannotSay
        """
        try:
            async with asyncio.timeout(SAY_SECONDS):
                await self._in.wait()
                return await self._send(int(channel_id), reply, key, answers)
        except TimeoutError as e:
            raise CannotSay(f"Discord did not take it within {SAY_SECONDS:g} s") from e
        except discord.RateLimited as e:
            raise CannotSay("Discord asks for a pause", after=e.retry_after) from e
        except discord.HTTPException as e:
            # 401 is the token, which may be put right; 429 without Discord's own words is its guard's.
            for_good = 400 <= e.status < 500 and e.status not in (401, 408, 429)
            raise CannotSay(_why(e), for_good=for_good, after=_AGAIN[1] if e.status == 429 else 0.0) from e
        except (aiohttp.ClientError, OSError, RuntimeError) as e:  # RuntimeError: the session was closed meanwhile
            raise CannotSay(_why(e)) from e

    async def announce(self, reply: Reply, key: str) -> None:
        """Say it in the channel for announcements.

        Raises:
            CannotSay
        """
        if self._settings.announce_channel_id is None:
            raise CannotSay("ANNOUNCE_CHANNEL_ID is not set", for_good=True)
        await self.say(self._settings.announce_channel_id, reply, key)

    async def _send(self, channel_id: int, reply: Reply, key: str, answers: str | None) -> str:
        client = self._client
        if client is None:
            raise CannotSay("Discord is away")
        more: dict[str, Any] = {}
        if answers is not None:
            more["reference"] = discord.MessageReference(
                message_id=int(answers), channel_id=channel_id, fail_if_not_exists=False
            )
        if reply.buttons:
            more["view"] = _view(reply.buttons)
        sent = await client.get_partial_messageable(channel_id).send(
            reply.text[:TEXT_MOST], nonce=key, suppress_embeds=True, allowed_mentions=_NOBODY, **more
        )
        return str(sent.id)


class _Client(discord.Client):
    """discord.py's client, which hears no more than it must and keeps nothing of what it hears."""

    def __init__(self, settings: Discord, front: Front, transport: DiscordFront) -> None:
        # The content of direct messages is no privilege; that of a channel is.
        in_channel = settings.channel_id is not None
        intents = discord.Intents.none()
        intents.dm_messages = intents.guilds = True
        intents.guild_messages = intents.message_content = in_channel
        # It speaks by no voice: no word about what that would need.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=intents,
            allowed_mentions=_NOBODY,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_ratelimit_timeout=LIMIT_SECONDS,
        )
        self._elsewhere = settings.api_url != DISCORD_URL
        self._front, self._transport = front, transport
        self.hears = False

    async def setup_hook(self) -> None:
        """discord.py's hook behind the login, before the gateway."""
        if self._elsewhere:
            _, url, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url)
        await self._transport.logged_in()

    async def on_connect(self) -> None:
        """A session of the gateway has begun."""
        self.hears = True
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
        if message.author.bot or message.webhook_id is not None:
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
        found = _CUSTOM.fullmatch(str(data.get("custom_id", "")))
        if found is None or found[1] not in VERBS or not self._front.may_press(NAME, str(interaction.user.id)):
            return
        if interaction.type is discord.InteractionType.component and found[1] in ASK_TEXT:
            await _act(interaction.response.send_modal(_modal(found[0])))
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
            text=next(_texts(data), ""),
        )
        if await self._front.pressed(pressed, self._transport):
            await _act(interaction.edit_original_response(view=None))


async def _act(answer: Any) -> None:
    """Answer an interaction; one that Discord does not take changes nothing of what was asked."""
    try:
        async with asyncio.timeout(ACT_SECONDS):
            await answer
    except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as e:
        _log.info("chat.press_unanswered", why=_why(e))


def _view(buttons: tuple[Button, ...]) -> ui.View:
    view = ui.View(timeout=None)
    for found in buttons:
        custom_id = f"spinal:{found.verb}:{found.job_id}:{found.fence}"
        view.add_item(ui.Button(label=found.label, custom_id=custom_id, style=_STYLES[found.style]))
    view.stop()  # nothing waits for it: a press comes with all that it means
    return view


def _modal(custom_id: str) -> ui.Modal:
    modal = ui.Modal(title=words.REWORK_TITLE, custom_id=custom_id, timeout=None)
    modal.add_item(
        ui.TextInput(
            label=words.REWORK_LABEL, custom_id="text", style=discord.TextStyle.paragraph, max_length=REWORK_MOST
        )
    )
    modal.stop()
    return modal


def _texts(data: Any) -> Iterator[str]:
    """Yield the texts of a form, however it is laid out."""
    if isinstance(data, dict):
        if isinstance(data.get("value"), str):
            yield data["value"]
        for name in ("components", "component"):
            yield from _texts(data.get(name))
    elif isinstance(data, list):
        for part in data:
            yield from _texts(part)


def _why(e: BaseException) -> str:
    """Say what happened without a body, or an address that holds a token."""
    if isinstance(e, discord.HTTPException):
        return f"Discord answered {e.status} ({e.code})"
    if isinstance(e, discord.ConnectionClosed):
        return f"the gateway closed the connection ({e.code})"
    return f"no answer ({type(e).__name__})"
