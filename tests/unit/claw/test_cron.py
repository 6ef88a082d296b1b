"""The entries for schedulers: exact texts, and a crontab line that is run as cron would."""

import json
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from claw import cron
from claw.cli import cli

SERVICES = str(Path(__file__).resolve().parents[3] / "services")
WORDS = ["/opt/spinal-cord/current/venv/bin/claw", "tick"]
ENV = {"PATH": "/usr/local/bin:/usr/bin", "CLAW_STATE_DIR": "/srv/my claw/100%"}


def test_a_crontab_line() -> None:
    assert cron.crontab(WORDS, {"PATH": "/usr/bin"}, 1) == (
        "* * * * * CLAW_LOG_LEVEL=warning PATH=/usr/bin /opt/spinal-cord/current/venv/bin/claw tick\n"
    )
    assert cron.crontab([*WORDS, "--mode", "phases"], ENV, 5) == (
        "*/5 * * * * CLAW_LOG_LEVEL=warning PATH=/usr/local/bin:/usr/bin CLAW_STATE_DIR='/srv/my claw/100\\%' "
        "/opt/spinal-cord/current/venv/bin/claw tick --mode phases\n"
    )


def test_a_property_list() -> None:
    assert plistlib.loads(cron.launchd(WORDS, ENV, 2, Path("/Users/x/Library/Logs/spinal-cord")).encode()) == {
        "Label": "org.spinal-cord.claw-tick",
        "ProgramArguments": WORDS,
        "EnvironmentVariables": ENV,
        "StartInterval": 120,
        "RunAtLoad": True,
        "AbandonProcessGroup": True,
        "ProcessType": "Background",
        "Umask": 63,
        "StandardOutPath": "/Users/x/Library/Logs/spinal-cord/claw-tick.log",
        "StandardErrorPath": "/Users/x/Library/Logs/spinal-cord/claw-tick.log",
    }


def test_a_command_for_openclaw() -> None:
    words = shlex.split(cron.openclaw(WORDS, ENV, 1))
    assert words[:7] == ["openclaw", "cron", "create", "* * * * *", "--name", "spinal-claw tick", "--command-argv"]
    assert json.loads(words[7]) == [
        "/usr/bin/env",
        "PATH=/usr/local/bin:/usr/bin",
        "CLAW_STATE_DIR=/srv/my claw/100%",
        *WORDS,
    ]
    assert words[8:] == ["--no-deliver"]


def test_the_program_is_named_by_its_path_and_a_link_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "claw").touch()
    (tmp_path / "current").symlink_to("releases")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "current" / "claw"), "cron-entry"])
    assert cron.program() == [str(tmp_path / "current" / "claw")]
    monkeypatch.setattr(sys, "argv", ["/somewhere/claw/cli.py"])
    assert cron.program() == [sys.executable, "-m", "claw.cli"]


def ask(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "claw.cli", "cron-entry", *words],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": SERVICES, **env},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_line_works_with_as_little_as_cron_gives(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    state.mkdir()
    settings = tmp_path / "settings"
    settings.write_text(f"SPINE_TOKEN=secret-of-claw-1\nSPINE_BASE_URL=http://127.0.0.1:9\nPYTHONPATH={SERVICES}\n")
    said = ask("--env-file", str(settings), HOME=str(tmp_path), CLAW_STATE_DIR=str(state))
    assert (said.returncode, said.stderr) == (0, "Add it with: crontab -e\n")
    assert "secret" not in said.stdout
    command = said.stdout.removeprefix("* * * * * ").replace(r"\%", "%")
    cron_env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    done = subprocess.run(["/bin/sh", "-c", command], env=cron_env, capture_output=True, text=True, timeout=180)
    # It has run, in the state folder that was meant: no spine answers there.
    assert done.returncode == 69, done.stderr
    assert (state / "lock").exists()


def test_settings_that_a_scheduler_would_not_see_are_named(tmp_path: Path) -> None:
    state = tmp_path / ".spine"
    state.mkdir()
    (state / "claw.env").write_text("SPINE_TOKEN=abc\n")
    (state / "claw.env").chmod(0o600)
    said = ask(HOME=str(tmp_path), SPINE_TOKEN="another-secret", CLAW_TARGETS="any", CLAW_NAME="me")
    assert said.stderr.splitlines()[1:] == [
        f"claw: a scheduler does not see CLAW_NAME, CLAW_TARGETS: set them in {state}/claw.env, or --env-file"
    ]
    assert "secret" not in said.stdout + said.stderr
    assert "CLAW_STATE_DIR" not in said.stdout


def test_launchd_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "settings").touch()
    done = CliRunner().invoke(cli, ["cron-entry", "--for", "launchd", "--env-file", str(tmp_path / "settings")])
    assert done.exit_code == 2
    assert "launchd/install.sh" in done.output
