"""The command `spine-dispatch` against a gateway: as a process, or in this one where speed matters."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.fake_gateway import TOKEN, FakeGateway

from dispatch.config import Config
from dispatch.desk import Desk
from dispatch.ledger import Entry
from dispatch.settings import from_env


class Ran(NamedTuple):
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """Its answer, as JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its answer, as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Dispatching:
    """A state folder, and calls of the command in it."""

    def __init__(self, home: Path, url: str, **environ: str) -> None:
        self.home = home
        self.environ = {
            "OPENCLAW_GATEWAY_URL": url,
            "OPENCLAW_GATEWAY_TOKEN": TOKEN,
            "SPINE_DISPATCH_HOME": str(home),
            "DISPATCH_HOST": "here",
            **environ,
        }

    @property
    def labels(self) -> Path:
        """The ledger's file."""
        return Path(self.environ.get("DISPATCH_LABELS_PATH", self.home / "labels.json"))

    def entry(self, label: str) -> Entry:
        """Return a label's entry as it stands in the file."""
        found: Entry = json.loads(self.labels.read_text())[label]
        return found

    def write(self, **entries: Entry) -> None:
        """Write a ledger, as another program would."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.labels.write_text(json.dumps(entries))

    def edit(self, label: str, **fields: Any) -> None:
        """Change an entry, as another program would."""
        self.desk().ledger.change(lambda entries: entries[label].update(fields))

    def process(self, *words: str, **environ: str) -> "subprocess.Popen[str]":
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "dispatch.cli", *words],
            env={**os.environ, **self.environ, **environ},
            cwd=self.home.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environ: str) -> Ran:
        """Run the command as a process, to its end."""
        with self.process(*words, **environ) as child:
            out, err = child.communicate(timeout=60)
            return Ran(child.returncode, out, err)

    def call(self, *words: str, **environ: str) -> Ran:
        """Carry the command out in this process."""
        from dispatch import cli

        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.update({**self.environ, **environ})
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.call(list(words))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Ran(code, out.getvalue(), err.getvalue())

    def desk(self) -> Desk:
        """Return a desk of this folder."""
        return Desk(from_env(self.environ), Config())


__all__ = ["Dispatching", "FakeGateway", "Ran"]
