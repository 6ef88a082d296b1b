"""The command `claw`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, get_args

import click
import msgspec

from claw import cron as crons
from claw import doctor as doctors
from claw import exits, settings
from claw import join as joins
from claw import rotate as rotates
from claw import skill as skills
from claw.inbox import Inbox
from claw.process import identity
from claw.process.guard import hide_memory
from claw.runner.connect import connect
from claw.state import Journal
from claw.ticks import daemon
from claw.ticks import tick as ticks
from contract import __version__, killpoints, logs
from contract.clock import SystemClock, iso
from contract.completion import completion
from contract.env import SettingsError
from contract.errors import SpineError
from contract.wire import MessageKind


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="claw")
def cli() -> None:
    """Claim jobs from a spine, run them under a lease, report what came of them.

    Settings come from the environment and from ~/.spine/claw.env, which `claw join` writes; `claw doctor` checks them.
    """


def _start(read: Callable[[], settings.Settings] = settings.from_env) -> settings.Settings:
    hide_memory()
    try:
        used = read()
    except SettingsError as e:
        for fault in e.faults:
            click.echo(f"claw: {fault}", err=True)
        sys.exit(exits.CONFIG)
    logs.configure("claw", used.log_level, used.log_format, machine=used.name)
    killpoints.arm(used.kill_point, used.kill_point_file)
    return used


def _start_to_work() -> settings.Settings:
    used = _start()
    if identity.hiding():
        fix = "take ProtectProc= out of the unit, or give this user the group of hidepid's gid="
        click.echo(
            f"claw: /proc hides processes (hidepid), so that a claw could not see its own worker; {fix}", err=True
        )
        sys.exit(exits.CONFIG)
    return used


def _end(why: Exception, code: int) -> NoReturn:
    for line in str(why).splitlines():
        click.echo(f"claw: {line}", err=True)
    sys.exit(code)


@cli.command()
@click.argument("url")
@click.argument("code")
@click.option("--name", metavar="NAME", help="How this machine calls itself in worker ids and logs.")
@click.option("--force", is_flag=True, help="Replace the token and the address of a machine that has joined.")
@click.option("--run", "go_on", is_flag=True, help="Go on as `claw run` does.")
def join(url: str, code: str, name: str | None, force: bool, go_on: bool) -> None:
    """Make this machine a claw of the spine at URL with a one-time CODE; `-` reads it from standard input."""
    if code == "-":
        code = sys.stdin.readline().strip()
    try:
        told = joins.join(joins.Joining(url=url, code=code, name=name, force=force))
    except joins.CannotJoin as e:
        _end(e, e.code)
    for line in told:
        click.echo(line)
    if go_on:
        sys.exit(daemon.run(_start_to_work(), settings.notifier()))


@cli.command()
@click.option(
    "--grace",
    type=click.IntRange(0, 86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long the tokens before stay valid.",
)
def rotate(grace: int) -> None:
    """Get a new token for this machine and write it in the place of the old one."""
    try:
        click.echo(rotates.rotate(_start(), grace))
    except rotates.CannotRotate as e:
        _end(e, e.code)


@cli.group()
def skill() -> None:
    """Keep the spine's skill document where an OpenClaw agent finds it."""


@skill.command("install")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The folder of skills (~/.openclaw/skills without it).",
)
def skill_install(folder: Path | None) -> None:
    """Write spinal-cord/SKILL.md into the folder of skills."""
    used = _start()
    try:
        click.echo(skills.install(used, folder or settings.own_home() / ".openclaw" / "skills"))
    except skills.CannotInstall as e:
        _end(e, e.code)


@skill.command("refresh")
def skill_refresh() -> None:
    """Fetch the document again if the spine has a newer one, or the file was changed."""
    try:
        click.echo(skills.refresh(_start()))
    except skills.CannotInstall as e:
        _end(e, e.code)


@cli.command()
def run() -> None:
    """Stay resident: wait for jobs and run them, one at a time. SIGTERM drains, SIGHUP hands over."""
    sys.exit(daemon.run(_start_to_work(), settings.notifier()))


@cli.command()
@click.option("--mode", type=click.Choice(["worker", "phases"]), help="Overrides CLAW_MODE for a job claimed now.")
def tick(mode: str | None) -> None:
    """Make one pass, for cron or launchd: beat and carry on, or claim one job."""
    sys.exit(ticks.tick(ticks.with_mode(_start_to_work(), mode)))


@cli.command("cron-entry")
@click.option(
    "--for",
    "kind",
    type=click.Choice(crons.KINDS),
    default="crontab",
    show_default=True,
    help="Whose entry.",
)
@click.option(
    "--minutes",
    type=click.IntRange(1, 30),
    default=1,
    show_default=True,
    metavar="N",
    help="How often a tick begins.",
)
@click.option("--mode", type=click.Choice(["worker", "phases"]), help="Overrides CLAW_MODE.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="A file of NAME=value lines that a shell reads first; without it claw.env is enough.",
)
def cron_entry(kind: str, minutes: int, mode: str | None, env_file: Path | None) -> None:
    """Print what a scheduler needs to run `claw tick`: cron, launchd, or that of an OpenClaw gateway.

    The entry goes to standard output, what to do with it to standard error. It holds no token.
    """
    if kind == "launchd" and env_file is not None:
        raise click.UsageError("launchd has no shell to read --env-file with; launchd/install.sh sets up a wrapper")
    words, env = crons.tick(crons.program(), mode, env_file), settings.for_scheduler()
    if kind == "crontab":
        entry = crons.crontab(words, env, minutes)
    elif kind == "launchd":
        entry = crons.launchd(words, env, minutes, settings.own_home() / "Library" / "Logs" / "spinal-cord")
    else:
        entry = crons.openclaw(words, env, minutes)
    click.echo(entry, nl=False)
    click.echo(crons.HINTS[kind], err=True)
    unseen = settings.unseen_by_scheduler()
    if unseen and env_file is None:
        where = settings.home_folder() / "claw.env"
        click.echo(f"claw: a scheduler does not see {', '.join(unseen)}: set them in {where}, or --env-file", err=True)


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


@cli.command()
@click.option("--drop", metavar="ID", multiple=True, help="Forget this message; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inbox(drop: tuple[str, ...], as_json: bool) -> None:
    """Show what head has told this claw, the most pressing first.

    The messages stand in the folder `inbox` of the state folder; this asks no spine and needs no token.
    """
    box = Inbox(settings.state_folder())
    missing = [message_id for message_id in drop if not box.drop(message_id)]
    found = box.messages(SystemClock().now())
    if as_json:
        click.echo(msgspec.json.encode({"messages": found}).decode())
    elif not found:
        click.echo("No message is here.")
    else:
        for message in found:
            about = f" (job {message.job_id})" if message.job_id else ""
            click.echo(f"{message.id}  {message.at}  {message.kind}{about}\n    {_indented(message.text)}")
    for message_id in missing:
        click.echo(f"claw: there is no message {message_id} here", err=True)
    sys.exit(exits.CHECK_FAILED if missing else exits.OK)


@cli.command()
@click.argument("text", metavar="TEXT")
@click.option("--kind", type=click.Choice(get_args(MessageKind)), default="text", help="What it is.  [default: text]")
@click.option("--reply-to", metavar="ID", help="The message that it answers.")
@click.option("--job", metavar="ID", help="The job that it is about.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tell(text: str, kind: str, reply_to: str | None, job: str | None, as_json: bool) -> None:
    """Send head a message. TEXT is what it says; `-` reads it from standard input."""
    used = _start()
    said = sys.stdin.read().rstrip("\n") if text == "-" else text
    fields = (
        {"text": said, "kind": kind} | ({"replyTo": reply_to} if reply_to else {}) | ({"jobId": job} if job else {})
    )
    try:
        sent = connect(used, Journal(used.state_dir)).send_message(fields)
    except SpineError as e:
        _end(e, exits.UNREACHABLE if e.retryable else exits.REFUSED)
    click.echo(msgspec.json.encode(sent).decode() if as_json else f"sent {sent.id}")


def _indented(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("\n", "\n    ")


cli.add_command(completion)


def main() -> None:
    """Run the command line."""
    cli(prog_name="claw")


if __name__ == "__main__":
    main()
