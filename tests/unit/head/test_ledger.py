"""The file in which a loop keeps its place."""

import os
from pathlib import Path

import pytest

from head.ledger import Decision, Ledger, Place, Taken

DECIDED = Decision(job_id="j1", round=2, fence=3, decision="rework", text="again", key="loop-j1-2-3")


def test_what_is_saved_is_loaded_and_private(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state" / "head-loop.json")
    place = Place(cursor="abc", at="2026-03-01T12:00:00.000Z", listing=False, decided=DECIDED)
    with ledger.lock():
        ledger.save(place)
    assert ledger.load() == (place, None)
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(ledger.path.parent)) == ["head-loop.json", "head-loop.lock"]


def test_a_first_start_looks_at_the_list(tmp_path: Path) -> None:
    place, note = Ledger(tmp_path / "x.json").load()
    assert (place.cursor, place.listing, place.decided, note) == (None, True, None, None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"version": 2}', b'{"cursor": 1}', b"[" * 5000])
def test_a_broken_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    ledger = Ledger(tmp_path / "x.json")
    ledger.path.write_bytes(content)
    place, note = ledger.load()
    assert place == Place()
    assert "set aside" in (note or "")
    assert [path.read_bytes() for path in tmp_path.glob("x.json.broken-*")] == [content]
    assert not ledger.path.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "x.json")
    ledger.save(Place(cursor="old"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ledger.save(Place(cursor="new"))
    assert ledger.load()[0].cursor == "old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_one_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "x.json").lock():
        with pytest.raises(Taken), Ledger(tmp_path / "x.json").lock():
            pass
        with Ledger(tmp_path / "y.json").lock():
            pass
    with Ledger(tmp_path / "x.json").lock():
        pass


def test_the_place_of_the_head_that_led_before_wins(tmp_path: Path) -> None:
    place = Place(cursor="old", at="2026-03-01T12:00:00.000Z", listing=True, decided=DECIDED)
    kept = {"version": 1, "cursor": "new", "at": "2026-03-02T12:00:00.000Z", "listing": False}
    Ledger(tmp_path / "x.json").resume(place, kept)
    assert place == Place(cursor="new", at="2026-03-02T12:00:00.000Z", listing=False, decided=DECIDED)


@pytest.mark.parametrize(
    "kept", [None, "text", [], {}, {"cursor": 1}, {"version": 2, "cursor": "x", "at": "", "listing": False}]
)
def test_what_somebody_else_keeps_with_the_lease_changes_no_place(tmp_path: Path, kept: object) -> None:
    place = Place(cursor="own", at="2026-03-01T12:00:00.000Z", listing=False)
    Ledger(tmp_path / "x.json").resume(place, kept)
    assert place == Place(cursor="own", at="2026-03-01T12:00:00.000Z", listing=False)
