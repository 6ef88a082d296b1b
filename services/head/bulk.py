"""`spine-head bulk`: the same verb for every job that matches, in steps of 500, with a question before."""

import sys
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from contract.errors import SpineError
from contract.head_client import HeadClient
from contract.states import Status
from head import complete, exits
from head.desk import Desk, as_json, complain, pass_desk
from head.words import Line

_DONE = {"cancel": "cancelled", "retry": "queued again", "release": "released"}
_PAGE = 500


@click.command()
@click.argument("verb", metavar="VERB", type=click.Choice(list(_DONE)))
@click.option(
    "--status", "-s", multiple=True, type=click.Choice([s.value for s in Status]), help="Only these; several."
)
@click.option("--target", "-t", metavar="NAME", shell_complete=complete.targets, help="Only jobs for this target.")
@click.option(
    "--machine",
    metavar="NAME",
    shell_complete=complete.machines,
    help="Only jobs that this machine holds or held last.",
)
@click.option("--label", metavar="TEXT", help="Only jobs with exactly this label.")
@click.option("--match", "q", metavar="TEXT", help="Only jobs with this text in id, label, spec or error.")
@click.option("--since", metavar="TIME", help="Only jobs created at this time or later.")
@click.option("--all", "everything", is_flag=True, help="Every job that the verb fits.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the jobs (cancel, release).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
@pass_desk
def bulk(desk: Desk, /, verb: str, everything: bool, reason: str | None, yes: bool, json: bool, **filters: Any) -> None:
    """Cancel, retry or release all jobs that match. VERB is cancel, retry or release.

    It asks first, with the number of jobs; where it cannot ask, --yes is needed.
    """
    narrowed = {name: list(value) if name == "status" else value for name, value in filters.items() if value}
    if bool(narrowed) == everything:
        raise click.UsageError("give a filter, or --all for every job" + (", not both" if everything else ""))
    client = desk.client()
    if not yes and not _agreed(client, verb, narrowed):
        complain("nothing was changed")
        sys.exit(exits.ERROR)
    total: dict[str, Any] = {"matched": 0, "changed": 0}
    try:
        _walk(desk, client, verb, narrowed or {"all": True}, reason, total)
    except SpineError:
        complain(f"stopped on the way: {total['changed']} {_DONE[verb]} so far; run it again to go on")
        raise
    if json:
        desk.screen.json(total)
    else:
        few = "at least " if "atLeast" in total else ""
        desk.screen.say(Line(f"{_DONE[verb]}: {total['changed']} of {few}{total['matched']} that match"))


def _agreed(client: HeadClient, verb: str, narrowed: dict[str, Any]) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: give --yes")
    found = client.bulk(verb, (narrowed or {"all": True}) | {"dryRun": True})
    few = "at least " if found.at_least is True else ""
    return click.confirm(f"{verb} {few}{found.matched} job{'' if found.matched == 1 else 's'}?", err=True)


def _walk(
    desk: Desk, client: HeadClient, verb: str, narrowed: dict[str, Any], reason: str | None, total: dict[str, Any]
) -> None:
    """Go through all pages; `total` is told on the way, so that a fault finds it right."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=desk.screen.err, transient=True, disable=not desk.screen.err.is_terminal) as bar:
        task = bar.add_task(verb, total=None)
        cursor: str | None = None
        while True:
            done = client.bulk(verb, narrowed, reason=reason, cursor=cursor)
            # What matches shrinks as the jobs move on: the first answer has the whole.
            if cursor is None:
                total["matched"] = done.matched
                if done.at_least is True:
                    total["atLeast"] = True
            total["changed"] += done.changed
            total["matched"] = max(total["matched"], total["changed"])
            bar.update(task, advance=_PAGE if done.next_cursor else 0, total=total["matched"])
            cursor = done.next_cursor
            if cursor is None:
                return
