"""The commands about messages: send, list, show, inbox, read."""

import sys
from typing import get_args

import click

from contract.wire import Message, MessageKind
from head import clean, complete, specs, tables
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_LIMIT = click.option(
    "--limit", type=click.IntRange(1, 200), default=100, metavar="N", help="At most N.  [default: 100]"
)
_thread = click.option("--thread", metavar="ID", help="Only this thread: the id of its first message.")
_message_id = click.argument("message_id", metavar="ID")


@click.group()
def messages() -> None:
    """Tell claws something, read what they tell you."""


@messages.command()
@click.argument("to", metavar="TO")
@click.argument("text", metavar="TEXT")
@click.option("--kind", type=click.Choice(get_args(MessageKind)), default="text", help="What it is.  [default: text]")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, metavar="N", help="Higher is read first.")
@click.option("--reply-to", metavar="ID", help="The message that it answers.")
@click.option("--job", metavar="ID", shell_complete=complete.jobs, help="The job that it is about.")
@click.option("--expires", metavar="TIME", help="When it is of no use any more, such as 2030-01-31T08:00:00Z.")
@click.option("--ttl", type=click.IntRange(1, 31_536_000), metavar="SECONDS", help="The same, from now.")
@as_json
@pass_desk
def send(
    desk: Desk,
    to: str,
    text: str,
    kind: str,
    priority: int,
    reply_to: str | None,
    job: str | None,
    expires: str | None,
    ttl: int | None,
    json: bool,
) -> None:
    """Send a message to a claw by its name, to `all`, or to `head`. TEXT is what it says; `-` reads it."""
    said = specs.read_text("-", sys.stdin).rstrip("\n") if text == "-" else text
    fields: dict[str, object] = {"to": to, "text": said, "kind": kind, "priority": priority}
    given = {"replyTo": reply_to, "jobId": job, "expiresAt": expires, "ttlSeconds": ttl}
    sent = desk.client().send_message(fields | {name: value for name, value in given.items() if value is not None})
    if json:
        desk.screen.json(sent)
        return
    readers = [receipt.reader for receipt in sent.receipts] if isinstance(sent.receipts, list) else []
    desk.screen.say(Line(f"sent {sent.id} to {clean.line(', '.join(readers))}"))


@messages.command("list")
@click.option("--sent", is_flag=True, help="Only what heads have sent.")
@_thread
@_LIMIT
@as_json
@pass_desk
def listing(desk: Desk, sent: bool, thread: str | None, limit: int, json: bool) -> None:
    """List messages of head and claws, the newest first."""
    _list(desk, json, {"box": "sent" if sent else "all", "limit": limit} | ({"thread": thread} if thread else {}))


@messages.command()
@click.option("--all", "everything", is_flag=True, help="Also what has been read, or has expired.")
@_thread
@_LIMIT
@as_json
@pass_desk
def inbox(desk: Desk, everything: bool, thread: str | None, limit: int, json: bool) -> None:
    """List what claws have told head, the most pressing first. Looking at it acknowledges nothing."""
    wanted: dict[str, str | int] = {"box": "inbox", "limit": limit, "unread": 0 if everything else 1}
    _list(desk, json, wanted | ({"thread": thread} if thread else {}))


@messages.command()
@_message_id
@as_json
@pass_desk
def show(desk: Desk, message_id: str, json: bool) -> None:
    """Show a message and who has read it."""
    found = desk.client().message(message_id)
    if json:
        desk.screen.json(found)
        return
    _tell(desk, found)
    for receipt in found.receipts if isinstance(found.receipts, list) else ():
        at = receipt.read_at or receipt.delivered_at
        desk.screen.say(Line(f"  {clean.line(receipt.reader)}: {receipt.state}" + (f" at {at}" if at else "")))


@messages.command()
@click.argument("message_ids", metavar="ID...", nargs=-1, required=True)
@as_json
@pass_desk
def read(desk: Desk, message_ids: tuple[str, ...], json: bool) -> None:
    """Acknowledge messages to head: they leave the inbox."""
    client = desk.client()
    found = [client.acknowledge(message_id) for message_id in message_ids]
    if json:
        desk.screen.json({"messages": found})
        return
    for message in found:
        desk.screen.say(Line(f"read {message.id}"))


def _list(desk: Desk, json: bool, query: dict[str, str | int]) -> None:
    client = desk.client()
    page = client.messages(**query)
    if json:
        desk.screen.json(page)
    elif page.messages:
        desk.screen.show(tables.messages(page.messages, client.time.now(), desk.screen.live))
        if page.next_cursor is not None:
            desk.screen.notice("there are more; see them with a higher --limit, or with --json")
    else:
        desk.screen.notice("no message")


def _tell(desk: Desk, found: Message) -> None:
    desk.screen.say(
        Line(f"{found.id}  {found.kind} from {clean.line(found.by)} to {clean.line(found.to)} at {found.at}")
    )
    for name, value in (("reply to", found.reply_to), ("job", found.job_id), ("expires", found.expires_at)):
        if value:
            desk.screen.say(Line(f"  {name}: {clean.line(value)}"))
    for line in found.text.splitlines():
        desk.screen.say(Line(f"  | {clean.line(line)}"))
