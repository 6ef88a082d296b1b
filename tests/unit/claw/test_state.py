"""The journal on disk."""

from pathlib import Path

import pytest

from claw import outcome
from claw.state import ClaimTry, Held, Journal, safe_name
from claw.workspace import work_branch


def held(**more: object) -> Held:
    claim = ClaimTry(key="k", targets=None, capabilities=["shell"], wait=2.0)
    return Held(claim=claim, **more)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "state")
    made.open()
    return made


def test_what_is_saved_is_loaded(journal: Journal) -> None:
    journal.save(held(job_id="j1", fence=3, phase=1, outcome=outcome.complete({"notes": "é"})))
    loaded, note = journal.load()
    assert note is None
    assert loaded is not None
    assert (loaded.job_id, loaded.fence, loaded.phase) == ("j1", 3, 1)
    assert loaded.outcome == outcome.complete({"notes": "é"})
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in journal.folder.iterdir()) == ["current-job.json"]


def test_nothing_is_held_at_first_and_after_clearing(journal: Journal) -> None:
    assert journal.load() == (None, None)
    journal.save(held())
    journal.clear()
    journal.clear()
    assert journal.load() == (None, None)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"version": 1}', b'{"version": 9, "claim": {}}', b"[" * 99_999]
)
def test_a_broken_file_is_set_aside(journal: Journal, content: bytes) -> None:
    journal.path.write_bytes(content)
    loaded, note = journal.load()
    assert loaded is None
    assert note is not None
    assert not journal.path.exists()
    aside = list(journal.folder.glob("current-job.json.broken-*"))
    assert [path.read_bytes() for path in aside] == [content]
    assert journal.load() == (None, None)


def test_two_broken_files_in_one_second_are_both_kept(journal: Journal) -> None:
    for content in (b"{", b"["):
        journal.path.write_bytes(content)
        journal.load()
    assert len(list(journal.folder.glob("current-job.json.broken-*"))) == 2


def test_peeking_changes_nothing(journal: Journal) -> None:
    journal.path.write_bytes(b"{")
    assert journal.peek()[0] is None
    assert journal.path.read_bytes() == b"{"


def test_the_lock_is_held_by_one(journal: Journal) -> None:
    with journal.lock() as first, Journal(journal.folder).lock() as second:
        assert (first, second) == (True, False)
    with journal.lock() as again:
        assert again


def test_a_refused_report_is_kept_with_its_reason(journal: Journal) -> None:
    journal.save(held(job_id="j1", fence=2))
    path = journal.keep_undelivered(held(job_id="j1", fence=2), "gone: no such job")
    assert path == journal.folder / "undelivered" / "j1-2.json"
    assert '"reason": "gone: no such job"' in path.read_text()
    assert journal.keep_undelivered(held(job_id="j1", fence=2), "again").name == "j1-2.json.2"


def test_the_worker_id_is_made_once(journal: Journal) -> None:
    first = journal.worker_id("My Mac.local")
    assert first.startswith("my-mac.local-")
    assert Journal(journal.folder).worker_id("other") == first


@pytest.mark.parametrize(
    ("text", "name"),
    [("abc-1_2", "abc-1_2"), ("../../etc", "-..-etc"), ("a/b c", "a-b-c"), ("", "x"), ("..", "x"), ("ü", "-")],
)
def test_an_id_becomes_a_harmless_file_name(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_the_work_branch_is_named_by_the_job() -> None:
    assert work_branch(held(job_id="abc")) == "spine/job-abc"
