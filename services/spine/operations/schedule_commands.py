"""`spine import-schedules`, and how its report is laid out for people and for programs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from contract.clock import SystemClock
from spine.database_settings import url
from spine.operations.carrying import WITH_FAULTS, carried_out
from spine.settings import store_folder

if TYPE_CHECKING:
    from spine.operations.foreign_aliases import ForeignAlias
    from spine.operations.schedule_import import Report


@click.command("import-schedules")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would be done; so it is without --apply.")
@click.option("--apply", is_flag=True, help="Import them. No server may run there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_schedules(path: Path, dry_run: bool, apply: bool, as_json: bool) -> None:
    """Bring the schedules of another scheduler into the store of SPINE_DATA_DIR.

    PATH is the scheduler.db of openclaw-scheduler, or the cron/jobs.json of OpenClaw; it is only read. All that can
    be carried over comes in one transaction; the rest is named, with each field and why. May be repeated: what was
    imported already stays as it is.
    """
    if dry_run and apply:
        raise click.UsageError("give --dry-run or --apply, not both")
    from spine.operations.schedule_import import bring_in

    report = carried_out(lambda: bring_in(path, store_folder(), apply, SystemClock(), url()))
    click.echo(_as_json(report, apply) if as_json else _as_text(report, apply))
    if report.refused:
        sys.exit(WITH_FAULTS)


def _as_json(report: "Report", apply: bool) -> str:
    rows = [
        {
            "origin": row.source.origin,
            "id": row.source.id,
            "name": row.source.name,
            "state": row.state,
            "scheduleId": row.schedule_id,
            "notes": [note._asdict() for note in row.notes],
        }
        for row in report.rows
    ]
    entries = {alias.name: alias.entry() for alias in report.named if alias.problem is None}
    found = {"applied": apply, "jobs": rows, "aliases": report.aliases, "aliasEntries": entries}
    return msgspec.json.encode(found).decode()


def _as_text(report: "Report", apply: bool) -> str:
    counts = {state: sum(row.state == state for row in report.rows) for state in ("imported", "known", "refused")}
    verb = "imported" if apply else "to be imported"
    lines = [f"{counts['imported']} {verb}, {counts['known']} imported before, {counts['refused']} refused"]
    for row in report.rows:
        lines.append(
            f"{row.state:<9} {row.source.id}  {row.source.name}{f'  → {row.schedule_id}' * bool(row.schedule_id)}"
        )
        lines += [f"{'':<9}   {note.field}: {note.reason}" for note in row.notes]
    if report.aliases:
        lines.append(f"Notices go to these aliases, which SPINE_NOTICES_FILE must have: {', '.join(report.aliases)}")
    lines += _named(report.named)
    if not apply:
        lines.append("Nothing was written. Stop the server and give --apply.")
    return "\n".join(lines)


def _named(aliases: "list[ForeignAlias]") -> list[str]:
    """Lay aliases out as their file would have them, a line for each; those that it cannot have with why."""
    fine = [alias for alias in aliases if alias.problem is None]
    lines = [f"{'alias':<9} {alias.name[:64]!r}: {alias.problem}" for alias in aliases if alias not in fine]
    if fine:
        lines.append("Its aliases, for the file of SPINE_NOTICES_FILE; put your gateway's address and token in:")
        entries = [f'  "{alias.name}": {json.dumps(alias.entry(), ensure_ascii=False)}' for alias in fine]
        lines += ["{", ",\n".join(entries), "}"]
    return lines
