"""`spine-head enqueue-shell` and `enqueue-automaton`: Skyclaw's two commands, for scripts that call them."""

import sys
from typing import Any, NoReturn

import click

from contract.skyclaw_client import EnqueueError, enqueue
from head import clean, exits, settings
from head.desk import Desk, pass_desk
from head.words import Line


class Words(click.Command):
    """A command all of whose words are arguments, also those that look like options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they are."""
        return super().parse_args(ctx, ["--", *args])


@click.command("enqueue-shell", cls=Words, add_help_option=False)
@click.argument("words", nargs=-1, metavar="COMMAND [ARGS]...")
@pass_desk
def shell(desk: Desk, words: tuple[str, ...]) -> None:
    """Enqueue a job that a host of Skyclaw runs, and print its id; every word after COMMAND is an argument.

    It goes where Skyclaw's own command would send it (SKYCLAW_COORDINATOR_URLS, SKYCLAW_COORDINATOR_URL); where neither
    is set, to the spine.
    """
    if not words:
        _fail("enqueue-shell requires a command")
    command, *args = map(_text, words)
    _enqueue(desk, {"kind": "shell", "command": command, "args": args}, "shell")


@click.command("enqueue-automaton", cls=Words, add_help_option=False)
@click.argument("words", nargs=-1, metavar="[ARGS]...")
@pass_desk
def automaton(desk: Desk, words: tuple[str, ...]) -> None:
    """Enqueue a job that runs the automaton of a host of Skyclaw, and print its id; every word is an argument.

    It goes where enqueue-shell would send it.
    """
    _enqueue(desk, {"kind": "automaton-run", "args": [*map(_text, words)]}, "automaton")


def _enqueue(desk: Desk, payload: dict[str, Any], capability: str) -> None:
    place = settings.for_enqueue()
    if place is None:
        fields = {"target": "any", "requires": sorted(("skyclaw", capability)), "spec": payload}
        desk.screen.say(Line(desk.client().submit(fields).id))
        return
    try:
        job_id = enqueue(place.urls, place.token, payload, [capability])
    except EnqueueError as e:
        _fail(str(e))
    desk.screen.say(Line(clean.line(job_id)))


def _text(word: str) -> str:
    """Return a word as JSON can hold it: bytes that are not UTF-8 become U+FFFD."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _fail(text: str) -> NoReturn:
    click.echo(f"[skyclaw] {clean.text(text)}", err=True)
    sys.exit(exits.ERROR)
