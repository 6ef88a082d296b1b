"""`spine-head schedules`: make, look at, change, run, pause and delete schedules."""

import json as codec
import re
import sys
import time
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from contract import seed_schedule, wire
from contract.clock import iso
from contract.errors import InvalidField
from head import clean, complete, specs, tables
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_IN = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_STYLES = {"active": "green", "paused": "magenta", "ended": "dim"}
_OUTCOMES = {"submitted": "green", "queued": "cyan", "pending": "cyan", "skipped": "yellow"}
schedule_id = click.argument("schedule_id", metavar="ID")


@click.group()
def schedules() -> None:
    """Jobs by the clock, and jobs that follow one another."""


@schedules.command("list")
@click.option("--name", metavar="TEXT", help="Only those with exactly this name.")
@as_json
@pass_desk
def listing(desk: Desk, name: str | None, json: bool) -> None:
    """List the schedules, oldest first."""
    client, found, cursor = desk.schedules(), list[wire.Schedule](), None
    while True:
        page = client.schedules(name, 1000, cursor)
        found += page.schedules
        cursor = page.next_cursor
        if cursor is None:
            break
    if json:
        desk.screen.json({"schedules": found})
    elif found:
        desk.screen.show(_schedule_table(found, client.time.now(), desk.screen.live))
    else:
        desk.screen.notice("there are no schedules; make one: spine-head schedules add")


@schedules.command()
@schedule_id
@as_json
@pass_desk
def show(desk: Desk, schedule_id: str, json: bool) -> None:
    """Show one schedule."""
    found = desk.schedules().schedule(schedule_id)
    if json:
        desk.screen.json(found)
        return
    for line in _lines(found):
        desk.screen.say(line)


@schedules.command()
@click.argument("given", metavar="[JSON]", required=False)
@click.option("--name", metavar="TEXT", help="A name for people.")
@click.option("--cron", metavar="EXPRESSION", help="Five fields, or @daily and its like.")
@click.option("--every", type=int, metavar="SECONDS", help="Each so many seconds.")
@click.option("--at", metavar="TIME", help="Once, as in 2030-01-31T08:00:00Z; the schedule is then deleted.")
@click.option("--in", "in_", metavar="TIME", help="Once, so long from now: 90s, 5m, 2h, 1d; then deleted.")
@click.option("--follows", metavar="ID", help="When a job of that schedule has ended.")
@click.option("--on", type=click.Choice(["success", "failure", "both"]), help="Which end.  [default: success]")
@click.option("--delay", type=int, metavar="SECONDS", help="So long after that end.")
@click.option("--contains", metavar="TEXT", help="Only when this stands in the result or the error.")
@click.option("--tz", metavar="ZONE", help="The zone of --cron, such as Europe/Berlin.  [default: UTC]")
@click.option("--run", metavar="CMD", help="The job: one shell line.")
@click.option("--text", metavar="TEXT", help="The job: a text for an agent.")
@click.option("--job", metavar="JSON", help="Members of the job, as for POST /jobs.")
@click.option(
    "--target", "-t", metavar="NAME", shell_complete=complete.targets, help="The claw that is to do it, or any."
)
@click.option("--missed", type=click.Choice(["skip", "once", "all"]), help="What passed meanwhile.  [default: once]")
@click.option("--overlap", type=click.Choice(["allow", "skip", "queue", "replace"]), help="[default: skip]")
@click.option("--jitter", type=int, metavar="SECONDS", help="Fire up to so much later.")
@click.option("--start", metavar="TIME", help="Not due earlier.")
@click.option("--end", metavar="TIME", help="Not due later.")
@click.option("--ttl-hours", type=float, metavar="HOURS", help="It ends so long after it was made.")
@click.option("--delete-after-run", is_flag=True, help="Delete it once a job of it is done.")
@click.option("--needs-approval", is_flag=True, help="Each job waits until a person approves it.")
@click.option("--approval-timeout", type=int, metavar="SECONDS", help="How long.  [default: 3600]")
@click.option("--context-last", type=int, metavar="N", help="Show its agent what the last N runs came to.")
@click.option("--context-like", metavar="TEXT", help="Of earlier runs, those most like this text.")
@click.option("--paused", is_flag=True, help="Make it paused.")
@click.option("--run-now", is_flag=True, help="Also submit its job at once.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and make nothing.")
@as_json
@pass_desk
def add(desk: Desk, /, given: str | None, dry_run: bool, json: bool, **options: Any) -> None:
    """Make a schedule and print its id.

    JSON is a body of POST /schedules, or a job of openclaw-scheduler as it stands there; `-` reads it from standard
    input. Options say what it does not say, or says otherwise.

    \b
    spine-head schedules add --name tests --cron '0 3 * * MON-FRI' --tz Europe/Berlin --run 'make test'
    spine-head schedules add --name reminder --in 5m --text 'Ask how the release went'
    spine-head schedules add '{"name": "backup", "schedule_cron": "@daily", "session_target": "shell", …}'
    """
    body, notes = _from_json(given)
    body = _merged(body, options)
    if not body.get("name"):
        raise click.UsageError("which name? Give --name, or JSON with one")
    for note in notes:
        desk.screen.notice(clean.line(f"{note.field}: {note.reason}"))
    if dry_run:
        desk.screen.say(Line(codec.dumps(body, indent=2, ensure_ascii=False)))
        return
    made = desk.schedules().make_schedule(body)
    if json:
        desk.screen.json(made)
        return
    desk.screen.say(Line(made.id))
    desk.screen.notice(f"next: {made.next_at}" if made.next_at else f"it is {made.state}")


@schedules.command()
@schedule_id
@click.argument("members", metavar="JSON")
@as_json
@pass_desk
def edit(desk: Desk, schedule_id: str, members: str, json: bool) -> None:
    """Change members of a schedule, as in '{"cron": "0 4 * * *"}'; null takes one away."""
    found = desk.schedules().edit_schedule(schedule_id, specs.json_object("JSON", members) or {})
    _said(desk, found, json)


@schedules.command()
@schedule_id
@as_json
@pass_desk
def run(desk: Desk, schedule_id: str, json: bool) -> None:
    """Submit a schedule's job now, beside its plan; also when it is paused."""
    found = desk.schedules().run_schedule(schedule_id)
    if json:
        desk.screen.json(found)
    elif found.job_id is not None:
        desk.screen.say(Line(found.job_id))
    else:
        desk.screen.say(Line(clean.line(f"{found.outcome}: {found.reason}")))


@schedules.command()
@schedule_id
@as_json
@pass_desk
def pause(desk: Desk, schedule_id: str, json: bool) -> None:
    """Let a schedule be due no more, until it is resumed."""
    _said(desk, desk.schedules().pause_schedule(schedule_id, True), json)


@schedules.command()
@schedule_id
@as_json
@pass_desk
def resume(desk: Desk, schedule_id: str, json: bool) -> None:
    """Let a paused schedule be due again, from now on."""
    _said(desk, desk.schedules().pause_schedule(schedule_id, False), json)


@schedules.command()
@schedule_id
@as_json
@pass_desk
def delete(desk: Desk, schedule_id: str, json: bool) -> None:
    """Delete a schedule and its record of runs; its jobs stay."""
    found = desk.schedules().delete_schedule(schedule_id)
    if json:
        desk.screen.json(found)
    else:
        desk.screen.say(Line(clean.line(f"{found.id} ({found.name}) is deleted")))


@schedules.command("next")
@click.argument("schedule_id", metavar="[ID]", required=False)
@click.option("--count", "-n", type=int, metavar="N", help="How many.  [default: 5]")
@click.option("--cron", metavar="EXPRESSION", help="Instead of ID: of an expression that is no schedule yet.")
@click.option("--tz", metavar="ZONE", help="The zone of --cron.  [default: UTC]")
@as_json
@pass_desk
def next_times(
    desk: Desk, schedule_id: str | None, count: int | None, cron: str | None, tz: str | None, json: bool
) -> None:
    """Show the next due times of a schedule, or of an expression."""
    if (schedule_id is None) == (cron is None):
        raise click.UsageError("give ID, or --cron")
    client = desk.schedules()
    if schedule_id is not None:
        found = client.next_due(schedule_id, count)
    else:
        asked = {"cron": cron, "timezone": tz, "n": count}
        found = client.preview_schedule({name: value for name, value in asked.items() if value is not None})
    if json:
        desk.screen.json(found)
        return
    for due in found.next:
        desk.screen.say(Line(f"{due.due_at}  {due.local}" if found.timezone != "UTC" else due.due_at))
    if not found.next:
        desk.screen.notice("nothing is due")


@schedules.command()
@schedule_id
@click.option("--limit", "-n", type=int, metavar="N", help="At most so many.  [default: 100]")
@as_json
@pass_desk
def runs(desk: Desk, schedule_id: str, limit: int | None, json: bool) -> None:
    """Show what became of a schedule's due times, newest first."""
    client = desk.schedules()
    found = client.schedule_runs(schedule_id, limit)
    if json:
        desk.screen.json(found)
    elif found.runs:
        desk.screen.show(_run_table(found.runs, client.time.now(), desk.screen.live))
    else:
        desk.screen.notice("nothing was due yet")


# --- what is sent ----------------------------------------------------------------------------------------------------


def _from_json(given: str | None) -> tuple[dict[str, Any], list[seed_schedule.Note]]:
    """Return a body of POST /schedules from JSON of ours or of the seed's, and what of the seed's is not as it was."""
    if given is None:
        return {}, []
    members = specs.json_object("JSON", specs.read_text("-", sys.stdin) if given == "-" else given) or {}
    if "job" in members or not any("_" in name for name in members):
        return members, []
    try:
        found = seed_schedule.translate(members)
    except seed_schedule.CannotCarry as e:
        raise InvalidField(f"{e}", field=e.notes[0].field) from e
    return found.body | ({} if found.parent is None else {"parentId": found.parent}), found.notes


def _merged(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Put options over a body; one that says when takes the place of all that says when."""
    if [options[name] is not None for name in ("cron", "every", "at", "in_", "follows")].count(True) > 1:
        raise click.UsageError("give one of --cron, --every, --at, --in and --follows")
    whens = {
        "cron": options["cron"],
        "everySeconds": options["every"],
        "at": options["at"] or _from_now(options["in_"]),
        "parentId": options["follows"],
    }
    said = {name: value for name, value in whens.items() if value is not None}
    if said:
        body = {name: value for name, value in body.items() if name not in (*whens, "kind")} | said
    if options["at"] or options["in_"]:
        body.setdefault("deleteAfterRun", True)
    fields = {
        "name": options["name"],
        "on": options["on"],
        "delaySeconds": options["delay"],
        "condition": {"contains": options["contains"]} if options["contains"] else None,
        "timezone": options["tz"],
        "missed": options["missed"],
        "overlap": options["overlap"],
        "jitterSeconds": options["jitter"],
        "startAt": options["start"],
        "endAt": options["end"],
        "ttlHours": options["ttl_hours"],
        "deleteAfterRun": options["delete_after_run"] or None,
        "approvalTimeoutSeconds": options["approval_timeout"],
        "context": _context(options),
        "paused": options["paused"] or None,
        "runNow": options["run_now"] or None,
    }
    return body | {name: value for name, value in fields.items() if value is not None} | {"job": _job(body, options)}


def _context(options: dict[str, Any]) -> dict[str, Any] | None:
    said = {"last": options["context_last"], "like": options["context_like"]}
    return {name: value for name, value in said.items() if value is not None} or None


def _job(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    given, base = specs.json_object("--job", options["job"]) or {}, body.get("job") or {}
    if not isinstance(base, dict):
        raise click.UsageError("job: expected an object with the members of a job, such as a spec")
    job = base | given
    if options["run"] is not None and options["text"] is not None:
        raise click.UsageError("give --run or --text")
    if options["run"] is not None:
        job |= {"spec": {"run": options["run"]}, "requires": given.get("requires", ["shell"])}
    if options["text"] is not None:
        job |= {"spec": options["text"], "requires": given.get("requires", ["agent"])}
    if "spec" not in job:
        raise click.UsageError("what is to be done? Give --run, --text, --job, or JSON with a job")
    if options["target"] is not None:
        job["target"] = options["target"]
    if options["needs_approval"]:
        job["needsApproval"] = True
    return job


def _from_now(text: str | None) -> str | None:
    if text is None:
        return None
    found = _IN.fullmatch(text)
    if found is None:
        raise click.UsageError(f"--in: {text!r} is none; give it as 90s, 5m, 2h or 1d")
    return iso(time.time_ns() // 1_000_000 + 1000 * int(found[1]) * _SECONDS[found[2]])


# --- what is shown ---------------------------------------------------------------------------------------------------


def _said(desk: Desk, found: wire.Schedule, json: bool) -> None:
    if json:
        desk.screen.json(found)
    else:
        desk.screen.say(Line(clean.line(f"{found.id} ({found.name}) is {found.state}{_next(found)}")))


def _next(found: wire.Schedule) -> str:
    return f", next at {found.next_at}" if found.next_at else ""


def _when(found: wire.Schedule) -> str:
    if found.cron is not None:
        return found.cron if found.timezone == "UTC" else f"{found.cron} {found.timezone}"
    if found.every_seconds is not None:
        return f"every {found.every_seconds} s"
    return found.at or f"on {found.on} of {found.parent_id}"


def _schedule_table(found: list[wire.Schedule], now_ms: int, live: bool) -> Table:
    table = tables.plain(live, "ID", "STATE", "WHEN", "NEXT", last="NAME")
    for one in found:
        table.add_row(
            Text(one.id, "bold"),
            Text(one.state, _STYLES.get(one.state, "")),
            Text(clean.line(_when(one))),
            Text(tables.moment(one.next_at, now_ms, live) if one.next_at else "-"),
            Text(clean.line(one.name)),
        )
    return table


def _run_table(found: list[wire.Occurrence], now_ms: int, live: bool) -> Table:
    table = tables.plain(live, "DUE", "CAUSE", "OUTCOME", "JOB", "STATUS", last="REASON")
    for one in found:
        table.add_row(
            Text(tables.moment(one.due_at, now_ms, live)),
            Text(one.cause),
            Text(one.outcome, _OUTCOMES.get(one.outcome, "red")),
            Text(one.job_id or "-"),
            Text(one.job_status or "-"),
            Text(clean.line(one.reason or "")),
        )
    return table


def _shown_context(context: wire.Context | None) -> str:
    if context is None:
        return "-"
    return f"{context.last} earlier runs" + ("" if context.like is None else f" most like {context.like!r}")


def _lines(found: wire.Schedule) -> list[Line]:
    lines = [
        ("id", found.id),
        ("name", found.name),
        ("state", found.state + (f": {found.ended_reason}" if found.ended_reason else "")),
        ("when", _when(found)),
        ("next", found.next_at or "-"),
        ("last", found.last_at or "-"),
        ("expires", found.expires_at or "-"),
        ("missed", f"{found.missed}, at most {found.missed_most}" if found.missed == "all" else found.missed),
        ("overlap", found.overlap),
        ("condition", "-" if found.condition is None else codec.dumps(found.condition, ensure_ascii=False)),
        ("context", _shown_context(found.context)),
        ("job", codec.dumps(found.job, ensure_ascii=False)),
    ]
    return [Line(clean.line(f"{name:<10}{value}")) for name, value in lines]
