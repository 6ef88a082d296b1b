"""A token that is changed while programs of the head run: they take the new one from its file, and go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.loop_process import LoopProcess
from tests.support.raw_http import Api
from tests.support.server import Server
from tests.support.spine_process import REPO, TOKENS, SpineProcess

pytestmark = pytest.mark.acceptance


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKENS["HEAD_TOKEN"] + "\n")
    return file


def rotate(spine: SpineProcess, token_file: Path) -> Api:
    """Give the head another token; return the head with it."""
    assert spine.stop() == 0
    token_file.write_text("another-token-of-the-head\n")
    spine.start(HEAD_TOKEN="another-token-of-the-head")
    return Api(spine.port, "another-token-of-the-head")


@pytest.mark.parametrize("lease", [{}, {"HEAD_LEASE_NAME": "heads", "HEAD_LEASE_SECONDS": "2"}], ids=["alone", "leads"])
def test_a_loop_goes_on_with_the_new_token(
    tmp_path: Path, spine: SpineProcess, token_file: Path, lease: dict[str, str]
) -> None:
    loop = LoopProcess(tmp_path / "head", spine.url, {"rules": [{"accept": True}]})
    loop.start(SPINE_TOKEN="", SPINE_TOKEN_FILE=str(token_file), **lease)
    try:
        head = Server(spine).head
        for after in (False, True):
            if after:
                head = rotate(spine, token_file)
            job = head.submit(target="left-claw", spec="x", needsReview=True)
            left = Server(spine).left.by("w")
            left.claim(job["id"])
            assert left.post(f"/jobs/{job['id']}/complete", {"result": {}, "fence": 1}).status == 200
            eventually(lambda h=head, j=job: h.job(j["id"])["review"]["state"] == "accepted", 30, what="a review")
        assert loop.process is not None
        assert loop.process.poll() is None
    finally:
        assert loop.process is not None
        loop.process.kill()
        loop.process.wait(10)


def test_a_node_of_a_cluster_goes_on_with_the_new_token(tmp_path: Path, spine: SpineProcess, token_file: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPO / "services"),
        "SPINE_BASE_URL": spine.url,
        "SPINE_TOKEN_FILE": str(token_file),
    }
    with (tmp_path / "log").open("wb") as log:
        node = subprocess.Popen([sys.executable, "-m", "cluster.cli", "start", "n1"], env=env, cwd=tmp_path, stderr=log)
    try:

        def seen(head: Api) -> int:
            nodes = head.get("/cluster").json["nodes"]
            assert len(nodes) == 1
            assert nodes[0]["state"] == "online"
            return int(nodes[0]["lastSeenMs"])

        eventually(lambda: seen(Server(spine).head), what="the node")
        head = rotate(spine, token_file)
        before = seen(head)
        eventually(lambda: seen(head) > before, 30, what="a heartbeat with the new token")
        assert node.poll() is None
    finally:
        node.kill()
        node.wait(10)
