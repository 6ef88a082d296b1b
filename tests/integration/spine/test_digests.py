"""A spine that holds digests only: a change of the file is live without a restart, and a bad one changes nothing."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.spine_process import TOKENS, SpineFailed, SpineProcess

from contract.client import SpineClient
from contract.errors import Unauthorized
from contract.head_client import HeadClient
from contract.retry import ONCE

HEAD, OLD, NEW = "head-token-of-digests", "left-token-before", "left-token-after"


def write(path: Path, *named: tuple[str, str]) -> None:
    """Replace the file in one step, as whoever deploys does."""
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n" for name, token in named))
    os.replace(fresh, path)


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    path = tmp_path / "digests"
    write(path, ("head", HEAD), ("left-claw", OLD))
    return path


@pytest.fixture
def spine(tmp_path: Path, digests: Path) -> Iterator[SpineProcess]:
    none = dict.fromkeys(TOKENS)
    server = SpineProcess(tmp_path / "spine", {**none, "SPINE_TOKEN_DIGESTS": str(digests)}).start()
    yield server
    assert server.stop() == 0


def is_taken(spine: SpineProcess, token: str) -> bool:
    try:
        SpineClient(spine.url, token, retry=ONCE).jobs()
    except Unauthorized:
        return False
    return True


def test_tokens_come_and_go_while_the_server_runs(spine: SpineProcess, digests: Path) -> None:
    assert [is_taken(spine, token) for token in (HEAD, OLD, NEW)] == [True, True, False]
    write(digests, ("head", HEAD), ("left-claw", OLD), ("left-claw", NEW), ("build-box", "token-of-build-box"))
    eventually(lambda: is_taken(spine, NEW), what="the new token")
    assert is_taken(spine, OLD)
    head = SpineClient(spine.url, HEAD, retry=ONCE)
    assert head.submit({"target": "build-box", "spec": "a new claw is a new target"}).status == "queued"
    write(digests, ("head", HEAD), ("left-claw", NEW))
    eventually(lambda: not is_taken(spine, OLD), what="the end of the old token")
    assert is_taken(spine, NEW)


@pytest.mark.parametrize("content", ["left-claw " + "2" * 64 + "\n", "head nonsense\n", "", None])
def test_a_file_that_cannot_be_used_changes_nothing(spine: SpineProcess, digests: Path, content: str | None) -> None:
    if content is None:
        digests.unlink()
    else:
        digests.write_text(content)
    eventually(lambda: "tokens.refused" in spine.log_path.read_text(), what="a word in the log")
    assert is_taken(spine, HEAD)
    assert is_taken(spine, OLD)
    write(digests, ("head", HEAD), ("left-claw", NEW))
    eventually(lambda: is_taken(spine, NEW), what="the new token")
    assert not is_taken(spine, OLD)


def test_no_digest_and_no_token_is_in_the_log(spine: SpineProcess, digests: Path) -> None:
    write(digests, ("head", HEAD), ("left-claw", NEW))
    eventually(lambda: is_taken(spine, NEW), what="the new token")
    log = spine.log_path.read_text()
    for token in (HEAD, OLD, NEW):
        assert token not in log
        assert hashlib.sha256(token.encode()).hexdigest() not in log


def test_a_listed_claw_is_refused_once_its_machine_is_revoked(spine: SpineProcess) -> None:
    assert SpineClient(spine.url, OLD, worker_id="w-1", retry=ONCE).claim(wait=0) == []
    HeadClient(spine.url, HEAD, retry=ONCE).machine("left-claw", "revoke")
    assert not is_taken(spine, OLD)


def test_a_claws_line_is_no_way_to_a_role_of_its_name(spine: SpineProcess, digests: Path) -> None:
    """A claw could be called chat once: after an upgrade its token would see every job."""
    assert spine.stop() == 0
    with closing(sqlite3.connect(spine.data_dir / "spine.db")) as db, db:
        db.execute("INSERT INTO machines (name, first_seen, seen_at) VALUES ('chat', 1, 1)")
    write(digests, ("head", HEAD), ("left-claw", OLD), ("chat", "token-of-a-claw"))
    told = "SPINE_TOKEN_DIGESTS: chat stands for a role now, but is a claw in the store"
    with pytest.raises(SpineFailed, match=told):
        spine.start()
    assert spine.returncode == 78
    write(digests, ("head", HEAD), ("left-claw", OLD), ("chatty", "token-of-a-claw"))
    spine.start()
    write(digests, ("head", HEAD), ("left-claw", NEW), ("chat", "token-of-a-claw"))
    eventually(lambda: "tokens.refused" in spine.log(), what="a word in the log")
    assert [is_taken(spine, token) for token in (HEAD, OLD, NEW)] == [True, True, False]
    assert SpineClient(spine.url, "token-of-a-claw", worker_id="w-1", retry=ONCE).claim(wait=0) == []
    assert spine.log().count("tokens.refused") == 1
    # As the word says; the file may be right before the claw is revoked.
    write(digests, ("head", HEAD), ("left-claw", OLD), ("chatty", "token-of-a-claw"), ("chat", "token-of-a-front"))
    HeadClient(spine.url, HEAD, retry=ONCE).machine("chat", "revoke")
    eventually(lambda: is_taken(spine, "token-of-a-front"), what="the front's token")
