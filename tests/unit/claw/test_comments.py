"""What people say, as a file."""

import json
from pathlib import Path

from claw.runner.comments import CommentFile
from contract.wire import CommentRecord


def said(*texts: str) -> list[CommentRecord]:
    return [CommentRecord(t="2026-01-02T10:00:00.000Z", by="head", text=text) for text in texts]


def texts(path: Path) -> list[str]:
    return [json.loads(line).get("text", "(cut)") for line in path.read_text().splitlines()]


def test_each_comment_is_written_once_whatever_process_hears_of_it(tmp_path: Path) -> None:
    path = tmp_path / "comments.jsonl"
    first = CommentFile(path)
    assert path.read_bytes() == b""
    first.heed(said("a"))
    first.heed(said("a"))
    first.heed(said("a", "b\nc"))
    CommentFile(path).heed(said("a", "b\nc", "d"))
    assert texts(path) == ["a", "b\nc", "d"]
    assert json.loads(path.read_text().splitlines()[0]) == {
        "t": "2026-01-02T10:00:00.000Z",
        "by": "head",
        "text": "a",
    }


def test_a_file_that_is_full_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "comments.jsonl"
    comments = said("a" * 50, "b" * 50, "c")
    CommentFile(path, most_bytes=150).heed(comments)
    CommentFile(path, most_bytes=150).heed([*comments, *said("d")])
    assert texts(path) == ["a" * 50, "(cut)"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    path, victim = tmp_path / "comments.jsonl", tmp_path / "victim"
    comments = CommentFile(path)
    path.unlink()
    path.symlink_to(victim)
    comments.heed(said("a"))
    assert not victim.exists()
