"""The ledger under what may befall it: many writers, broken files, other programs' edits, a disk that takes nothing."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway

from dispatch.faults import Fault
from dispatch.ledger import Ledger, stamp

GOOD = '{"work_complete": true}'


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway
        gateway.wake()


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def test_sixteen_done_at_once_keep_sixteen(desk: Dispatching) -> None:
    """W7: the reference kept 11."""
    desk.write(**{f"L{n}": {"status": "running", "sessionKey": "agent:main:subagent:x", "mine": n} for n in range(16)})
    children = [
        desk.process("done", "--label", f"L{n}", "--checklist", GOOD, "--skip-activity-check", "--summary", f"s{n}")
        for n in range(16)
    ]
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, (out, err)
    kept = json.loads(desk.labels.read_text())
    assert {label: (entry["status"], entry["summary"], entry["mine"]) for label, entry in kept.items()} == {
        f"L{n}": ("done", f"s{n}", n) for n in range(16)
    }


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"a": 5}', "\xff\xfe", '{"a": {}} trailing'])
def test_a_broken_ledger_is_set_aside_and_the_copy_before_is_used(tmp_path: Path, broken: str) -> None:
    """W8: the reference took it for empty, and the next write erased every label."""
    told: list[str] = []
    ledger = Ledger(tmp_path / "labels.json", told.append)
    ledger.change(lambda entries: entries.update(a={"status": "done"}, b={"status": "running"}))
    ledger.change(lambda entries: entries["b"].update(status="done"))
    ledger.path.write_bytes(broken.encode("latin-1"))
    assert ledger.read() == {"a": {"status": "done"}, "b": {"status": "running"}}
    aside = [path for path in tmp_path.iterdir() if ".corrupt-" in path.name]
    assert [path.read_bytes() for path in aside] == [broken.encode("latin-1")]
    assert len(told) == 1
    assert aside[0].name in told[0]
    assert "the copy before it is used (2 labels)" in told[0]
    assert json.loads(ledger.path.read_text()) == ledger.read()


def test_two_broken_copies_leave_none_and_erase_neither(tmp_path: Path) -> None:
    told: list[str] = []
    ledger = Ledger(tmp_path / "labels.json", told.append)
    ledger.path.write_text("{")
    assert ledger.read() == {}
    assert "there is no copy before" in told[0]
    assert [path.read_text() for path in tmp_path.iterdir() if ".corrupt-" in path.name] == ["{"]


def test_what_others_write_stays(desk: Dispatching) -> None:
    desk.call("enqueue", "--label", "L", "--message", "x")
    desk.edit("L", theirs={"deep": [1]}, retryCount="two")
    found = json.loads(desk.labels.read_text())
    desk.labels.write_text(json.dumps({**found, "M": {"status": "done", "odd": 1}}))
    assert desk.call("enqueue", "--label", "N", "--message", "x").code == 0
    assert desk.entry("L")["theirs"] == {"deep": [1]}
    assert "retryCount" not in desk.entry("L"), "a field of a wrong type counts as absent"
    assert desk.entry("M") == {"status": "done", "odd": 1}


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "labels.json")
    ledger.change(lambda entries: entries.update(a={"status": "done"}))
    before = ledger.path.read_bytes()

    def fail(entries: dict[str, dict[str, object]]) -> None:
        entries.clear()
        raise Fault("no")

    with pytest.raises(Fault):
        ledger.change(fail)
    assert ledger.path.read_bytes() == before


def test_threads_lose_no_change(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "labels.json")
    threads = [
        threading.Thread(target=ledger.change, args=(lambda entries, n=n: entries.update({str(n): {}}),))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ledger.read(), key=int) == [str(n) for n in range(16)]


def test_a_disk_that_takes_nothing(fake: FakeGateway, desk: Dispatching) -> None:
    """On a full or read-only disk nothing is begun, and reading goes on."""
    desk.write(L={"status": "done", "updatedAt": stamp()})
    (desk.home / "labels").write_text("no folder")
    ran = desk.call("enqueue", "--label", "M", "--message", "x")
    assert (ran.code, ran.answer["code"], fake.told("agent")) == (1, "storage", [])
    assert list(json.loads(desk.labels.read_text())) == ["L"]
    (desk.home / "labels").unlink()
    lock = desk.home / "labels.json.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    ran = desk.call("enqueue", "--label", "M", "--message", "x")
    assert (ran.code, ran.answer["code"], fake.told("agent")) == (1, "ledger", [])
    assert "nothing was changed" in ran.err
    assert desk.call("list").answer["count"] == 1


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare for a read-only mount"
)
def test_a_ledger_on_a_read_only_disk(fake: FakeGateway, desk: Dispatching) -> None:
    desk.write(L={"status": "done", "updatedAt": stamp()})
    import subprocess
    import sys

    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    words = ["enqueue", "--label", "M", "--message", "x"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(desk.home), sys.executable, "-m", "dispatch.cli", *words],
        env={**os.environ, **desk.environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "mount" in done.stderr and done.returncode == 32:
        pytest.skip("this machine lets nobody mount, not even root")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert fake.told("agent") == []


@pytest.mark.parametrize("point", ["dispatch.kept", "dispatch.accepted"])
def test_killed_between_keeping_and_accepting(fake: FakeGateway, desk: Dispatching, tmp_path: Path, point: str) -> None:
    reached = tmp_path / "reached"
    environ = {"SPINE_KILL_POINT": point, "SPINE_KILL_POINT_FILE": str(reached)}
    with desk.process("enqueue", "--label", "L", "--message", "the whole task", **environ) as child:
        eventually(lambda: reached.exists() and reached.read_text(), what=point)
        child.kill()
        child.communicate(timeout=30)
    entry = desk.entry("L")
    assert (entry["status"], entry["attempt"], entry["runId"]) == ("starting", 1, entry["idempotencyKey"])
    prompt = desk.desk().keeping("L").prompt()
    assert prompt is not None
    assert "the whole task" in prompt
    began = point == "dispatch.accepted"
    assert len(fake.told("agent")) == int(began)
    # Nobody knows of it but the ledger: the next watcher sees it to its end, and begins it when nobody had.
    old = stamp(0) if not began else entry["dispatchedAt"]
    desk.edit("L", dispatchedAt=old)
    assert desk.run("watch", "--label", "L", "--poll-interval", "1").code == 0
    assert desk.entry("L")["status"] == "done"
    assert [call["message"] for call in fake.told("agent")] == [prompt]
