"""docs/reference/commands.md has every command, argument and option of the three programs, and every exit code."""

import importlib
import re
from collections.abc import Iterator

import click
import pytest
from tests.docs.pages import headings, reference, section, tables

PAGE = reference("commands.md")
PROGRAMS = {"spine": "spine.cli", "claw": "claw.cli", "spine-head": "head.cli"}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command under the name that a person types."""
    waiting: list[tuple[str, click.Command]] = [
        (name, importlib.import_module(module).cli) for name, module in PROGRAMS.items()
    ]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += [(f"{name} {sub}", found) for sub, found in command.commands.items()]
        else:
            yield name, command


COMMANDS = dict(commands())


def test_every_command_is_there_and_no_other() -> None:
    said = [title for title in headings(PAGE) if re.match(r"(spine|claw|spine-head) [a-z]", title)]
    assert sorted(said) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_there_and_no_other(name: str) -> None:
    wanted = set()
    for param in COMMANDS[name].params:
        shown = ", ".join(sorted(param.opts, key=len, reverse=True)) if isinstance(param, click.Option) else None
        wanted.add(shown or (param.metavar or (param.name or "").upper()))
    rows = {row["option"].replace("`", "") for found in tables(section(PAGE, name)) for row in found if "option" in row}
    assert {re.sub(r" [A-Z].*", "", row) for row in rows} == wanted


def codes(program: str) -> dict[int, str]:
    text = section(PAGE, f"{program}: exit codes")
    return {int(row["code"]): row["meaning"] for row in tables(text)[0]}


def test_exit_codes_of_the_head() -> None:
    from head import exits

    assert codes("spine-head") == dict(exits.EXITS)


def test_exit_codes_of_the_claw() -> None:
    from claw import exits

    own = {value for name, value in vars(exits).items() if name.isupper() and not name.startswith("CHILD_")}
    assert set(codes("claw")) == own


def test_exit_codes_of_the_spine() -> None:
    from spine import serve

    own = {value for name, value in vars(serve).items() if name.startswith("EXIT_")}
    assert own <= set(codes("spine"))
