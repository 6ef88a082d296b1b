"""The group `spine-head notices`: what waits to be told, what could not be, and a word by hand."""

import sys
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from contract.wire import Alias, Notice, NoticeAttempt
from head import clean, complete, specs, tables, words
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_STYLES = {"sent": "green", "given_up": "bold red", "waiting": "yellow", "sending": "cyan"}
_FIELDS = (("alias", "alias"), ("channel", "channel"), ("to", "to"), ("job", "job_id"), ("made", "created_at"))
_notice_id = click.argument("notice_id", metavar="ID")


@click.group()
def notices() -> None:
    """See whom the spine has told, and tell somebody yourself."""


@notices.command("list")
@click.option("--status", type=click.Choice(tuple(_STYLES)), help="Exactly this state.")
@click.option("--alias", metavar="NAME", shell_complete=complete.aliases, help="Exactly this alias.")
@click.option("--job", metavar="ID", shell_complete=complete.jobs, help="About this job.")
@click.option("--limit", type=int, metavar="N", help="At most so many, 500 at one time.  [default: 100]")
@click.option("--cursor", metavar="TEXT", help="Go on behind an earlier list.")
@as_json
@pass_desk
def listing(
    desk: Desk,
    status: str | None,
    alias: str | None,
    job: str | None,
    limit: int | None,
    cursor: str | None,
    json: bool,
) -> None:
    """List notices, the newest first."""
    asked: dict[str, Any] = {"status": status, "alias": alias, "jobId": job, "limit": limit, "cursor": cursor}
    client = desk.notices()
    found = client.notices(**{name: value for name, value in asked.items() if value is not None})
    if json:
        desk.screen.json(found)
        return
    if not found.notices:
        desk.screen.notice("no notice is there")
        return
    desk.screen.show(_table(found.notices, client.time.now(), desk.screen.live))
    if found.next_cursor is not None:
        desk.screen.notice(f"there are more; go on with --cursor {found.next_cursor}")


@notices.command()
@_notice_id
@as_json
@pass_desk
def show(desk: Desk, notice_id: str, json: bool) -> None:
    """Show a notice and every attempt to send it."""
    client = desk.notices()
    found = client.notice(notice_id)
    if json:
        desk.screen.json(found)
        return
    desk.screen.say(Line(f"{found.id}  {found.status}", _STYLES.get(found.status, "")))
    for name, attribute in _FIELDS:
        value = getattr(found, attribute)
        if value is not None:
            desk.screen.say(Line(f"{name:<8} {clean.line(str(value))}"))
    if found.due_at is not None:
        desk.screen.say(Line(f"{'next':<8} {found.due_at}"))
    if found.error is not None:
        desk.screen.say(Line(f"{'error':<8} {clean.line(found.error)}", "red"))
    desk.screen.say(Line(""))
    desk.screen.say(Line(clean.line(found.title), "bold"))
    for line in clean.text(found.text).splitlines():
        desk.screen.say(Line(line))
    if isinstance(found.tries, list) and found.tries:
        desk.screen.show(Text(""), _tries(found.tries, client.time.now(), desk.screen.live))


@notices.command()
@_notice_id
@as_json
@pass_desk
def replay(desk: Desk, notice_id: str, json: bool) -> None:
    """Send a notice (again), at once and under the same id."""
    _say(desk, desk.notices().replay_notice(notice_id), json)


@notices.command("give-up")
@_notice_id
@as_json
@pass_desk
def give_up(desk: Desk, notice_id: str, json: bool) -> None:
    """Send a notice no more."""
    _say(desk, desk.notices().give_up_notice(notice_id), json)


@notices.command()
@click.argument("alias", metavar="ALIAS", shell_complete=complete.aliases)
@click.argument("text", metavar="TEXT")
@click.option("--title", metavar="TEXT", help="Its first line.")
@click.option("--job", metavar="ID", shell_complete=complete.jobs, help="The job that it is about.")
@click.option("--instruction", is_flag=True, help="An agent may act by it; else it is given to it as data.")
@click.option("--idempotency-key", metavar="KEY", help="The same key and arguments again send nothing new.")
@as_json
@pass_desk
def send(
    desk: Desk,
    alias: str,
    text: str,
    title: str | None,
    job: str | None,
    instruction: bool,
    idempotency_key: str | None,
    json: bool,
) -> None:
    """Send TEXT to whom ALIAS stands for; `-` reads it from standard input."""
    body = specs.read_text("-", sys.stdin) if text == "-" else text
    fields: dict[str, Any] = {"alias": alias, "text": body, "title": title, "jobId": job, "instruction": instruction}
    _say(desk, desk.notices().send_notice(fields, idempotency_key), json)


@notices.command()
@as_json
@pass_desk
def aliases(desk: Desk, json: bool) -> None:
    """List whom notices may be for; no address and no secret is shown."""
    found = desk.notices().aliases()
    if json:
        desk.screen.json({"aliases": found})
        return
    if not found:
        desk.screen.notice("the spine knows no alias; SPINE_NOTICES_FILE names its file of them")
        return
    desk.screen.show(_aliases(found, desk.screen.live))


def _say(desk: Desk, found: Notice, json: bool) -> None:
    if json:
        desk.screen.json(found)
    else:
        desk.screen.say(Line(f"{found.id} is {found.status}, for {clean.line(found.alias)}"))


def _table(found: list[Notice], now_ms: int, live: bool) -> Table:
    table = tables.plain(live, "ID", "STATUS", "ALIAS", "TRIES", "MADE", last="WHAT")
    for notice in found:
        told = notice.title if notice.error is None else f"{notice.title}: {notice.error}"
        table.add_row(
            Text(notice.id, "bold"),
            Text(notice.status, _STYLES.get(notice.status, "")),
            Text(clean.line(notice.alias)),
            Text(str(notice.attempts)),
            Text(words.ago(notice.created_at, now_ms), "dim"),
            Text(clean.line(told)),
        )
    return table


def _tries(found: list[NoticeAttempt], now_ms: int, live: bool) -> Table:
    table = tables.plain(live, "TRY", "BEGAN", "OUTCOME", last="WHY")
    for each in found:
        outcome = each.outcome or "under way"
        table.add_row(
            Text(str(each.fence)),
            Text(tables.moment(each.started_at, now_ms, live), "dim"),
            Text(outcome),
            Text(clean.line(each.detail or "")),
        )
    return table


def _aliases(found: list[Alias], live: bool) -> Table:
    table = tables.plain(live, "NAME", "CHANNEL", "USABLE", last="PROBLEM")
    for alias in found:
        table.add_row(
            Text(clean.line(alias.name), "bold"),
            Text(clean.line(alias.channel or "-")),
            Text("yes" if alias.usable else "no", "" if alias.usable else "red"),
            Text(clean.line(alias.problem or "")),
        )
    return table
