"""The rules that tests/conftest.py lays on every test, seen from outside on a small suite of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

SUITE = """
import os
import pytest

def test_environment_is_clean():
    assert "SPINE_HEAD_TOKEN" not in os.environ
    assert "LEFT_CLAW_TOKEN" not in os.environ
    assert os.environ["KEPT"] == "1"

@pytest.mark.docker
def test_in_a_container():
    pass

@pytest.mark.soak
def test_for_hours():
    raise AssertionError("selected without SOAK=1")
"""
SKIPS = """
import pytest

def test_skipping():
    pytest.skip("because of the moon")
"""


def run_pytest(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    environ = {k: v for k, v in os.environ.items() if k not in ("CI", "SOAK", "PYTEST_ADDOPTS")} | environment
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_without_an_engine_what_is_left_out_is_said_loudly(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    roles = {"SPINE_HEAD_TOKEN": "x", "LEFT_CLAW_TOKEN": "x", "KEPT": "1"}
    code, output = run_pytest(tmp_path, "-m", "not docker", CI="true", **roles)
    assert code == 0, output
    assert "1 passed, 2 deselected" in output
    assert "1 TESTS WERE LEFT OUT: THEY NEED A DOCKER ENGINE." in output
    assert "make engine" in output.lower()


def test_a_docker_test_skips_with_a_reason_when_no_engine_answers(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    code, output = run_pytest(tmp_path, "-m", "docker", DOCKER_HOST="tcp://127.0.0.1:9")
    assert code == 0, output
    assert "test_suite.py::test_in_a_container: no Docker Engine answers" in output


@pytest.mark.parametrize("source", [SKIPS, "import pytest\npytest.importorskip('no_such_module_at_all')\n"])
def test_a_skip_fails_in_ci_and_is_listed_elsewhere(tmp_path: Path, source: str) -> None:
    (tmp_path / "test_suite.py").write_text(source)
    code, output = run_pytest(tmp_path, CI="true")
    assert code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED), output
    assert "which CI=true does not allow" in output
    code, output = run_pytest(tmp_path, CI="")
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), output
    assert "skipped tests" in output
