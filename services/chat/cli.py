"""The command `spine-chat`: the group, and its help."""

import click

from contract import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="spine-chat")
def cli() -> None:
    """Talk with a spine from a chat."""


def main() -> None:
    """Entry point."""
    cli(prog_name="spine-chat")


if __name__ == "__main__":
    main()
