"""Lifecycle events at real receivers, and a commit that is looked up on a real remote."""

import base64
import hashlib
import hmac
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway

from dispatch.gates import needs_sha
from dispatch.ledger import stamp

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; `slow` seconds pass before it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.slow = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def events(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(body) for at, _, body in self.got if at == path]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        time.sleep(self.server.slow)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    serving = Receiver()
    yield serving
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway
        gateway.wake()


@pytest.fixture
def desk(fake: FakeGateway, receiver: Receiver, tmp_path: Path) -> Dispatching:
    return Dispatching(
        tmp_path / "home",
        fake.url,
        LOKI_PUSH_URL=f"{receiver.url}/loki",
        DISPATCH_WEBHOOK_URL=f"{receiver.url}/hook",
        DISPATCH_WEBHOOK_SECRET=SECRET,
    )


def test_started_and_finished_with_their_payloads(receiver: Receiver, desk: Dispatching) -> None:
    answer = desk.call("enqueue", "--label", "L", "--message", "x").answer
    assert desk.run("watch", "--label", "L", "--poll-interval", "1").code == 0
    started, finished = receiver.events("/hook")
    common = {
        "label": "L",
        "job_id": answer["runId"],
        "run_id": answer["runId"],
        "agent": "main",
        "session_key": answer["sessionKey"],
        "host": "here",
    }
    assert {k: v for k, v in started.items() if k != "ts"} == {**common, "event": "dispatch.started", "mode": "fresh"}
    more = {k: finished.pop(k) for k in ("ts", "duration_ms")}
    assert finished == {**common, "event": "dispatch.finished", "status": "ok", "error": None}
    assert all(isinstance(value, int) and value >= 0 for value in more.values())
    stream = receiver.events("/loki")[0]["streams"][0]
    assert stream["stream"] == {"service_name": "dispatch", "host": "here", "event": "dispatch.started"}
    nanoseconds, line = stream["values"][0]
    assert len(nanoseconds) == 19
    assert json.loads(line) == {**common, "event": "dispatch.started", "mode": "fresh"}


def test_the_webhook_is_signed(receiver: Receiver, desk: Dispatching) -> None:
    """W37."""
    desk.call("enqueue", "--label", "L", "--message", "x")
    _, headers, body = next(one for one in receiver.got if one[0] == "/hook")
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(b"k" * 32, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_a_failure_is_told_too(fake: FakeGateway, receiver: Receiver, desk: Dispatching) -> None:
    """W44."""
    fake.error_text = "HTTP 401 invalid api key"
    desk.call("enqueue", "--label", "L", "--message", "x")
    assert desk.run("watch", "--label", "L", "--poll-interval", "1").code == 1
    assert [one["status"] for one in receiver.events("/hook")[1:]] == ["error"]


def test_a_run_that_a_signal_ends_is_told_as_cancelled(
    fake: FakeGateway, receiver: Receiver, desk: Dispatching
) -> None:
    with desk.process("run", "--label", "L", "--message", "x", "--model", "mock/sleeps", "--json-events") as child:
        eventually(lambda: desk.labels.exists() and desk.entry("L").get("acceptedAt"), what="its acceptance")
        eventually(lambda: receiver.events("/hook"), what="its first event")
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 143, err
    entry = desk.entry("L")
    common = {"label": "L", "job_id": entry["runId"], "run_id": entry["runId"], "agent": "main", "host": "here"}
    told = [{name: one[name] for name in one if name != "ts"} for one in receiver.events("/hook")]
    assert told == [
        {**common, "event": "dispatch.started", "mode": "fresh", "session_key": entry["sessionKey"]},
        {**common, "event": "dispatch.cancelled", "session_key": entry["sessionKey"]},
    ]


def test_an_end_without_a_signal_and_a_done_signal_are_told_once(
    fake: FakeGateway, receiver: Receiver, desk: Dispatching
) -> None:
    """W44: the reference told of successes alone."""
    for label in ("L", "M"):
        key = desk.call("enqueue", "--label", label, "--message", "x").answer["sessionKey"]
        eventually(lambda key=key: fake.sessions[key].row.get("status") == "done", what="the end of the run")
    for _ in range(2):
        assert desk.call("status", "--label", "L").answer["status"] == "interrupted"
    token = f"--token-file={desk.desk().keeping('M').token_file}"
    for _ in range(2):
        words = ("--checklist", '{"work_complete": true}', "--force-done", "--reason", "test")
        assert desk.call("done", "--label", "M", token, *words).code == 0
    ends = [one for one in receiver.events("/hook") if one["event"] == "dispatch.finished"]
    assert [(one["label"], one["status"], one["error"]) for one in ends] == [
        ("L", "interrupted", "the run ended without a done signal"),
        ("M", "ok", None),
    ]


def test_stuck_is_told(fake: FakeGateway, receiver: Receiver, desk: Dispatching) -> None:
    answer = desk.call("enqueue", "--label", "L", "--message", "x", "--session-key", "agent:main:subagent:s").answer
    fake.sessions[answer["sessionKey"]].row["model"] = "sleeps"
    eventually(lambda: fake.sessions[answer["sessionKey"]].row.get("status") == "done", what="the end")
    desk.call("enqueue", "--label", "L", "--message", "x", "--mode", "reuse")
    eventually(lambda: len(fake.prompts) == 2, what="the prompt")
    old = time.time_ns() // 1_000_000 - 3_600_000
    for message in fake.sessions[answer["sessionKey"]].messages:
        message["timestamp"] = old
    fake.sessions[answer["sessionKey"]].row["updatedAt"] = old
    desk.edit(
        "L",
        spawnedAt=stamp(old),
        dispatchedAt=stamp(old),
        monitorTimeoutMin=None,
        nudgedAt=stamp(old),
        nudgedTokens=10**9,
    )
    assert desk.call("stuck").code == 1
    told = receiver.events("/hook")[-1]
    assert (told["event"], told["stuck_count"]) == ("dispatch.stuck", 1)
    assert {name: told["runs"][0][name] for name in ("run_id", "job_name", "started_at")} == {
        "run_id": answer["sessionKey"],
        "job_name": "L",
        "started_at": stamp(old),
    }
    assert told["runs"][0]["age_s"] >= 3600
    assert (desk.call("stuck").code, desk.call("stuck", "--json").code) == (0, 1)
    assert receiver.events("/hook")[-1] == told, "once"


def test_receivers_that_are_away_or_slow_do_not_hold_a_verb_up(receiver: Receiver, desk: Dispatching) -> None:
    receiver.slow = 20.0
    before = time.monotonic()
    ran = desk.call("enqueue", "--label", "L", "--message", "x", LOKI_PUSH_URL="http://127.0.0.1:9/loki")
    assert ran.code == 0
    assert time.monotonic() - before < 15
    assert "LOKI_PUSH_URL: no answer" in ran.err
    assert "DISPATCH_WEBHOOK_URL" in ran.err


# --- the commit of a done signal ------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=180
    ).stdout.strip()


def test_only_a_commit_on_the_remote_counts(fake: FakeGateway, desk: Dispatching, tmp_path: Path) -> None:
    """W20: any unpushed commit of the working directory satisfied the reference."""
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(tmp_path, "clone", "--quiet", str(remote), str(clone))
    shas = []
    for n in range(3):
        git(clone, "commit", "--quiet", "--allow-empty", "-m", str(n))
        shas.append(git(clone, "rev-parse", "HEAD"))
        if n == 1:
            git(clone, "push", "--quiet", "origin", "HEAD:main")
    desk.call("enqueue", "--label", "L", "--message", "commit and git push", "--repo", str(remote))
    desk.edit("L", spawnedAt=stamp(0))
    token = f"--token-file={desk.desk().keeping('L').token_file}"
    words = ("done", "--label", "L", "--checklist", '{"work_complete": true}', "--skip-activity-check", token)
    unpushed = desk.call(*words, "--sha", shas[2])
    assert (unpushed.code, "push it first" in unpushed.err) == (1, True)
    assert desk.call(*words).code == 1
    desk.edit("L", repository=str(tmp_path / "none.git"))
    away = desk.call(*words, "--sha", shas[1])
    assert (away.code, "cannot be asked" in away.err) == (1, True)
    desk.edit("L", repository=f"ext::sh -c touch% {tmp_path / 'run'}")
    assert desk.call(*words, "--sha", shas[1]).code == 1
    assert not (tmp_path / "run").exists()
    desk.edit("L", repository=str(remote))
    assert desk.call(*words, "--sha", shas[0][:9]).code == 0, "an earlier commit, and a short id"
    assert desk.entry("L")["sha"] == shas[0][:9]


@pytest.mark.parametrize(
    ("task", "needed"),
    [
        ("finally git push", True),
        ("use git rebase main, then report", True),
        ("git cherry-pick abc", True),
        ("push with --force-with-lease", True),
        ("never --force-push", False),
        ("do not run git push", False),
        ("don't use git push", False),
        ("work without using git rebase", False),
        ("avoid git push", False),
        ("do not delete anything at all in this repository, please; then git push", True),
        ("read the file and say what it does", False),
    ],
)
def test_which_tasks_need_a_commit(task: str, needed: bool) -> None:
    assert needs_sha(task) is needed
