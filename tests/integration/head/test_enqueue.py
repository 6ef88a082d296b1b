"""Skyclaw's two commands: what goes over the wire, fail-over, what is printed; and jobs on a real spine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.integration.head.conftest import Head
from tests.support.spine_process import TOKENS, SpineProcess, free_port

from contract.client import SpineClient

TAKEN = (200, {"job": {"id": "job_7", "status": "queued"}})


class Coordinator:
    """Answers every call with one answer, and keeps what it was asked."""

    def __init__(self, status: int, document: Any) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked.append((self.command, self.path, headers, json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def bodies(self) -> list[Any]:
        return [body for *_, body in self.asked]


@pytest.fixture
def coordinators() -> Iterator[Any]:
    made: list[Coordinator] = []

    def make(status: int, document: Any) -> Coordinator:
        made.append(Coordinator(status, document))
        return made[-1]

    yield make
    for coordinator in made:
        coordinator.server.shutdown()
        coordinator.server.server_close()


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (
            ("enqueue-shell", "sh", "-c", "echo $HOME", "--", "--help", ""),
            {
                "payload": {"kind": "shell", "command": "sh", "args": ["-c", "echo $HOME", "--", "--help", ""]},
                "requirement": {"requiredCapabilities": ["shell"]},
            },
        ),
        (
            ("enqueue-shell", "--help"),
            {
                "payload": {"kind": "shell", "command": "--help", "args": []},
                "requirement": {"requiredCapabilities": ["shell"]},
            },
        ),
        (
            ("enqueue-automaton",),
            {
                "payload": {"kind": "automaton-run", "args": []},
                "requirement": {"requiredCapabilities": ["automaton"]},
            },
        ),
        (
            ("enqueue-automaton", "--", "-x", "--json", "é"),
            {
                "payload": {"kind": "automaton-run", "args": ["--", "-x", "--json", "é"]},
                "requirement": {"requiredCapabilities": ["automaton"]},
            },
        ),
    ],
)
def test_what_goes_over_the_wire(head: Head, coordinators: Any, words: tuple[str, ...], body: Any) -> None:
    place = coordinators(*TAKEN)
    done = head.run(*words, SKYCLAW_COORDINATOR_URL=f"{place.url}/prefix/", SKYCLAW_TOKEN="s-token")
    assert (done.stdout, done.stderr) == ("job_7\n", "")
    ((method, path, headers, sent),) = place.asked
    assert (method, path, sent) == ("POST", "/prefix/v1/jobs", body)
    assert (headers["x-skyclaw-token"], headers["content-type"]) == ("s-token", "application/json")
    assert len(headers["x-idempotency-key"]) == 32
    assert "authorization" not in headers


def test_without_a_token_no_header_is_sent(head: Head, coordinators: Any) -> None:
    place = coordinators(*TAKEN)
    head.run("enqueue-automaton", SKYCLAW_COORDINATOR_URL=place.url)
    assert "x-skyclaw-token" not in place.asked[0][2]


def test_every_coordinator_is_tried_once_in_order(head: Head, coordinators: Any) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    failing = [coordinators(*answer) for answer in ((401, {}), (409, {}), (500, {}), (200, b"<html>"), (302, {}))]
    taking, never = coordinators(*TAKEN), coordinators(*TAKEN)
    urls = [closed, "no address", *(place.url for place in (*failing, taking, never))]
    done = head.run("enqueue-shell", "sh", SKYCLAW_COORDINATOR_URLS=",".join(urls), SKYCLAW_COORDINATOR_URL=closed)
    assert (done.stdout, done.stderr) == ("job_7\n", "")
    assert [len(place.asked) for place in (*failing, taking, never)] == [1, 1, 1, 1, 1, 1, 0]
    keys = {place.asked[0][2]["x-idempotency-key"] for place in (*failing, taking)}
    assert len(keys) == 1


def test_the_last_fault_is_told(head: Head, coordinators: Any) -> None:
    first, last = coordinators(500, {"error": "first"}), coordinators(401, b'{\n  "error": "unauthorized"\n}')
    done = head.run("enqueue-shell", "sh", SKYCLAW_COORDINATOR_URLS=f"{first.url},{last.url}", code=1)
    assert (done.stdout, done.stderr) == (
        "",
        '[skyclaw] request failed (401): {\n  "error": "unauthorized"\n}\n',
    )
    last.server.shutdown()
    last.server.server_close()
    done = head.run("enqueue-shell", "sh", SKYCLAW_COORDINATOR_URLS=f"{first.url},{last.url}", code=1)
    assert (done.stdout, done.stderr) == ("", "[skyclaw] fetch failed\n")


def test_a_command_is_needed(head: Head) -> None:
    done = head.run("enqueue-shell", code=1)
    assert (done.stdout, done.stderr) == ("", "[skyclaw] enqueue-shell requires a command\n")


def test_a_head_submits_it_as_a_job_of_its_own(head: Head, spine: SpineProcess) -> None:
    client = SpineClient(spine.url, TOKENS["HEAD_TOKEN"])
    job = client.job(head.run("enqueue-shell", "sh", "-c", "exit 3").stdout.strip())
    assert (job.target, sorted(job.requires), job.status) == ("any", ["shell", "skyclaw"], "queued")
    assert job.spec == {"kind": "shell", "command": "sh", "args": ["-c", "exit 3"]}
    job = client.job(head.run("enqueue-automaton").stdout.strip())
    assert (sorted(job.requires), job.spec) == (["automaton", "skyclaw"], {"kind": "automaton-run", "args": []})
    done = head.run("enqueue-shell", "sh", SPINE_TOKEN="wrong", code=77)
    assert done.stderr.startswith("spine-head: ")
