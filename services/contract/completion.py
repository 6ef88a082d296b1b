"""The command `completion` of every program: it prints a script that lets a shell complete what is typed.

What a shell is offered may come from a server, and so from others: only texts that mean nothing to a shell are offered.
"""

import re
import threading
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")
_PLAIN = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9._~@-]*\Z")
_HELP_MOST = 60
LOOK_SECONDS = 1.0
"""A shell stands still while it asks: what has not come by then is not offered."""


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL (bash, zsh or fish) completes commands, options and names.

    \b
    bash  eval "$(PROGRAM completion bash)" in ~/.bashrc (bash 4.4 or newer)
    zsh   eval "$(PROGRAM completion zsh)" in ~/.zshrc, behind compinit
    fish  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
    """
    root = ctx.find_root()
    click.echo(script(root.command, root.info_name or "", shell), nl=False)


def script(command: click.Command, program: str, shell: str) -> str:
    """Return what a shell has to read so that it asks a program for completions."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows each of SHELLS
    return kind(command, {}, program, variable(program)).source()


def variable(program: str) -> str:
    """Return the name of the variable by which a shell asks a program, as click itself makes it."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def offered(
    look: Callable[[], Iterable[tuple[str, str]]], begin: str, seconds: float = LOOK_SECONDS
) -> list[CompletionItem[str]]:
    """Return what to offer of the (value, meaning) that `look` finds; nothing when it fails or takes too long.

    Args:
        begin: what has been typed so far.
    """
    found: list[tuple[str, str]] = []

    def run() -> None:
        try:
            found.extend(look())
        except Exception:  # noqa: BLE001, S110 - in the middle of a command line there is nobody to tell
            pass

    # A thread that does not hold up the end of the process: names are resolved without a time-out.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return []
    fitting = {value: meaning for value, meaning in found if value.startswith(begin) and _PLAIN.match(value)}
    return [CompletionItem(value, help=_short(meaning) or None) for value, meaning in fitting.items()]


def _short(meaning: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in meaning)
    return " ".join(plain.split())[:_HELP_MOST]
