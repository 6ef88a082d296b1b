"""The command `spine-dispatch`: the group and its exit codes."""

import click

from contract import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="spine-dispatch")
def cli() -> None:
    """Start and steer agent sessions on an OpenClaw gateway, by label."""


def main() -> None:
    """Entry point."""
    cli(prog_name="spine-dispatch")


if __name__ == "__main__":
    main()
