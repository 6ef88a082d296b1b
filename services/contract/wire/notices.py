"""Notices: what is told to people and programs outside, through aliases; the bodies and answers of /notices."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from contract.wire.records import Record
from contract.wire.requests import AliasName, JobId, Request

NOTICE_TEXT_MOST = 16_384


class SendNotice(Request):
    """Body of POST /notices. `instruction`: an agent may act by the text; else it is given to it as data."""

    alias: AliasName
    text: Annotated[str, Meta(min_length=1, max_length=NOTICE_TEXT_MOST)]
    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")] | None = None
    job_id: JobId | None = None
    instruction: bool = False


# Told to readers of the description alone: a client must live with one that it does not know.
NoticeStatus = Annotated[str, Meta(extra_json_schema={"enum": ["waiting", "sending", "sent", "given_up"]})]


class NoticeAttempt(Record):
    """One try to send a notice: `outcome` is sent, failed, gone or lost; null while it is under way."""

    fence: int
    started_at: str
    ended_at: str | None
    outcome: str | None
    detail: str | None


class Notice(Record):
    """A notice: `status` is waiting, sending, sent or given_up. `dueAt`: when it is tried next."""

    id: str
    type: str
    status: NoticeStatus
    alias: str
    channel: str | None
    to: str | None
    job_id: str | None
    title: str
    text: str
    created_by: str
    created_at: str
    due_at: str | None
    attempts: int
    error: str | None
    ended_at: str | None
    tries: list[NoticeAttempt] | UnsetType = UNSET


class NoticeList(Record):
    """Answer of GET /notices, the newest first; go on from `nextCursor`."""

    notices: list[Notice]
    next_cursor: str | None


class Alias(Record):
    """Whom a name stands for, without address or secret; `problem`: why it is not `usable`."""

    name: str
    channel: str | None
    usable: bool
    problem: str | None


class AliasList(Record):
    """Answer of GET /notices/aliases."""

    aliases: list[Alias]
