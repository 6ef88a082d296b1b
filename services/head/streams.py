"""The commands that print what grows: logs and events."""

import codecs
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click
import msgspec

from contract.wire import Event
from head import complete, follow, tables
from head.clean import TerminalFilter
from head.desk import Desk, as_json, job_id, pass_desk
from head.follow import Piece
from head.screen import Screen
from head.watch import Lost

T = TypeVar("T")


@click.command()
@job_id
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until nothing can follow, from try to try.")
@click.option("--attempt", type=click.IntRange(1), metavar="FENCE", help="The log of this claim, not of the newest.")
@as_json
@pass_desk
def logs(desk: Desk, job_id: str, following: bool, attempt: int | None, json: bool) -> None:
    """Print a job's log: its bytes as they are; on a terminal without escape sequences, but with colours.

    With --json one object {jobId, fence, size, text}; with --follow one {fence, offset, text} a line as it grows.
    """
    screen = desk.screen
    if following:
        pieces = _told(screen, follow.follow_log(desk.client(patient=False), job_id, attempt, time.sleep))
        _grow(screen, pieces, json)
        return
    client = desk.client()
    fence = client.job(job_id).fence if attempt is None else attempt
    if fence == 0:
        screen.notice("nobody has claimed this job yet: it has no log")
    found = follow.read(client, job_id, fence)
    if json:
        data = b"".join(piece.data for piece in found)
        screen.json({"jobId": job_id, "fence": fence, "size": len(data), "text": data.decode("utf-8", "replace")})
    else:
        _grow(screen, found, json=False)


@click.command()
@click.option("--follow", "-f", "following", is_flag=True, help="Go on as events happen, until Ctrl-C.")
@click.option("--cursor", metavar="CURSOR", help="Begin behind this one, not with the oldest.")
@click.option("--job", "-j", "only", metavar="ID", shell_complete=complete.jobs, help="Only the events of one job.")
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@as_json
@pass_desk
def events(desk: Desk, following: bool, cursor: str | None, only: str | None, limit: int, json: bool) -> None:
    """Print events, the oldest first. With --follow and --json one object a line."""
    screen = desk.screen
    if following:
        _happen(screen, desk, cursor, only, json)
        return
    page = desk.client().events(cursor, only, limit)
    if json:
        screen.json(page)
        return
    if page.gap:
        screen.notice("the cursor is unknown or too old: this begins with the oldest event that is kept")
    for event in page.events:
        screen.say(tables.event(event))
    if len(page.events) == limit:
        screen.notice(f"there may be more: --cursor {page.next_cursor}")


def _happen(screen: Screen, desk: Desk, cursor: str | None, only: str | None, json: bool) -> None:
    for news in _told(screen, follow.follow_events(desk.client(patient=False), cursor, only, time.sleep)):
        if news.event == "gap":
            screen.notice("some events are gone: this goes on with the oldest that is kept")
            continue
        event = msgspec.json.decode(news.data, type=Event)
        if json:
            screen.json(event, pretty=False)
        else:
            screen.say(tables.event(event))


def _grow(screen: Screen, pieces: Iterable[Piece], json: bool) -> None:
    """Print pieces of logs; where another attempt begins, standard error says so."""
    shown = TerminalFilter(colours=not screen.out.no_color)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    fence = 0
    for piece in pieces:
        if not piece.data:
            if fence and not json:
                screen.notice(f"another attempt begins (fence {piece.fence})")
            fence = piece.fence
            decoder.reset()
        elif json:
            text = decoder.decode(piece.data)
            screen.json({"fence": piece.fence, "offset": piece.offset, "text": text}, pretty=False)
        elif screen.terminal:
            screen.raw(shown.feed(piece.data).encode("utf-8", "replace"))
        else:
            screen.raw(piece.data)
    if screen.terminal and not json:
        screen.raw(shown.flush().encode("utf-8", "replace"))


def _told(screen: Screen, items: Iterable[T | Lost]) -> Iterator[T]:
    """Yield the items, and tell on standard error when the spine goes away and when it is back."""
    away = False
    for item in items:
        if isinstance(item, Lost):
            if not away:
                screen.notice(f"the spine does not answer, trying until it does ({item.why})")
            away = True
            continue
        if away:
            screen.notice("the spine answers again")
            away = False
        yield item
