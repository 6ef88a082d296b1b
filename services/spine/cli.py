"""The `spine` command."""

import os
import sys
from pathlib import Path

import click

from contract import __version__
from contract.completion import completion
from contract.env import SettingsError
from contract.ids import new_token
from contract.logs import configure
from spine import settings as spine_settings
from spine.operations.commands import COMMANDS

_VARIABLES = {"head": "HEAD_TOKEN", "left-claw": "LEFT_CLAW_TOKEN", "right-claw": "RIGHT_CLAW_TOKEN"}


@click.group(help="The spine: keeps every job, event, log and blob, and hands work out under leases.")
@click.version_option(__version__, prog_name="spine")
def cli() -> None:
    """Group of the server's commands."""


@cli.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT. Settings come from the environment (docs/reference/settings.md)."""
    settings = _settings()
    configure("spine", settings.log_level, settings.log_format)
    from spine.serve import serve as run

    sys.exit(run(settings, spine_settings.notifier(), spine_settings.handed_sockets()))


@cli.command()
def check() -> None:
    """Check the settings and exit: 0 when they can be used, 78 when not."""
    settings = _settings()
    where = f"{settings.host}:{settings.port}"
    data = f"{'blobs' if settings.database_url else 'data'} in {settings.data_dir}"
    if settings.database_url:
        from spine.store.visit import address  # an extra brings what it needs

        data = f"store in {address(settings.database_url)}, {data}"
    click.echo(f"ok: {settings.token_count} tokens, {data}, listens on {where}")


@cli.command()
@click.argument("name", default="head")
@click.option("--env-file", type=click.Path(path_type=Path), help="Write a token for every role into a new 0600 file.")
def token(name: str, env_file: Path | None) -> None:
    """Make a fresh token for NAME (head, left-claw, right-claw or another claw) and print it."""
    if env_file is None:
        click.echo(new_token("head" if name == "head" else name))
        return
    text = "".join(f"{variable}={new_token(role)}\n" for role, variable in _VARIABLES.items())
    try:
        handle = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{env_file} exists; tokens are never overwritten") from None
    with os.fdopen(handle, "w") as out:
        out.write(text)
    click.echo(f"wrote {', '.join(_VARIABLES.values())} to {env_file}")


for command in COMMANDS:
    cli.add_command(command)


def _settings() -> spine_settings.Settings:
    try:
        return spine_settings.from_env(os.environ)
    except SettingsError as e:
        for fault in e.faults:
            click.echo(f"spine: {fault}", err=True)
        sys.exit(78)


cli.add_command(completion)


def main() -> None:
    """Entry point."""
    cli(prog_name="spine")


if __name__ == "__main__":
    main()
