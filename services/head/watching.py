"""`spine-head watch`: without an id the live table of the fleet, with ids their jobs to their end."""

import queue
import sys
import threading
import time
from typing import Any

import click
import msgspec
from rich.live import Live

from contract.errors import SpineError
from contract.wire import Event
from head import complete, follow
from head.board import Board, Picture
from head.boardview import BoardView
from head.desk import Desk, as_json, pass_desk
from head.submit import follow_all
from head.watch import Lost

_LOOK_SECONDS = 5.0  # also without an event: leases move on quietly
_GATHER_SECONDS = 0.3
_RETRY_SECONDS = 1.0

News = Event | Lost | SpineError


@click.command()
@click.argument("ids", metavar="ID", nargs=-1, shell_complete=complete.jobs)
@click.option("--once", is_flag=True, help="Without ID: one look, and end.")
@as_json
@pass_desk
def watch(desk: Desk, ids: tuple[str, ...], once: bool, json: bool) -> None:
    """Follow jobs to their end, as submit --wait does; the exit code tells how they ended.

    Without ID show the whole fleet, live until Ctrl-C: what runs, what waits and why, what needs a person, what has
    ended lately. On a pipe, or with --json, it is one object a line for every change.
    """
    if ids:
        sys.exit(follow_all(desk, ids, json, announce=len(ids) > 1 and not json))
    screen = desk.screen
    if once:
        board = Board(desk.client())
        board.load()
        if json or not screen.live:
            screen.json(board.look(), pretty=False)
        else:
            view = BoardView()
            view.show(board.look())
            screen.show(view)
        return
    if json or not screen.live:
        _Table(desk).run(_Lines(desk))
        return
    view = BoardView()
    # On a screen of its own, so that a resized terminal has no torn lines and what stood there before comes back. Drawn
    # again four times a second, which is also how soon it follows a new size.
    with Live(view, console=screen.out, refresh_per_second=4, screen=True):
        _Table(desk).run(view)


class _Lines:
    """Prints each picture that differs from the one before, but for its time."""

    def __init__(self, desk: Desk) -> None:
        self._screen = desk.screen
        self._before: bytes | None = None
        self._lost = ""

    @property
    def lost(self) -> str:
        """Why the spine does not answer; empty while it does."""
        return self._lost

    @lost.setter
    def lost(self, why: str) -> None:
        if why and not self._lost:
            self._screen.notice(f"the spine does not answer, trying until it does ({why})")
        self._lost = why

    def show(self, picture: Picture) -> None:
        """Print a picture."""
        self._lost = ""
        content = msgspec.json.encode(_without_times(picture))
        if content != self._before:
            self._before = content
            self._screen.json(picture, pretty=False)


def _without_times(picture: Picture) -> Any:
    """Return what makes a difference: not the moment of the look, nor when idle machines were last heard of."""
    told: dict[str, Any] = msgspec.to_builtins(picture)
    told.pop("at")
    for machine in told["machines"]:
        machine.pop("seenAt")
    return told


class _Table:
    """Reads events in a thread of its own, and looks again when there is news, or after a while."""

    def __init__(self, desk: Desk) -> None:
        self._client = desk.client(patient=False)
        self._board = Board(self._client)
        self._news: queue.Queue[News] = queue.Queue(10_000)

    def run(self, view: BoardView | _Lines) -> None:
        """Keep a view up to date for ever.

        Raises:
            SpineError: one that a repeat does not mend.
        """
        reading, stale = False, True
        while True:
            try:
                if not reading:
                    # Before the lists are read: what happens meanwhile must come as an event.
                    threading.Thread(target=self._read, args=(self._board.place(),), daemon=True).start()
                    reading = True
                if stale:
                    self._board.load()
                    stale = False
                view.show(self._board.look())
                self._board.note(self._gather(view))
            except SpineError as e:
                if not e.retryable:
                    raise
                view.lost, stale = e.detail, True
                time.sleep(_RETRY_SECONDS)

    def _gather(self, view: BoardView | _Lines) -> list[Event]:
        """Wait for news, and take what comes with it."""
        found: list[Event] = []
        until = time.monotonic() + _LOOK_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                news = self._news.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(news, SpineError):
                raise news
            if isinstance(news, Lost):
                view.lost = news.why
                continue
            found.append(news)
            until = min(until, time.monotonic() + _GATHER_SECONDS)
        return found

    def _read(self, cursor: str) -> None:
        try:
            for news in follow.follow_events(self._client, cursor, None, time.sleep):
                if isinstance(news, Lost):
                    self._news.put(news)
                elif news.event != "gap":
                    self._news.put(msgspec.json.decode(news.data, type=Event))
        except SpineError as e:
            self._news.put(e)
