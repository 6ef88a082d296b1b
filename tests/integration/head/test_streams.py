"""spine-head logs and events: whole, as they grow, and over lost connections."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.integration.head.conftest import Claw, Head, end
from tests.support.proxy import Proxy
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from head import exits

COLOURED = b"\x1b[32mgreen\x1b[0m \x1b]0;title\x07\x1b[2Jcleared \xff\r\n"


@pytest.fixture
def proxy(spine: SpineProcess) -> Iterator[Proxy]:
    with Proxy(spine.port) as between:
        yield between


def test_a_log_comes_byte_for_byte(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    data = bytes(range(256)) * 5000  # over one read
    fence = claw.take(job_id).fence
    for offset in range(0, len(data), 500_000):
        claw.append_log(job_id, fence, offset, data[offset : offset + 500_000])
    words = [sys.executable, "-m", "head.cli", "logs", job_id]
    assert subprocess.run(words, env=head.env, capture_output=True, check=True, timeout=180).stdout == data
    claw.complete(job_id, fence, None)
    assert subprocess.run([*words, "-f"], env=head.env, capture_output=True, check=True, timeout=180).stdout == data
    whole = head.json("logs", job_id)
    assert (whole["fence"], whole["size"], whole["text"]) == (fence, len(data), data.decode("utf-8", "replace"))


def test_the_log_of_an_earlier_attempt(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    assert head.run("logs", job_id).stderr == "spine-head: nobody has claimed this job yet: it has no log\n"
    for text in (b"first\n", b"second\n"):
        fence = claw.take(job_id).fence
        claw.append_log(job_id, fence, 0, text)
        claw.fail(job_id, fence, "no")
    assert head.run("logs", job_id).stdout == "second\n"
    assert head.run("logs", job_id, "--attempt", "1").stdout == "first\n"
    assert head.run("logs", job_id, "--attempt", "1", "--follow").stdout == "first\n"
    assert head.run("logs", job_id, "--attempt", "9").stdout == ""


def test_following_goes_from_attempt_to_attempt_and_ends_with_the_job(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    following = head.start("logs", job_id, "--follow")
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, b"one\n")
    assert following.stdout.readline() == "one\n"
    claw.append_log(job_id, fence, 4, b"two\n")
    assert following.stdout.readline() == "two\n"
    claw.fail(job_id, fence, "again")
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, b"three\n")
    assert following.stdout.readline() == "three\n"
    claw.complete(job_id, fence, None)
    code, out, err = end(following)
    assert (code, out) == (exits.OK, "")
    assert err == "spine-head: another attempt begins (fence 2)\n"


def test_following_a_log_outlives_connections_and_attempts(head: Head, claw: Claw, proxy: Proxy) -> None:
    """Cut in the first attempt, mended when the second one has begun: all bytes come, once, in order."""
    job_id = head.submit()
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, b"a" * 100_000 + b"\n")
    following = head.start("logs", job_id, "--follow", SPINE_BASE_URL=proxy.url)
    assert following.stdout.readline() == "a" * 100_000 + "\n"
    proxy.cut()
    assert "does not answer" in following.stderr.readline()
    claw.append_log(job_id, fence, 100_001, b"rest of the first\n")
    claw.fail(job_id, fence, "again")
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, b"beginning of the second\n")
    proxy.mend()
    assert following.stdout.readline() == "rest of the first\n"
    assert following.stdout.readline() == "beginning of the second\n"
    claw.append_log(job_id, fence, 24, b"its end\n")
    claw.complete(job_id, fence, None)
    code, out, err = end(following)
    assert (code, out) == (exits.OK, "its end\n")
    assert "the spine answers again" in err


def test_following_a_log_outlives_the_spine(head: Head, claw: Claw, spine: SpineProcess) -> None:
    job_id = head.submit()
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, b"before\n")
    following = head.start("logs", job_id, "--follow")
    assert following.stdout.readline() == "before\n"
    spine.kill9()
    assert "does not answer" in following.stderr.readline()
    spine.start()
    claw.append_log(job_id, fence, 7, b"after\n")
    assert following.stdout.readline() == "after\n"
    claw.complete(job_id, fence, None)
    assert end(following)[:2] == (exits.OK, "")


def test_a_growing_log_as_json(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, "naïve\n".encode())
    following = head.start("logs", job_id, "--follow", "--json")
    assert json.loads(following.stdout.readline()) == {"fence": fence, "offset": 0, "text": "naïve\n"}
    claw.complete(job_id, fence, None)
    assert end(following) == (exits.OK, "", "")


def test_a_terminal_gets_colours_and_nothing_else(head: Head, claw: Claw) -> None:
    job_id = head.submit()
    fence = claw.take(job_id).fence
    claw.append_log(job_id, fence, 0, COLOURED)
    claw.complete(job_id, fence, None)
    for words in (["logs", job_id], ["logs", job_id, "--follow"]):
        assert on_terminal(head, *words) == b"\x1b[32mgreen\x1b[0m cleared \xef\xbf\xbd\r\r\n\x1b[0m"


def on_terminal(head: Head, *words: str) -> bytes:
    """Run a command on a terminal of its own; return what that got."""
    ours, theirs = pty.openpty()
    env = head.env | {"TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-m", "head.cli", *words], env=env, stdout=theirs, stdin=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait(30) == 0
    return seen


def test_waiting_on_a_terminal_shows_where_the_work_stands(head: Head, claw: Claw) -> None:
    job_id = head.submit("a task")
    fence = claw.take(job_id).fence
    claw.heartbeat(job_id, fence, {"phase": "compile", "index": 2, "of": 4, "percent": 25})
    seen: list[bytes] = []
    watching = threading.Thread(target=lambda: seen.append(on_terminal(head, "watch", job_id)))
    watching.start()
    claw.complete(job_id, fence, {"branch": "spine/job-7"})
    watching.join(60)
    assert b"done" in seen[0]
    assert b"spine/job-7" in seen[0]


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_in_pages(head: Head, claw: Claw) -> None:
    job_id = head.submit("x", "--label", "paged")
    claw.complete(job_id, claw.take(job_id).fence, None)
    lines = head.run("events", "--job", job_id).stdout.splitlines()
    assert [line.split()[1:4] for line in lines] == [
        [job_id, "job.created", "head"],
        [job_id, "job.claimed", "left-claw"],
        [job_id, "job.completed", "left-claw"],
    ]
    page = head.json("events", "--job", job_id, "--limit", "1")
    rest = head.json("events", "--job", job_id, "--cursor", page["nextCursor"])
    assert [event["type"] for event in page["events"] + rest["events"]] == [
        "job.created",
        "job.claimed",
        "job.completed",
    ]
    assert "--cursor" in head.run("events", "--limit", "1").stderr
    assert "too old" in head.run("events", "--cursor", "bogus").stderr


def test_following_events_misses_none_and_repeats_none(
    head: Head, claw: Claw, proxy: Proxy, spine: SpineProcess
) -> None:
    job_id = head.submit("x")
    following = head.start("events", "--follow", "--job", job_id, "--json", SPINE_BASE_URL=proxy.url)

    def next_type() -> str:
        return str(json.loads(following.stdout.readline())["type"])

    assert next_type() == "job.created"
    fence = claw.take(job_id).fence
    assert next_type() == "job.claimed"
    proxy.cut()
    assert "does not answer" in following.stderr.readline()
    claw.heartbeat(job_id, fence, "half")
    claw.comment(job_id, "hm")
    proxy.mend()
    assert [next_type(), next_type()] == ["job.heartbeat", "job.comment"]
    spine.stop()
    spine.start()
    claw.complete(job_id, fence, None)
    assert next_type() == "job.completed"
    following.terminate()
    following.communicate()


def test_following_events_of_all_jobs(head: Head, spine: SpineProcess) -> None:
    client = SpineClient(spine.url, TOKENS["HEAD_TOKEN"])
    cursor = None
    while (page := client.events(cursor)).events:
        cursor = page.next_cursor
    following = head.start("events", "--follow", "--cursor", str(cursor))
    job_id = head.submit("x")
    assert following.stdout.readline().split()[1:4] == [job_id, "job.created", "head"]
    following.terminate()
    following.communicate()
