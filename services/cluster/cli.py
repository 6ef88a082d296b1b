"""The command `spine-cluster`."""

import click

from contract import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="spine-cluster")
def cli() -> None:
    """Keep a cluster of nodes: who is there, who leads, what they tell each other."""


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
