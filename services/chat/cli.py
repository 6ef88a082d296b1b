"""The command `spine-chat`."""

import importlib.util
import sys

import click

from chat import exits, settings
from chat.hook import hook
from contract import __version__, logs
from contract.completion import completion
from contract.env import SettingsError

_EXITS = "\n".join(f"{row.code:>5}  {row.meaning}" for row in exits.EXITS)
_EXTRA = "discord"


@click.group(
    epilog=f"\b\nExit codes:\n{_EXITS}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="spine-chat")
def cli() -> None:
    """The fleet from a chat: Discord, or the chats of an OpenClaw gateway.

    Settings come from the environment; `spine-chat doctor` checks them.
    """


def _start(level: str | None = None) -> settings.Settings:
    try:
        used = settings.from_env()
    except SettingsError as e:
        for fault in e.faults:
            click.echo(f"spine-chat: {fault}", err=True)
        sys.exit(exits.CONFIG)
    if importlib.util.find_spec(_EXTRA) is None:
        fix = "install the extra chat, as in: pip install 'spinal-cord[chat]'"
        click.echo(f"spine-chat: discord.py is not installed; {fix}", err=True)
        sys.exit(exits.CONFIG)
    logs.configure("chat", level or used.log_level, used.log_format, hide=used.secrets())
    return used


@cli.command()
def run() -> None:
    """Serve until SIGTERM: hear what people write, say what becomes of it."""
    used = _start()
    from chat import service

    try:
        code = service.run(used, settings.notifier())
    except service.CannotRun as e:
        click.echo(f"spine-chat: {e}", err=True)
        code = e.code
    sys.exit(code)


@cli.command()
def doctor() -> None:
    """Check the spine, the tokens, the channels and the state folder; exits 1 when something is wrong."""
    used = _start("error")  # what it finds is told in its own lines
    from chat import doctor as doctors  # needs the extra

    checks = doctors.examine(used)
    click.echo(doctors.table(checks))
    sys.exit(exits.CHECK_FAILED if any(check.state == "failed" for check in checks) else exits.OK)


cli.add_command(hook)
cli.add_command(completion)


def main() -> None:
    """Entry point."""
    cli(prog_name="spine-chat")


if __name__ == "__main__":
    main()
