"""The commands about jobs that exist: list, show, comment."""

import sys
from collections import deque

import click
import msgspec

from contract.client import SpineClient
from contract.states import Status
from contract.wire import Event, Job
from head import complete, logtail, page, specs, tables
from head.desk import Desk, as_json, job_id, pass_desk
from head.words import Line, Times

_PAGE = 500
_EVENTS = 30
_LOG_LINES = 12


@click.command("list")
@click.option(
    "--status", "-s", multiple=True, type=click.Choice([s.value for s in Status]), help="Only these; several."
)
@click.option("--target", "-t", metavar="NAME", shell_complete=complete.targets, help="Only jobs for this target.")
@click.option("--label", metavar="TEXT", help="Only jobs with exactly this label.")
@click.option(
    "--machine",
    metavar="NAME",
    shell_complete=complete.machines,
    help="Only jobs that this machine holds or held last.",
)
@click.option("--limit", "-n", type=click.IntRange(0), default=50, show_default=True, help="The newest N; 0 is all.")
@as_json
@pass_desk
def listing(desk: Desk, /, status: tuple[str, ...], limit: int, json: bool, **narrowed: str | None) -> None:
    """List jobs, the newest last."""
    query = {name: value for name, value in narrowed.items() if value is not None}
    if status:
        query["status"] = ",".join(status)
    client = desk.client()
    found, seen = _newest(client, query, limit)
    if json:
        desk.screen.json({"jobs": found, "matched": seen})
        return
    if not found:
        desk.screen.notice("no jobs" if not query else "no jobs match")
        return
    desk.screen.show(tables.jobs(found, client.time.now(), desk.screen.live))
    if seen > len(found):
        desk.screen.notice(f"the newest {len(found)} of {seen}; --limit 0 shows all")


@click.command()
@job_id
@click.option("--utc", is_flag=True, help="Times as they are, in UTC, and not how long ago.")
@as_json
@pass_desk
def show(desk: Desk, job_id: str, utc: bool, json: bool) -> None:
    """Show one job: what it asks for, its attempts, what happened, comments, the end of its log, its result.

    At the end stands what can be done about it. With --json the job's record comes with its attempts in `history`.
    """
    client = desk.client()
    job, attempts = client.job(job_id), client.attempts(job_id)
    if json:
        desk.screen.json(msgspec.to_builtins(job) | {"history": attempts})
        return
    log = None
    if job.fence > 0:
        size, lines = logtail.end_of(client, job_id, job.fence, _LOG_LINES)
        log = page.Log(job.fence, size, lines)
    times = Times(client.time.now(), utc)
    desk.screen.show(page.page(job, attempts, _history(client, job_id), log, times))


@click.command()
@job_id
@click.argument("text")
@as_json
@pass_desk
def comment(desk: Desk, job_id: str, text: str, json: bool) -> None:
    """Add a comment, which the claw gets with its next heartbeat. TEXT `-` reads it from standard input."""
    said = specs.read_text("-", sys.stdin).rstrip("\n") if text == "-" else text
    if not said.strip():
        raise click.UsageError("the comment is empty")
    job = desk.client().comment(job_id, said)
    if json:
        desk.screen.json(job)
    else:
        desk.screen.say(Line(f"commented on {job.id} ({job.status})"))


def _history(client: SpineClient, job_id: str) -> page.History:
    """Return the last events of a job: the spine gives the oldest first, in pages."""
    kept: deque[Event] = deque(maxlen=_EVENTS)
    count, cursor = 0, None
    while True:
        found = client.events(cursor, job_id, limit=1000)
        if not found.events:
            return page.History(list(kept), count)
        kept.extend(found.events)
        count += len(found.events)
        cursor = found.next_cursor


def _newest(client: SpineClient, query: dict[str, str], limit: int) -> tuple[list[Job], int]:
    """Return the last `limit` jobs that match, and how many match: the spine gives the oldest first, in pages."""
    kept: deque[Job] = deque(maxlen=limit or None)
    seen, cursor = 0, None
    while True:
        found = client.jobs(**query, limit=_PAGE, **({} if cursor is None else {"cursor": cursor}))
        kept.extend(found.jobs)
        seen += len(found.jobs)
        if not isinstance(found.next_cursor, str):
            return list(kept), seen
        cursor = found.next_cursor
