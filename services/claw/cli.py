"""The command `claw`."""

import sys
from collections.abc import Callable

import click
import msgspec

from claw import doctor as doctors
from claw import exits, settings
from claw.process.guard import hide_memory
from claw.state import Journal
from claw.ticks import daemon
from claw.ticks import tick as ticks
from contract import __version__, killpoints, logs
from contract.clock import iso
from contract.env import SettingsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="claw")
def cli() -> None:
    """Claim jobs from a spine, run them under a lease, report what came of them.

    Settings come from the environment; `claw doctor` checks them.
    """


def _start(read: Callable[[], settings.Settings] = settings.from_env) -> settings.Settings:
    hide_memory()
    try:
        used = read()
    except SettingsError as e:
        for fault in e.faults:
            click.echo(f"claw: {fault}", err=True)
        sys.exit(exits.CONFIG)
    logs.configure("claw", used.log_level, machine=used.name)
    killpoints.arm(used.kill_point, used.kill_point_file)
    return used


@cli.command()
def run() -> None:
    """Stay resident: wait for jobs and run them, one at a time. SIGTERM drains."""
    sys.exit(daemon.run(_start()))


@cli.command()
@click.option("--mode", type=click.Choice(["worker", "phases"]), help="Overrides CLAW_MODE for a job claimed now.")
def tick(mode: str | None) -> None:
    """Make one pass, for cron or launchd: beat and carry on, or claim one job."""
    sys.exit(ticks.tick(ticks.with_mode(_start(), mode)))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Check settings, spine, token, clock, git, folders and disk; exit 1 when a check fails."""
    checks = doctors.examine()
    click.echo(msgspec.json.encode({"checks": checks}).decode() if as_json else doctors.table(checks))
    sys.exit(exits.CHECK_FAILED if any(check.state == "failed" for check in checks) else exits.OK)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show what this claw holds."""
    held, note = Journal(settings.state_folder()).peek()
    if note is not None:
        click.echo(note, err=True)
    if held is None or held.job is None:
        click.echo('{"held":null}' if as_json else "Nothing is held.")
        return
    shown = {
        "jobId": held.job_id,
        "fence": held.fence,
        "mode": held.mode,
        "claimedAt": iso(held.claimed_at_ms),
        "phasesDone": [phase.name for phase in held.phases],
        "inPhase": held.in_phase,
        "workerPid": held.worker_pid,
        "outcome": held.outcome.action if held.outcome else None,
        "folder": held.folder,
    }
    if as_json:
        click.echo(msgspec.json.encode({"held": shown}).decode())
    else:
        for name, value in shown.items():
            click.echo(f"{name:<11} {'-' if value in (None, []) else value}")


def main() -> None:
    """Run the command line."""
    cli(prog_name="claw")


if __name__ == "__main__":
    main()
