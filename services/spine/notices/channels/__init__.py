"""The channels: how each cuts a notice into pieces, and sends one. `OF` finds the one of an alias."""

from collections.abc import Callable
from typing import Any, NamedTuple

from spine.notices import aliases
from spine.notices.channels import discord, loki, mail, openclaw, webhook
from spine.notices.message import Outgoing


class Channel(NamedTuple):
    """`pieces`: the texts that go out one after another; `send` sends one of them, or raises `Failed`.

    `send` gets the alias, the notice, the piece, its number from 1 and the seconds that it may take.
    """

    pieces: Callable[[Outgoing], list[str]]
    send: Callable[[Any, Outgoing, str, int, float], None]


OF: dict[type[aliases.Alias], Channel] = {
    aliases.Webhook: Channel(webhook.pieces, webhook.send),
    aliases.AgentHook: Channel(openclaw.for_agent, openclaw.run_agent),
    aliases.WakeHook: Channel(openclaw.for_agent, openclaw.wake),
    aliases.Message: Channel(openclaw.for_chat, openclaw.message),
    aliases.Discord: Channel(discord.pieces, discord.send),
    aliases.Loki: Channel(loki.pieces, loki.send),
    aliases.Email: Channel(mail.pieces, mail.send),
}
