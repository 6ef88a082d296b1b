"""Without the extra `postgres` a spine serves from its own store; with it nothing of it is imported unasked."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]

# A finder that knows psycopg is not there, before everything that a spine imports.
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("psycopg", "psycopg_binary", "psycopg2"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> str:
    env = {"PYTHONPATH": str(REPO / "services"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_the_extra_the_embedded_store_works(tmp_path: Path) -> None:
    code = (
        WITHOUT
        + f"""
import spine.app, spine.serve
from pathlib import Path
from contract.clock import SystemClock
from spine.store import meta
from spine.store.sqlite import SqliteEngine

engine = SqliteEngine(Path({str(tmp_path)!r}), SystemClock())
print(len(engine.write(meta.store_id).result(10)))
engine.close()
"""
    )
    assert run(code) == "12"


def test_with_the_extra_the_engine_is_imported_only_when_it_is_asked_for() -> None:
    code = """
import sys, spine.app, spine.serve, spine.operations.commands
print([name for name in ("spine.store.postgres", "spine.store.link") if name in sys.modules])
"""
    assert run(code) == "[]"
