"""A spine on its own store, a claw and a head, where postgres, s3, mcp, otel and cluster are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.conftest import spine_settings, token_of
from tests.support.claw_process import Machine
from tests.support.ledger import Ledger
from tests.support.spine_process import REPO, TOKENS, SpineProcess

pytestmark = pytest.mark.acceptance

# Python imports it at its start, in every process: to whom it is asked for, what the extras bring is not there.
SITE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        drivers = ("psycopg", "psycopg_binary", "psycopg2", "psycopg2cffi")
        if name.partition(".")[0] not in (*drivers, "obstore", "redis", "mcp", "mcp_types", "opentelemetry"):
            return None
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        with open({told!r}, "a") as out:
            print(name.partition(".")[0], "for", frame.f_globals["__name__"], file=out)
        raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""

Env = dict[str, str | None]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """What was asked for, and by whom."""
    return tmp_path / "told"


@pytest.fixture
def bare(tmp_path: Path, told: Path) -> Env:
    """The settings of a process that has none of the extras."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE.format(told=str(told)))
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(REPO / "services")))}


def asked_for(told: Path) -> set[str]:
    return set(told.read_text().splitlines()) if told.exists() else set()


def test_a_job_is_done_and_nothing_of_them_is_asked_for(tmp_path: Path, bare: Env, told: Path, ledger: Ledger) -> None:
    spine = SpineProcess(tmp_path / "spine", spine_settings(**bare)).start()
    machine = None
    try:
        # It looks at its own import which drivers there are; nobody else does.
        assert {line.rpartition(" ")[2] for line in asked_for(told)} == {"peewee"}
        told.unlink()
        machine = Machine(tmp_path / "claw", "claw-1", token_of("claw-1"), spine.url, bare)
        machine.run()
        env = machine.environment(SPINE_TOKEN=TOKENS["HEAD_TOKEN"])
        words = ["submit", "--target", "any", "--run", ledger.note("ran"), "--wait"]
        done = subprocess.run([sys.executable, "-m", "head.cli", *words], env=env, capture_output=True, timeout=180)
        assert done.returncode == 0, done.stderr
        assert len(ledger.entries()) == 1
        assert spine.stop() == 0
        assert asked_for(told) == set()
    finally:
        if machine is not None:
            machine.crash()
        spine.kill9()
