"""From what a person types to the fields of a submit."""

from pathlib import Path
from typing import Any, TextIO

import click
import msgspec

from head import exits

_FILE_MOST = 8 << 20


class CannotRead(click.ClickException):
    """A file of the command line cannot be read."""

    exit_code = exits.NOT_FOUND

    def show(self, file: Any = None) -> None:
        """Print one line."""
        click.echo(f"spine-head: {self.message}", err=True)


def read_text(path: str, stdin: TextIO) -> str:
    """Return a file's text; `-` is standard input.

    Raises:
        CannotRead: also when it is not UTF-8.
    """
    try:
        if path == "-":
            return stdin.read(_FILE_MOST)
        with Path(path).open(encoding="utf-8") as source:
            return source.read(_FILE_MOST)
    except OSError as e:
        raise CannotRead(f"cannot read {path}: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise CannotRead(f"cannot read {path}: it is not UTF-8 text") from e


def from_text(content: str, must_be_json: bool = False) -> Any:
    """Return a spec: a JSON object as the object, anything else as the text that it is.

    Raises:
        click.UsageError: it begins like an object (or comes from a .json file) and is not JSON.
    """
    if not content.strip():
        raise click.UsageError("the spec is empty: give a text, --file or --run")
    if not must_be_json and not content.lstrip().startswith("{"):
        return content
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as e:
        if not must_be_json and not content.rstrip().endswith("}"):
            return content
        raise click.UsageError(f"the spec looks like JSON and is not: {e}") from e


def from_options(
    run: str | None, phases: tuple[str, ...], repo: str | None, branch: str | None, artifacts: tuple[str, ...]
) -> dict[str, Any] | None:
    """Build the object form from its options; None when none of them is given.

    Raises:
        click.UsageError
    """
    if not (run or phases):
        for name, value in (("--repo", repo), ("--branch", branch), ("--artifact", artifacts)):
            if value:
                raise click.UsageError(f"{name} needs --run or --phase, or write it into the spec")
        return None
    if run and phases:
        raise click.UsageError("give --run or --phase, not both")
    spec: dict[str, Any] = {"run": run} if run else {"phases": [_phase(text) for text in phases]}
    optional = {"repo": repo, "branch": branch, "artifacts": list(artifacts)}
    return spec | {name: value for name, value in optional.items() if value}


def _phase(text: str) -> dict[str, str]:
    name, equals, command = text.partition("=")
    if not equals or not name.strip() or not command.strip():
        raise click.UsageError(f"--phase {text!r}: write it as NAME=COMMAND, as in test='make test'")
    return {"name": name.strip(), "run": command.strip()}


def json_object(name: str, value: str | None) -> dict[str, Any] | None:
    """Read an option that takes a JSON object.

    Raises:
        click.UsageError
    """
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.DecodeError as e:
        raise click.UsageError(f'{name}: expected a JSON object such as {{"team": "web"}} ({e})') from e


def job_list(content: str) -> list[dict[str, Any]]:
    """Read a JSON list of jobs, each with the members of a submit.

    Raises:
        click.UsageError
    """
    try:
        jobs = msgspec.json.decode(content, type=list[dict[str, Any]])
    except msgspec.DecodeError as e:
        raise click.UsageError(f'--list: expected a JSON list of jobs such as [{{"spec": "a task"}}] ({e})') from e
    if not jobs:
        raise click.UsageError("--list: the list is empty")
    return jobs
