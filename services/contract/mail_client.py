"""Messages between head and claws: the client of /messages, for both sides."""

from typing import Any
from urllib.parse import quote

from contract import wire
from contract.client import SpineClient


class MailClient(SpineClient):
    """Sends, lists and acknowledges messages."""

    def send_message(self, fields: dict[str, Any], idempotency_key: str | None = None) -> wire.Message:
        """Send one; `fields` are the members of `wire.SendMessage` in camelCase.

        Raises:
            InvalidField: nobody is there to read it, or a reply answers nothing.
        """
        return self._post("/messages", fields, wire.Message, key=idempotency_key)

    def messages(self, **query: str | int) -> wire.MessageList:
        """Return a page; `query` holds box, unread, thread, limit, cursor."""
        return self._get("/messages", wire.MessageList, params=query)

    def message(self, message_id: str) -> wire.Message:
        """Return a message with its receipts.

        Raises:
            NotFound, Forbidden
        """
        return self._get(_path(message_id), wire.Message)

    def acknowledge(self, message_id: str) -> wire.Message:
        """Say that one has a message: it is not offered again. Twice is once.

        Raises:
            NotFound, Forbidden
        """
        return self._post(f"{_path(message_id)}/read", {}, wire.Message, keyed=False)


def _path(message_id: str) -> str:
    return f"/messages/{quote(message_id, safe='')}"
