"""A disk that fills up: 507, nothing acknowledged is lost, nothing half done, and it serves again."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, Api, multipart
from tests.support.server import MakeProcess, Server
from tests.support.spine_process import SpineProcess

BIG = "x" * 200_000
EXPECTED = ("store.batch_failed", "reaper.failed", "keeper.")


class Disk:
    """Room for one server: a small file system of its own, or a limit on the size of its files."""

    def __init__(self, spine: SpineProcess, fill: Callable[[], None], free: Callable[[], None]) -> None:
        self.spine, self.fill, self.free = spine, fill, free


def may_mount(folder: Path) -> bool:
    """Tell whether this process may mount a file system; leaves nothing behind."""
    if os.geteuid() != 0:
        return False
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return done.returncode == 0


@pytest.fixture(params=["a small disk", "a limit on files"])
def disk(request: pytest.FixtureRequest, process: MakeProcess, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "a limit on files":
        spine = process(CLAW_TOKENS="c1=token-of-c1").start()

        def limit(size: int) -> None:
            resource.prlimit(spine.worker_pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        yield Disk(spine, lambda: limit(600_000), lambda: limit(resource.RLIM_INFINITY))
        spine.kill9()
        return
    if not may_mount(tmp_path / "probe"):
        pytest.skip("may not mount a small file system; the limit on files stands in for it")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", small], check=True)
    try:
        ballast = small / "ballast"
        ballast.write_bytes(b"\x00" * 6_000_000)
        spine = process(SPINE_DATA_DIR=str(small / "data"), CLAW_TOKENS="c1=token-of-c1").start()
        yield Disk(spine, lambda: None, ballast.unlink)
    finally:
        spine.kill9()
        subprocess.run(["umount", small], check=True)


def full(answer: Answer) -> bool:
    if answer.status != 507:
        return False
    assert answer.error == "storage_full"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json["retryable"] is True
    return True


def fill_up(head: Api) -> list[str]:
    """Submit big jobs until the disk is full; return the ids that were acknowledged."""
    acknowledged: list[str] = []
    for _ in range(200):
        answer = head.post("/jobs", {"target": "c1", "spec": BIG})
        if full(answer):
            return acknowledged
        assert answer.status == 201, answer
        acknowledged.append(answer.json["id"])
    raise AssertionError("the disk did not fill up")


def listed(head: Api) -> list[str]:
    return [job["id"] for job in head.get("/jobs").json["jobs"]]


def test_a_full_disk(disk: Disk) -> None:
    server = Server(disk.spine)
    head, claw = server.head, server.claw("c1")
    held = head.submit(target="c1", spec="small")["id"]
    fence = claw.claim(held)["fence"]
    disk.fill()
    acknowledged = fill_up(head)

    # Full: reading goes on, what was acknowledged is there, what was refused is not.
    assert listed(head) == [held, *acknowledged]
    assert all(head.job(job_id)["spec"] == BIG for job_id in acknowledged[-3:])
    assert [e["jobId"] for e in head.events()].count(held) == 2
    assert server.nobody.get("/health").status == 200
    before = head.job(held)
    big: Any = {"fence": fence, "result": BIG}
    assert full(head.post("/jobs", {"spec": BIG}))
    assert full(claw.post(f"/jobs/{held}/complete", big))
    assert full(claw.post(f"/jobs/{held}/heartbeat", {"fence": fence, "progress": BIG}))
    assert full(claw.call("POST", f"/jobs/{held}/log?offset=0", BIG.encode(), {"X-Spine-Fence": str(fence)}))
    assert head.job(held) == before
    assert listed(head) == [held, *acknowledged]
    assert claw.get(f"/jobs/{held}/log").body == b""

    # Several at once: each is told its own truth.
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: head.post("/jobs", {"target": "c1", "spec": BIG[:4000]}), range(32)))
    assert {answer.status for answer in answers} <= {201, 507}
    acknowledged += [answer.json["id"] for answer in answers if answer.status == 201]
    assert sorted(listed(head)) == sorted([held, *acknowledged])

    # Room again: it serves without a restart.
    disk.free()
    eventually(lambda: head.get("/ready").status == 200)
    answer = claw.post(f"/jobs/{held}/complete", big)
    assert (answer.status, answer.json["result"]) == (200, BIG)
    acknowledged.append(head.submit(target="c1", spec=BIG)["id"])
    assert sorted(listed(head)) == sorted([held, *acknowledged])
    assert disk.spine.faults(*EXPECTED) == []

    # And the disk tells the same after a sudden end.
    disk.spine.kill9()
    disk.spine.start()
    assert sorted(listed(head)) == sorted([held, *acknowledged])
    assert head.job(held)["result"] == BIG
    assert all(head.job(job_id)["spec"] for job_id in acknowledged)
    assert disk.spine.stop() == 0


def test_a_blob_that_does_not_fit(disk: Disk) -> None:
    server = Server(disk.spine)
    claw, blobs = server.claw("c1"), disk.spine.data_dir / "blobs"
    small, headers = multipart(b"s" * 1000, "small")
    kept = claw.call("POST", "/blobs", small, headers).json
    disk.fill()
    body, headers = multipart(b"x" * 7_000_000)
    for _ in range(3):
        assert full(claw.call("POST", "/blobs", body, headers))
        eventually(lambda: not list((blobs / "tmp").iterdir()))
    assert len(list(blobs.glob("*/blob_*"))) == 1
    assert claw.get(kept["url"]).body == b"s" * 1000
    disk.free()
    answer = claw.call("POST", "/blobs", body, headers)
    assert (answer.status, answer.json["size"]) == (200, 7_000_000)
    assert claw.get(answer.json["url"]).body == b"x" * 7_000_000
    assert disk.spine.stop() == 0
