"""What a head says of notices: the outbox, the aliases, a word by hand."""

from typing import Any
from urllib.parse import quote

from contract import wire
from contract.head_client import HeadClient


class NoticeClient(HeadClient):
    """The client of a head that looks after notices too."""

    def notices(self, **query: str | int) -> wire.NoticeList:
        """Return a page, the newest first; `query` holds `status`, `alias`, `jobId`, `limit`, `cursor`."""
        return self._get("/notices", wire.NoticeList, params=query)

    def notice(self, notice_id: str) -> wire.Notice:
        """Return a notice with every attempt to send it.

        Raises:
            NotFound
        """
        return self._get(_path(notice_id), wire.Notice)

    def aliases(self) -> list[wire.Alias]:
        """Return whom notices may be for, without address or secret."""
        return self._get("/notices/aliases", wire.AliasList).aliases

    def replay_notice(self, notice_id: str) -> wire.Notice:
        """Have a notice sent (again), at once and under the same id.

        Raises:
            Conflict: it is being sent at this moment.
        """
        return self._post(f"{_path(notice_id)}/replay", {}, wire.Notice)

    def give_up_notice(self, notice_id: str) -> wire.Notice:
        """Send a notice no more. Twice is once.

        Raises:
            NotAwaiting: it has been sent.
        """
        return self._post(f"{_path(notice_id)}/give-up", {}, wire.Notice)

    def send_notice(self, fields: dict[str, Any], idempotency_key: str | None = None) -> wire.Notice:
        """Send a text to an alias; `fields` are the members of `wire.SendNotice` in camelCase.

        Raises:
            InvalidField: nobody has the alias.
        """
        return self._post("/notices", fields, wire.Notice, key=idempotency_key)


def _path(notice_id: str) -> str:
    return f"/notices/{quote(notice_id, safe='')}"
