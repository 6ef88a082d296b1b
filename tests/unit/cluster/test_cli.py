"""`spine-cluster`: what a person is told, and the exit codes, where no store answers or is needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from tests.support.spine_process import free_port

from cluster import cli, words
from cluster.backend import Event


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(cli.cli, words, env=env)


def nowhere() -> dict[str, str]:
    return {"SPINE_TOKEN": "token-0001", "SPINE_BASE_URL": f"http://127.0.0.1:{free_port()}"}


def test_a_setting_that_cannot_be_used_is_one_line_each() -> None:
    done = run("status", SPINE_TOKEN="t", REDIS_PORT="x", OPENCLAW_NODE_ID="a b")
    assert done.exit_code == 78
    assert done.stderr.splitlines() == [
        "spine-cluster: REDIS_PORT: 'x' is not a whole number; give one from 1 to 65535",
        "spine-cluster: OPENCLAW_NODE_ID: 'a b' is no node id; use 1 to 64 letters, digits, '.', '_' or '-', a letter "
        "or digit first",
    ]


@pytest.mark.parametrize(
    "words", [("status",), ("nodes", "--json"), ("elect",), ("join", "n1"), ("leave",), ("watch",)]
)
def test_a_store_that_is_away_is_told_of(words: tuple[str, ...]) -> None:
    done = run(*words, **nowhere())
    assert done.exit_code == 69
    assert done.stderr.startswith("spine-cluster: ")
    assert "is the store running" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_is_one_line_also_in_a_process_of_its_own() -> None:
    env = {**os.environ, **nowhere()}
    done = subprocess.run([sys.executable, "-m", "cluster.cli", "status"], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (69, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_wrong_arguments_are_usage() -> None:
    assert run("start", "a", "b", "c").exit_code == 2
    assert run("nosuch").exit_code == 2
    assert run("cron-entry", "--every", "soon").exit_code == 2
    assert run("start", "n1", "gone.json", SPINE_TOKEN="t").exit_code == 78


@pytest.mark.parametrize("every", ["10s", "1m", "2h"])
def test_the_cron_line_is_openclaws(every: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/opt/my tools/spine-cluster")
    assert run("cron-entry", "--every", every, "--agent", "other").output == (
        f"openclaw cron add --name distributed-node-heartbeat --every {every} "
        "--system-event 'EXEC: '\"'\"'/opt/my tools/spine-cluster'\"'\"' heartbeat --once' --agent other\n"
    )


def test_the_cron_line_leads_to_the_node_and_to_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/bin/spine-cluster")
    (tmp_path / "config").mkdir()
    assert f"'EXEC: env CLAWSTER_CONFIG_DIR={tmp_path}/config /bin/spine-cluster heartbeat n1 --once'" in (
        run("cron-entry", "n1").output
    )
    assert "'EXEC: env CLAWSTER_CONFIG_DIR=/there /bin/spine-cluster heartbeat --once'" in (
        run("cron-entry", CLAWSTER_CONFIG_DIR="/there").output
    )


def test_an_event_is_a_line_with_its_time() -> None:
    event = Event("1-0", 1_760_000_000_123, "cluster.node_left", {"node_id": "n1", "reason": "left\x1b"})
    assert words.event(event) == "2025-10-09T08:53:20.123Z cluster.node_left node_id=n1 reason=left?"


def test_help_names_every_command_and_exit_code() -> None:
    text = run("--help").output
    for word in ("status", "nodes", "elect", "join", "leave", "start", "heartbeat", "watch", "cron-entry", "130"):
        assert word in text
