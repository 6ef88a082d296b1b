"""Completion by a shell: the table of subcommands as click knows commands, for nothing but this."""

import click

from contract.completion import completion
from dispatch import config
from dispatch.table import VERBS, Verb


def answer(words: list[str]) -> None:
    """Print the script for a shell, or answer one that asks; ends the process."""
    commands = [_command(verb) for verb in VERBS.values()]
    click.Group(config.NAME, commands=[*commands, completion])(words, prog_name=config.NAME)


def _command(verb: Verb) -> click.Command:
    flags = [click.Option([f"--{flag.name}"], is_flag=not flag.value, help=flag.meaning) for flag in verb.flags]
    return click.Command(verb.name, params=list(flags), help=verb.summary)
