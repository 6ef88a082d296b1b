"""What a program loads when it starts, and the block that keeps libraries out."""

import subprocess
import sys

import pytest

from contract.imports import without


def said(code: str) -> str:
    """Run a program in a fresh interpreter; return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("spine.cli, spine.serve", "rich requests psycopg obstore mcp opentelemetry"),
        ("spine.app", "rich requests psycopg obstore mcp opentelemetry"),
        ("claw.cli", "rich peewee falcon"),
        ("claw.worker", "rich peewee falcon apscheduler"),
        ("dispatch.cli", "rich peewee falcon"),
        ("chat.service", "rich peewee falcon"),
    ],
)
def test_a_program_loads_nothing_that_it_may_never_need(module: str, unused: str) -> None:
    look = f"import sys, {module}; print(*sorted(set({unused + ' structlog'!r}.split()) & set(sys.modules)))"
    assert said(look) == "structlog"


@pytest.mark.parametrize("module", ["contract.head_client", "cluster.tools"])
def test_what_others_import_changes_nothing_for_them(module: str) -> None:
    look = f"import {module}, structlog, rich.console; print(structlog.dev.rich is not None)"
    assert said(look) == "True"


def test_the_driver_of_a_server_is_there_where_it_is_wanted() -> None:
    assert said("import spine.store.postgres as p; print(p.psycopg.__name__)") == "psycopg"


def test_a_library_is_missing_inside_and_there_again_after() -> None:
    sys.modules.pop("colorsys", None)
    with without("colorsys"), pytest.raises(ModuleNotFoundError):
        import colorsys
    import colorsys

    assert colorsys.hsv_to_rgb(0, 0, 1) == (1, 1, 1)


def test_one_that_is_loaded_already_stays() -> None:
    with without("json"):
        import json

        assert json.loads("[1]") == [1]
    assert sys.modules["json"] is json


def test_it_is_there_again_after_a_fault() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(RuntimeError), without("colorsys"):
        raise RuntimeError
    import colorsys

    assert colorsys.hsv_to_rgb(0, 0, 0) == (0, 0, 0)
