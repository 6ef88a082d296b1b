"""`spine-chat doctor`: everything that the front needs, checked one by one, each with what to do about it."""

import asyncio
import os
from http import HTTPStatus
from typing import Literal, NamedTuple

import aiohttp
import discord
from discord.http import Route

from chat.openclaw_front import meaning
from chat.settings import DISCORD_URL, Discord, OpenClaw, Settings
from contract.errors import SpineError, Unauthorized
from contract.head_client import HeadClient
from contract.outcall import NoAnswer, post
from contract.retry import ONCE

LOOK_SECONDS = 20.0


class Check(NamedTuple):
    """One finding; `detail` says what was seen and, when it failed, the fix."""

    name: str
    state: Literal["ok", "failed", "hint"]
    detail: str


def examine(used: Settings) -> list[Check]:
    """Check what the settings name."""
    found = [_spine(used), _folder(used)]
    if used.discord is not None:
        found += asyncio.run(_discord(used.discord))
    if used.openclaw is not None:
        found.append(_openclaw(used.openclaw))
    if used.public_url is None:
        found.append(Check("links", "hint", "SPINE_PUBLIC_URL is not set: what is cut in a chat has no link"))
    return found


def table(checks: list[Check]) -> str:
    """Lay the findings out for people."""
    return "\n".join(f"{check.state:<7} {check.name:<13} {check.detail}" for check in checks)


def _spine(used: Settings) -> Check:
    client = HeadClient(used.base_urls, used.token, read_seconds=10, retry=ONCE)
    try:
        client.jobs(limit=1)
    except Unauthorized:
        return Check("spine", "failed", "it does not know the token; give it one of the role chat in SPINE_TOKEN")
    except SpineError as e:
        return Check("spine", "failed", f"{client.base_url}: {e.code}; start the spine, or correct SPINE_BASE_URL")
    return Check("spine", "ok", f"{client.base_url} takes the token")


def _folder(used: Settings) -> Check:
    folder = used.state_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as e:
        return Check("state folder", "failed", f"{folder} cannot be written ({e.strerror}); correct CHAT_STATE_DIR")
    return Check("state folder", "ok", str(folder))


def _openclaw(settings: OpenClaw) -> Check:
    # Without arguments the tool does nothing: that it says so (400) shows that it may be used.
    headers = {"Authorization": f"Bearer {settings.token}", "Content-Type": "application/json"}
    try:
        answer = post(f"{settings.url}/tools/invoke", b'{"tool":"message","args":{}}', headers, LOOK_SECONDS)
    except NoAnswer as e:
        return Check("openclaw", "failed", f"{settings.url}: {e}; start the gateway, or correct OPENCLAW_GATEWAY_URL")
    if answer.status == HTTPStatus.BAD_REQUEST:
        return Check("openclaw", "ok", f"{settings.url} takes the token, and its message tool may be used")
    return Check("openclaw", "failed", meaning(answer.status))


async def _discord(settings: Discord) -> list[Check]:
    if settings.api_url != DISCORD_URL:
        Route.BASE = settings.api_url
    found: list[Check] = []
    try:
        async with asyncio.timeout(LOOK_SECONDS), discord.Client(intents=discord.Intents.none()) as client:
            await client.login(settings.token)
            flags = client.application_flags
            found.append(Check("discord", "ok", f"the bot is {client.user}"))
            if settings.channel_id is not None and not (
                flags.gateway_message_content or flags.gateway_message_content_limited
            ):
                fix = "switch on its Message Content Intent (Developer Portal, Bot)"
                found.append(Check("intents", "failed", f"the bot may not read a channel; {fix}"))
            for name, channel_id in (
                ("ALLOWED_CHANNEL_ID", settings.channel_id),
                ("ANNOUNCE_CHANNEL_ID", settings.announce_channel_id),
            ):
                if channel_id is not None:
                    found.append(await _channel(client, name, channel_id))
    except discord.LoginFailure:
        found.append(Check("discord", "failed", "it refuses the bot's token; put the right one into DISCORD_TOKEN"))
    except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as e:
        found.append(Check("discord", "failed", f"no answer ({type(e).__name__}); is {settings.api_url} reached?"))
    return found


async def _channel(client: discord.Client, name: str, channel_id: str) -> Check:
    try:
        channel = await client.fetch_channel(int(channel_id))
    except (discord.Forbidden, discord.NotFound):
        return Check("channel", "failed", f"{name}: the bot does not see {channel_id}; invite it, or correct the id")
    return Check("channel", "ok", f"{name}: {channel}")
