"""docs/reference/commands.md has every command, argument and option of the programs, and every exit code."""

import importlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from tests.docs.pages import headings, reference, section, tables
from tests.support.spine_process import SpineProcess

from dispatch import faults
from dispatch.table import VERBS

PAGE = reference("commands.md")
PROGRAMS = {
    "spine": "spine.cli",
    "claw": "claw.cli",
    "spine-head": "head.cli",
    "spine-cluster": "cluster.cli",
    "spine-chat": "chat.cli",
}


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
    said = [title for title in headings(PAGE) if re.match(r"(spine|claw|spine-(head|cluster|chat)) [a-z]", title)]
    assert sorted(said) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_there_and_no_other(name: str) -> None:
    wanted = set()
    for param in COMMANDS[name].params:
        shown = ", ".join(sorted(param.opts, key=len, reverse=True)) if isinstance(param, click.Option) else None
        wanted.add(shown or (param.metavar or (param.name or "").upper()))
    rows = {row["option"].replace("`", "") for found in tables(section(PAGE, name)) for row in found if "option" in row}
    assert {re.sub(r" [A-Z].*", "", row) for row in rows} == wanted


def test_every_subcommand_of_dispatch_is_there_with_its_flags_and_no_other() -> None:
    said = {}
    for title in headings(PAGE):
        if re.match(r"spine-dispatch [a-z]", title):
            rows = [row["option"] for found in tables(section(PAGE, title)) for row in found if "option" in row]
            said[title.removeprefix("spine-dispatch ")] = [row.strip("`").split(" ")[0] for row in rows]
    assert said == {verb.name: [f"--{flag.name}" for flag in verb.flags] for verb in VERBS.values()}


def test_exit_codes_of_dispatch() -> None:
    assert codes("spine-dispatch") == dict(faults.EXITS)


def codes(program: str) -> dict[int, str]:
    text = section(PAGE, f"{program}: exit codes")
    return {int(row["code"]): row["meaning"] for row in tables(text)[0]}


def test_exit_codes_of_the_head() -> None:
    from head import exits

    assert codes("spine-head") == dict(exits.EXITS)


def test_exit_codes_of_the_cluster() -> None:
    from cluster import exits

    assert codes("spine-cluster") == dict(exits.EXITS)


def test_exit_codes_of_the_chat_front() -> None:
    from chat import exits

    assert codes("spine-chat") == dict(exits.EXITS)


def test_exit_codes_of_the_claw() -> None:
    from claw import exits

    own = {value for name, value in vars(exits).items() if name.isupper() and not name.startswith("CHILD_")}
    assert set(codes("claw")) == own


def test_exit_codes_of_the_spine(tmp_path: Path) -> None:
    serving = SpineProcess(tmp_path / "first").start()
    taken, newer = str(serving.data_dir), tmp_path / "newer"
    newer.mkdir()
    with closing(sqlite3.connect(newer / "spine.db")) as store:
        store.execute("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER)")
        store.execute("INSERT INTO schema_migrations VALUES (9999, 0)")
        store.commit()
    (tmp_path / "file").touch()
    broken = tmp_path / "v0" / "jobs"
    broken.mkdir(parents=True)
    (broken / "cut-off.json").write_text("{")
    copy, fresh = str(tmp_path / "backup"), {"SPINE_DATA_DIR": str(tmp_path / "fresh")}
    free = {"SPINE_PORT": "0"}
    tries: list[tuple[int, list[str], dict[str, str]]] = [
        (0, ["check"], {}),
        (0, ["token"], {}),
        (1, ["token", "--env-file", str(tmp_path / "file")], {}),
        (2, ["serve", "--no-such-option"], {}),
        (0, ["backup", copy], {}),
        (1, ["backup", copy], {}),
        (3, ["import", str(broken.parent)], fresh),
        (65, ["restore", str(broken)], {"SPINE_DATA_DIR": str(tmp_path / "no-store")}),
        (75, ["restore", copy], {}),
        (1, ["restore", copy], fresh),
        (0, ["restore", copy, "--replace"], fresh),
        (78, ["doctor"], {"LEASE_SECONDS": "never"}),
        (75, ["serve"], {"SPINE_DATA_DIR": str(tmp_path / "other")}),
        (75, ["serve"], free | {"SPINE_DATA_DIR": taken}),
        (78, ["serve"], {"LEASE_SECONDS": "never"}),
        (78, ["serve"], free | {"SPINE_DATA_DIR": str(tmp_path / "file")}),
        (78, ["serve"], free | {"SPINE_DATA_DIR": str(newer)}),
    ]
    for code, words, env in tries:
        done = subprocess.run(
            [sys.executable, "-m", "spine.cli", *words],
            env=serving.environment() | env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (words, env, done.stderr)
    assert serving.stop() == 0
    assert set(codes("spine")) == {code for code, *_ in tries}
