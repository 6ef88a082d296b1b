"""Who is answered: from a message or a press of a transport to the command, when the user may speak here.

A stranger gets no answer, not even a refusal.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import structlog

from chat.transport import Asked, CannotSay, Pressed, Transport

_log = structlog.get_logger()


class Door(NamedTuple):
    """Who may speak on a transport, and where: in `channel_id` alone, or without one in direct messages.

    `anywhere`: a transport whose list of users names the channel too.
    """

    users: frozenset[str]
    channel_id: str | None = None
    anywhere: bool = False

    def admits(self, asked: Asked) -> bool:
        """Tell whether a message is heard."""
        if asked.user_id not in self.users:
            return False
        if self.anywhere:
            return True
        return asked.direct if self.channel_id is None else asked.channel_id == self.channel_id


class Handler(Protocol):
    """What carries out a command."""

    async def asked(self, asked: Asked, by: Transport) -> None:
        """Carry out a message.

        Raises:
            CannotSay
        """

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        """Carry out a button; tell whether the buttons may go.

        Raises:
            CannotSay
        """


class Front:
    """What all transports tell."""

    def __init__(self, doors: Mapping[str, Door], handler: Handler) -> None:
        self._doors, self._handler = doors, handler

    async def asked(self, asked: Asked, by: Transport) -> None:
        """Take a message. Never raises: what a transport calls is the outermost turn."""
        door = self._doors.get(asked.transport)
        if door is None or not door.admits(asked):
            _log.debug("chat.stranger", transport=asked.transport, user=asked.user_id)
            return
        if not asked.text.strip():
            return
        try:
            await self._handler.asked(asked, by)
        except CannotSay as e:
            _log.warning("chat.not_said", transport=asked.transport, why=str(e))
        except Exception:  # noqa: BLE001 - the outermost turn: the next message is heard all the same
            _log.exception("chat.command_broke", transport=asked.transport)

    async def pressed(self, pressed: Pressed, by: Transport) -> bool:
        """Take a press. A button is ours, so whoever may speak may press it wherever it was shown. Never raises."""
        if not self.may_press(pressed.transport, pressed.user_id):
            _log.debug("chat.stranger", transport=pressed.transport, user=pressed.user_id)
            return False
        try:
            return await self._handler.pressed(pressed, by)
        except CannotSay as e:
            _log.warning("chat.not_said", transport=pressed.transport, why=str(e))
        except Exception:  # noqa: BLE001 - the outermost turn: the next message is heard all the same
            _log.exception("chat.command_broke", transport=pressed.transport)
        return False

    def may_press(self, transport: str, user_id: str) -> bool:
        """Tell whether a press of this user is listened to."""
        door = self._doors.get(transport)
        return door is not None and user_id in door.users
