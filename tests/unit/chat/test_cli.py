"""The command without the extra: its help and the gateway's hook are there, and what needs the extra says so."""

import subprocess
import sys

import pytest
from tests.support.spine_process import REPO

WITHOUT = """
import sys
sys.modules["discord"] = sys.modules["aiohttp"] = None
from chat.cli import main
sys.argv = ["spine-chat", *sys.argv[1:]]
main()
"""
ENV = {"PYTHONPATH": str(REPO / "services"), "SPINE_TOKEN": "t", "DISCORD_TOKEN": "d", "ALLOWED_USER_ID": "7"}


def without_the_extra(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", WITHOUT, *words], env=ENV, capture_output=True, text=True, timeout=180)


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_what_needs_the_extra_names_it(command: str) -> None:
    done = without_the_extra(command)
    fix = "install the extra chat, as in: pip install 'spinal-cord[chat]'"
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"spine-chat: discord.py is not installed; {fix}\n"


@pytest.mark.parametrize(
    "words", [("--help",), ("run", "--help"), ("hook", "install", "--help"), ("completion", "bash")]
)
def test_what_does_not_is_there(words: tuple[str, ...]) -> None:
    assert without_the_extra(*words).returncode == 0
