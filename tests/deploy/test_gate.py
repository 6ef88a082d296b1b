"""The rules that tests/conftest.py lays on every test, seen from outside on a small suite of their own."""

import os
import re
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

@pytest.mark.gateway
def test_on_a_gateway():
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
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take a second to load
    plugins = ["-p", "pytest_timeout", "-p", "xdist.plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, *arguments, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout


@pytest.mark.parametrize("processes", ["0", "2"])
def test_without_an_engine_what_is_left_out_is_said_loudly(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    roles = {"SPINE_HEAD_TOKEN": "x", "LEFT_CLAW_TOKEN": "x", "KEPT": "1"}
    code, output = run_pytest(tmp_path, "-n", processes, "-m", "not docker and not gateway", CI="true", **roles)
    assert code == 0, output
    assert re.search(r"^=+ 1 passed(, 3 deselected)? in ", output, re.MULTILINE), output
    assert "1 TESTS WERE LEFT OUT: THEY NEED A DOCKER ENGINE." in output
    assert "make engine" in output.lower()
    assert "1 TESTS WERE LEFT OUT: THEY NEED AN OPENCLAW GATEWAY." in output
    assert "make gateway" in output.lower()


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


CASES = """
import pytest

@pytest.mark.parametrize("case", ["one", "two", "three"])
def test_with_cases(case):
    assert case == "one"

class TestInAClass:
    @pytest.mark.parametrize("case", [0, 1])
    def test_with_cases(self, case):
        assert case == 0

def test_without():
    pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_of_a_test_with_cases_the_first_is_run_alone_where_that_is_asked_for(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_suite.py").write_text(CASES)
    code, output = run_pytest(tmp_path, "-n", processes, "--first-cases")
    assert code == 0, output
    assert re.search(r"^=+ 3 passed(, 3 deselected)? in ", output, re.MULTILINE), output
    assert re.search(r"^=+ 3 failed, 3 passed in ", run_pytest(tmp_path, "-n", processes)[1], re.MULTILINE)


ORDER = """
import os
from pathlib import Path

def test_one():
    with Path("order").open("a") as out:
        out.write(os.environ["PYTEST_CURRENT_TEST"].split("::")[0] + " " + os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_the_long_lanes_come_first_and_each_has_one_process(tmp_path: Path) -> None:
    names = [
        "acceptance/test_a.py",
        "deploy/test_bare_machine.py",
        "deploy/test_locks.py",
        "e2e/test_b.py",
        "e2e/test_c.py",
    ]
    for name in names:
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ORDER)
    code, output = run_pytest(tmp_path, "-n", "1", "--dist", "loadfile")
    assert code == 0, output
    assert [line.split()[0] for line in (tmp_path / "order").read_text().splitlines()] == [
        *(f"tests/{name}" for name in (*names[1:], names[0]))
    ]
    (tmp_path / "order").unlink()
    code, output = run_pytest(tmp_path, "-n", "3", "--dist", "loadfile")
    assert code == 0, output
    worker = dict(line.split() for line in (tmp_path / "order").read_text().splitlines())
    assert worker["tests/deploy/test_bare_machine.py"] == worker["tests/deploy/test_locks.py"]
    assert worker["tests/e2e/test_b.py"] == worker["tests/e2e/test_c.py"]
    assert len(set(worker.values())) == 3
