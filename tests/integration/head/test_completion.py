"""A real shell completes the programs' commands, options and names."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.head.conftest import SECONDS, Head
from tests.support.eventually import eventually

MODULES = {
    "spine": "spine.cli",
    "claw": "claw.cli",
    "spine-head": "head.cli",
    "spine-cluster": "cluster.cli",
    "spine-dispatch": "dispatch.cli",
}
TAB = """\
set -eu
eval "$({program} completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
{function} {program}
printf '%s\\n' "${{COMPREPLY[@]-}}"
complete -p {program}
"""


@pytest.fixture
def shell(head: Head, tmp_path: Path) -> Head:
    """The programs stand in the PATH of whoever sits at the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program, module in MODULES.items():
        (folder / program).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (folder / program).chmod(0o755)
    head.env["PATH"] = f"{folder}:{head.env['PATH']}"
    return head


def tab(shell: Head, *words: str, **env: str) -> list[str]:
    """Type words and press Tab in bash; return what it offers."""
    function = f"_{words[0].replace('-', '_')}_completion"
    typed = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB.format(program=words[0], words=typed, function=function)],
        env=shell.env | env,
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *offered, registered = done.stdout.splitlines()
    assert registered == f"complete -o nosort -F {function} {words[0]}"
    return [word for word in offered if word]


def test_bash_completes_what_is_typed(shell: Head) -> None:
    assert tab(shell, "spine-head", "re") == ["reject", "retry", "review"]
    assert tab(shell, "spine-head", "watch", "--o") == ["--once"]
    assert tab(shell, "spine", "ser") == ["serve"]
    assert tab(shell, "claw", "do") == ["doctor"]
    assert tab(shell, "spine-cluster", "ele") == ["elect"]
    assert tab(shell, "spine-dispatch", "status", "--l") == ["--label"]
    # What takes a busy machine more than a second is not offered: then it is pressed again.
    mine, other = shell.submit("one"), shell.submit("two", "--label", "$(touch evil)")
    found = eventually(lambda: tab(shell, "spine-head", "watch", mine, ""), seconds=SECONDS, what="ids of jobs")
    assert (other in found, mine in found) == (True, False)
    found = eventually(lambda: tab(shell, "spine-head", "submit", "-t", "a"), seconds=SECONDS, what="targets")
    assert found == ["any"]
    assert not (shell.home / "evil").exists()


def test_without_a_spine_nothing_is_offered_and_nothing_is_said(shell: Head) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert tab(shell, "spine-head", "show", "", SPINE_BASE_URL=address) == []
    assert tab(shell, "spine-head", "show", "", SPINE_TOKEN="") == []


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(shell: Head, name: str) -> None:
    script = shell.run("completion", name).stdout
    assert f"_SPINE_HEAD_COMPLETE={name}_complete" in script
    found = shutil.which(name)
    if found is not None:  # else the text is all that can be looked at
        file = shell.home / "script"
        file.write_text(script)
        subprocess.run([found, "--no-execute", str(file)], check=True, timeout=SECONDS)


def test_the_address_of_a_page(head: Head) -> None:
    base = head.env["SPINE_BASE_URL"]
    assert head.run("open", "--print").stdout == f"{base}/ui\n"
    assert head.run("open", "j1", DISPLAY=":0", SSH_CONNECTION="a b c d").stdout == f"{base}/ui/jobs/j1\n"
    other = head.run("open", "a/b", "--url", "https://me:secret@fleet.example/x/", "--print").stdout
    assert other == "https://fleet.example/x/ui/jobs/a%2Fb\n"
    assert "--url" in head.run("open", "--url", "fleet.example", code=78).stderr
