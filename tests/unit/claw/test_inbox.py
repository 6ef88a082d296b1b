"""What a claw keeps of what it was told."""

import stat
import threading
from pathlib import Path

import pytest

from claw.inbox import Inbox, listener
from contract.errors import Unavailable
from contract.wire import Message

NOW = 1_700_000_000_000


def message(number: int, kind: str = "text", priority: int = 0, expires_at: str | None = None) -> Message:
    return Message(
        id=f"msg_{number}",
        at=f"2023-01-01T00:00:0{number}.000Z",
        by="head",
        to="left-claw",
        kind=kind,
        text=f"number {number}",
        priority=priority,
        thread=f"msg_{number}",
        reply_to=None,
        job_id=None,
        expires_at=expires_at,
    )


def test_messages_are_kept_once_and_privately(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert inbox.messages(NOW) == []
    assert inbox.keep([message(1), message(2)]) == ["msg_1", "msg_2"]
    assert inbox.keep([message(1)]) == ["msg_1"]
    assert [m.text for m in inbox.messages(NOW)] == ["number 1", "number 2"]
    assert stat.S_IMODE(inbox.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in inbox.folder.iterdir()} == {0o600}


def test_the_order_is_that_of_the_spine_and_what_is_over_goes(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    over, lasting = "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.000Z"
    inbox.keep([message(1), message(2, priority=5), message(3, "fact"), message(4, "constraint", expires_at=lasting)])
    inbox.keep([message(5, "decision", expires_at=over)])
    assert [m.id for m in inbox.messages(NOW)] == ["msg_4", "msg_3", "msg_2", "msg_1"]
    assert not (inbox.folder / "msg_5.json").exists()


def test_a_file_that_cannot_be_read_hinders_no_other(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.keep([message(1)])
    (inbox.folder / "msg_0.json").write_bytes(b"{")
    assert [m.id for m in inbox.messages(NOW)] == ["msg_1"]


def test_an_id_leads_nowhere_else(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    (tmp_path / "secret.json").write_text("x")
    assert not inbox.drop("../secret")
    inbox.keep([message(1)])
    assert inbox.drop("msg_1")
    assert not inbox.drop("msg_1")
    assert (tmp_path / "secret.json").exists()


def test_only_what_is_on_disk_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, told, done = Inbox(tmp_path), [], threading.Event()

    def acknowledge(message_id: str) -> None:
        assert (inbox.folder / f"{message_id}.json").exists()
        told.append(message_id)
        if message_id == "msg_1":
            raise Unavailable("no answer")
        done.set()

    listener(inbox, acknowledge)([message(1), message(2)])
    assert done.wait(10)
    assert told == ["msg_1", "msg_2"]
    (tmp_path / "file").write_text("not a folder")
    broken = Inbox(tmp_path / "file")
    assert broken.keep([message(3)]) == []
