"""The script by which roles fetch the skill: what it keeps is the same from one moment to the next."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from spine.api.documents import Held, Standing, built_in_skill, joined, part
from spine.queue.access import Principal
from spine.settings import Settings

from .conftest import ROOT

TASKS = ROOT / "ansible" / "roles" / "host" / "tasks" / "skill.yml"
CLAW, HEAD = Principal("build-1", "claw"), Principal("head", "head")
MOMENTS = {
    "claw": (
        Standing(CLAW),
        Standing(CLAW, "draining", ("any", "build-1"), (Held("abc", 7, 2, 5), Held("def", 1, 1, 3))),
    ),
    "head": (
        Standing(HEAD),
        Standing(HEAD, paused=("any",), open_jobs=(("queued", 3), ("running", 1)), fleet=(("active", 2),)),
    ),
}
# Stands in for `claw skill install --dir FOLDER`, and hands over which token it found.
PROGRAM = """#!/bin/sh
mkdir -p "$4/spinal-cord" && cp "$DOCUMENT" "$4/spinal-cord/SKILL.md"
cat "$SPINE_TOKEN_FILE" >"$CLAW_STATE_DIR.token"
"""


def fetch(folder: Path, document: str) -> str:
    """Run the script as the role does; return what it printed."""
    (task,) = [task for task in yaml.safe_load(TASKS.read_text(encoding="utf-8")) if task["name"] == "Fetch the skill"]
    (folder / "document").write_text(document)
    program = folder / "program"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (folder / "settings").write_text(f'SPINE_BASE_URL="http://x"\nDOCUMENT="{folder}/document"\n')
    (folder / "token").write_text("the-token\n")
    words = [*task["ansible.builtin.command"]["argv"][:4], str(folder), f"{folder}/settings", f"{folder}/token"]
    done = subprocess.run(
        [*words, str(program), "skill", "install", "--dir"], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "state.token").read_text() == "the-token\n"
    return done.stdout


@pytest.mark.parametrize("who", MOMENTS)
def test_what_is_of_the_moment_is_left_out_and_nothing_else(tmp_path: Path, who: str) -> None:
    calm, busy = (joined(built_in_skill(), part(Settings(principals={}), standing), False) for standing in MOMENTS[who])
    assert fetch(tmp_path, calm) == "changed\n"
    kept = (tmp_path / "SKILL.md").read_text()
    assert fetch(tmp_path, busy) == ""
    assert (tmp_path / "SKILL.md").read_text() == kept
    gone = [line for line in calm.splitlines() if line and line not in kept.splitlines()]
    known = r"You hold no job now\.|Jobs that have not ended: .*|Machines that have been heard of: .*"
    assert [line for line in gone if not re.fullmatch(known, line)] == []
    assert "You are " in kept
    assert fetch(tmp_path, calm.replace("You are ", "You are now ")) == "changed\n"
    assert (tmp_path / "SKILL.md").stat().st_mode & 0o777 == 0o644
