"""The newest primary that was seen, and those that are refused for it."""

from pathlib import Path

import pytest

from spine.store.engine import StoreUnusable
from spine.store.lineage import Lineage, Newest, NotBelieved


def test_the_first_server_is_believed_and_is_no_news(tmp_path: Path) -> None:
    newest = Newest(tmp_path / "lineage.json")
    assert newest.admit(Lineage(7, 1)) is False
    assert newest.admit(Lineage(7, 1)) is False
    assert newest.seen == Lineage(7, 1)


def test_a_newer_timeline_is_news_and_leaves_the_older_one_behind() -> None:
    newest = Newest()
    newest.admit(Lineage(7, 1))
    assert newest.trails(Lineage(7, 2))
    assert newest.admit(Lineage(7, 2)) is True
    assert newest.outruns(Lineage(7, 1))
    assert not newest.outruns(Lineage(7, 2))
    with pytest.raises(NotBelieved, match=r"old primary \(on timeline 1, while 2 was seen\).*start the spine again"):
        newest.admit(Lineage(7, 1))
    assert newest.seen == Lineage(7, 2)


def test_the_next_process_refuses_the_old_primary_too(tmp_path: Path) -> None:
    path = tmp_path / "lineage.json"
    newest = Newest(path)
    newest.admit(Lineage(7713238674319163408, 1))
    newest.admit(Lineage(7713238674319163408, 12))
    again = Newest(path)
    assert again.seen == Lineage(7713238674319163408, 12)
    with pytest.raises(NotBelieved, match=r"lineage\.json and start the spine again"):
        again.admit(Lineage(7713238674319163408, 11))


def test_another_cluster_is_refused_whatever_its_timeline(tmp_path: Path) -> None:
    newest = Newest(tmp_path / "lineage.json")
    newest.admit(Lineage(7, 3))
    for timeline in (2, 3, 4):
        with pytest.raises(NotBelieved, match=r"another cluster .system identifier 8, not 7.*lineage\.json"):
            newest.admit(Lineage(8, timeline))
    assert newest.seen == Lineage(7, 3)


@pytest.mark.parametrize("content", [b"", b"{", b'{"system": 7}', b'{"system": "7", "timeline": 1}'])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lineage.json").write_bytes(content)
    with pytest.raises(StoreUnusable, match=r"lineage\.json.*cannot be read"):
        Newest(tmp_path / "lineage.json")


def test_what_cannot_be_kept_holds_for_the_process(tmp_path: Path) -> None:
    newest = Newest(tmp_path / "missing" / "lineage.json")
    newest.admit(Lineage(7, 2))
    with pytest.raises(NotBelieved):
        newest.admit(Lineage(7, 1))
