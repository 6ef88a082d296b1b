"""Discord: direct messages or one channel are heard by its gateway, replies go by its REST interface."""

import asyncio
import logging
import math
from typing import Any

import aiohttp
import discord
import structlog
from discord.http import Route

from chat.discord_client import LIMIT_SECONDS, NAME, Client, Seen
from chat.discord_shapes import NOBODY, calm, pause_after, view_of, why
from chat.settings import DISCORD_URL, Discord
from chat.transport import CannotSay, Front, Refused, Reply

_log = structlog.get_logger()

TEXT_MOST = 2000
SAY_SECONDS = LIMIT_SECONDS + 60.0
"""For one reply, with what Discord asks us to wait; what it asks beyond LIMIT_SECONDS is waited for outside."""
_AGAIN = (1.0, 60.0)
_UNAUTHENTICATED = 4004
# What goes on at its own pace when a service hangs up: none of it is a fault of ours.
_AWAY = (discord.HTTPException, discord.GatewayNotFound, discord.ConnectionClosed, aiohttp.ClientError, OSError)


class DiscordFront:
    """The transport."""

    name = NAME

    def __init__(self, settings: Discord) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._in = asyncio.Event()
        self._seen = Seen()

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
        logging.getLogger("discord.client").addFilter(calm)
        trouble, asked = _AGAIN[0], 0.0
        if self._settings.api_url != DISCORD_URL:
            Route.BASE = self._settings.api_url
        while True:
            client = self._client = Client(self._settings, front, self, self._seen, self._in.set)
            try:
                async with client:
                    await client.start(self._settings.token)
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
                _log.warning("chat.discord_away", why=why(e))
            except discord.RateLimited as e:
                _log.warning("chat.discord_away", why=f"Discord asks for a pause of {e.retry_after:.0f} s")
                asked = e.retry_after
            except AttributeError:
                # Where the first handshake fails, discord.py looks for the place in a connection that never was.
                if not math.isnan(client.latency):
                    raise
                _log.warning("chat.discord_away", why="the gateway takes no connection")
            finally:
                self._in.clear()
                self._client = None
            trouble = _AGAIN[0] if client.heard else trouble
            await asyncio.sleep(max(trouble, asked))
            trouble, asked = min(trouble * 2, _AGAIN[1]), 0.0

    async def say(self, channel_id: str, reply: Reply, key: str, answers: str | None = None) -> str:
        """Say a reply, below the message that it answers while that is there; return the new message's id.

        Twice under one key within some minutes is once: Discord itself knows the key as the message's nonce. So an
        answer that does not come, and a pause that is asked for, are tried again here, within SAY_SECONDS.

        Raises:
            CannotSay
        """
        try:
            async with asyncio.timeout(SAY_SECONDS):
                return await self._until_taken(int(channel_id), reply, key, answers)
        except TimeoutError as e:
            raise CannotSay(f"Discord did not take it within {SAY_SECONDS:g} s") from e
        except discord.RateLimited as e:
            raise CannotSay("Discord asks for a pause", after=e.retry_after) from e
        except discord.HTTPException as e:
            # 401 is the token, which may be put right; 429 without Discord's own words is its guard's.
            for_good = 400 <= e.status < 500 and e.status not in (401, 408, 429)
            raise CannotSay(why(e), for_good=for_good, after=_AGAIN[1] if e.status == 429 else 0.0) from e

    async def announce(self, reply: Reply, key: str) -> None:
        """Say it in the channel for announcements.

        Raises:
            CannotSay
        """
        if self._settings.announce_channel_id is None:
            raise CannotSay("ANNOUNCE_CHANNEL_ID is not set", for_good=True)
        await self.say(self._settings.announce_channel_id, reply, key)

    async def _until_taken(self, channel_id: int, reply: Reply, key: str, answers: str | None) -> str:
        trouble = _AGAIN[0]
        while True:
            await self._in.wait()
            try:
                return await self._send(channel_id, reply, key, answers)
            except discord.HTTPException as e:
                pause = pause_after(e)
                if pause is None:
                    raise
                _log.info("chat.say_again", transport=NAME, why=why(e))
            except (aiohttp.ClientError, OSError, RuntimeError) as e:  # RuntimeError: the session was closed meanwhile
                _log.info("chat.say_again", transport=NAME, why=why(e))
                pause = 0.0
            await asyncio.sleep(max(trouble, pause))
            trouble = min(trouble * 2, _AGAIN[1])

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
            more["view"] = view_of(reply.buttons)
        sent = await client.get_partial_messageable(channel_id).send(
            reply.text[:TEXT_MOST], nonce=key, suppress_embeds=True, allowed_mentions=NOBODY, **more
        )
        return str(sent.id)
