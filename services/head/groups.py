"""The commands about task groups: create, list, show, close."""

import click

from contract.wire import Group
from head import clean
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_group_id = click.argument("group_id", metavar="ID")


@click.group()
def groups() -> None:
    """Be told once when a set of jobs has ended, or is late."""


@groups.command()
@click.argument("name", metavar="NAME")
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@click.option("--label", metavar="TEXT", help="Instead of jobs: those with this label.")
@click.option("--parent", metavar="ID", help="Instead of jobs: those that came from this one.")
@click.option("--deadline", type=click.IntRange(1, 31_536_000), metavar="SECONDS", help="From now; then it is overdue.")
@click.option("--overdue-at", metavar="TIME", help="The same as a time, such as 2030-01-31T08:00:00Z.")
@click.option("--notify", metavar="ALIAS", multiple=True, help="Whom to tell; may be given several times.")
@as_json
@pass_desk
def create(
    desk: Desk,
    name: str,
    job_ids: tuple[str, ...],
    label: str | None,
    parent: str | None,
    deadline: int | None,
    overdue_at: str | None,
    notify: tuple[str, ...],
    json: bool,
) -> None:
    """Watch a set of jobs under a name: some by their ids, or by label, or by what they came from."""
    if [bool(job_ids), label is not None, parent is not None].count(True) != 1:
        raise click.UsageError("give jobs, --label or --parent")
    given = {
        "jobIds": list(job_ids) or None,
        "label": label,
        "parentId": parent,
        "deadlineSeconds": deadline,
        "overdueAt": overdue_at,
        "notify": list(notify) or None,
    }
    made = desk.client().new_group({"name": name} | {key: value for key, value in given.items() if value is not None})
    if json:
        desk.screen.json(made)
    else:
        desk.screen.say(Line(f"watching {made.id}: {_standing(made)}"))


@groups.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, metavar="N", help="At most N.  [default: 50]")
@as_json
@pass_desk
def listing(desk: Desk, limit: int, json: bool) -> None:
    """List groups, the newest first."""
    page = desk.client().groups(limit=limit)
    if json:
        desk.screen.json(page)
        return
    for group in page.groups:
        desk.screen.say(Line(f"{group.id}  {group.state:<8}{clean.line(group.name)}: {_standing(group)}"))
    if not page.groups:
        desk.screen.notice("no group")


@groups.command()
@_group_id
@as_json
@pass_desk
def show(desk: Desk, group_id: str, json: bool) -> None:
    """Show how the jobs of a group stand, and what was told of it."""
    group = desk.client().group(group_id)
    if json:
        desk.screen.json(group)
        return
    desk.screen.say(Line(f"{group.id} {clean.line(group.name)} is {group.state}: {_standing(group)}"))
    for name, value in (("overdue at", group.overdue_at), ("warned at", group.warned_at), ("done at", group.done_at)):
        if value:
            desk.screen.say(Line(f"  {name}: {value}"))
    for job in group.open_jobs:
        held = f", held by {clean.line(job.claimed_by)}" if job.claimed_by else ""
        desk.screen.say(Line(f"  open: {clean.line(job.id)} is {job.status}{held}"))
    for line in (group.summary or "").splitlines():
        desk.screen.say(Line(f"  | {clean.line(line)}"))


@groups.command()
@_group_id
@as_json
@pass_desk
def close(desk: Desk, group_id: str, json: bool) -> None:
    """Watch a group no more; nothing is told of it."""
    group = desk.client().close_group(group_id)
    if json:
        desk.screen.json(group)
    else:
        desk.screen.say(Line(f"{group.id} is {group.state}"))


def _standing(group: Group) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(group.counts.items())) or "no job"
