"""The skill document in an agent's folder."""

import json
from pathlib import Path
from types import SimpleNamespace

from tests.integration.claw.conftest import Claw


def test_it_is_installed_where_an_agent_looks_and_refreshed_when_it_must_be(claw: Claw) -> None:
    done = claw.cli("skill", "install")
    path = claw.folder / ".openclaw" / "skills" / "spinal-cord" / "SKILL.md"
    assert (done.returncode, done.stdout.split()[0]) == (0, str(path))
    text = path.read_text()
    assert "spine" in text
    assert claw.token not in text + (claw.state / "skill.json").read_text() + done.stdout
    written = path.stat().st_mtime_ns, path.stat().st_ino
    assert claw.cli("skill", "refresh").stdout == f"{path} is up to date.\n"
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    path.write_text("something else")
    assert claw.cli("skill", "refresh").stdout == f"{path} is new.\n"
    assert path.read_text() == text
    path.unlink()
    assert claw.cli("skill", "refresh").returncode == 0
    assert path.read_text() == text


def test_another_document_replaces_it(claw: Claw) -> None:
    claw.cli("skill", "install")
    note = claw.state / "skill.json"
    known = json.loads(note.read_text())
    note.write_text(json.dumps(known | {"etag": '"of-another-one"'}))
    assert claw.cli("skill", "refresh").stdout.endswith("SKILL.md is new.\n")
    assert json.loads(note.read_text()) == known


def test_another_folder(claw: Claw, tmp_path: Path) -> None:
    assert claw.cli("skill", "install", "--dir", str(tmp_path / "skills")).returncode == 0
    assert (tmp_path / "skills" / "spinal-cord" / "SKILL.md").exists()
    assert claw.cli("skill", "refresh").stdout.startswith(str(tmp_path / "skills"))


def test_what_goes_wrong_changes_nothing(claw: Claw, tmp_path: Path) -> None:
    assert claw.cli("skill", "refresh").returncode == 78
    (tmp_path / "file").touch()
    assert claw.cli("skill", "install", "--dir", str(tmp_path / "file")).returncode == 73
    claw.cli("skill", "install")
    path = claw.folder / ".openclaw" / "skills" / "spinal-cord" / "SKILL.md"
    before = path.read_text()
    claw.spine = SimpleNamespace(url="http://127.0.0.1:1")  # type: ignore[assignment]
    assert claw.cli("skill", "refresh").returncode == 69
    assert path.read_text() == before
