"""Finding files to upload."""

from pathlib import Path

from claw.runner.artifacts import find


def test_only_regular_files_inside_are_found(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "workspace", tmp_path / "outside"
    (workspace / "out" / "deep").mkdir(parents=True)
    (workspace / ".git").mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("s")
    for name in ("out/a.txt", "out/deep/b.txt", "c.txt", ".git/d.txt"):
        (workspace / name).write_text("x")
    (workspace / "out" / "link.txt").symlink_to(outside / "secret.txt")
    (workspace / "linked").symlink_to(outside)
    (workspace / "inner.txt").symlink_to(workspace / "c.txt")
    found = [str(path) for path in find(workspace, ("out/*.txt", "**/*.txt", "linked/*", "out"))]
    assert found == ["c.txt", "out/a.txt", "out/deep/b.txt"]


def test_a_workspace_behind_a_link_is_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("x")
    (tmp_path / "way").symlink_to(tmp_path / "real")
    assert find(tmp_path / "way", ("a",)) == [Path("a")]
