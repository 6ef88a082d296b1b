"""The executor of a text spec as a session on the claw's own OpenClaw gateway, by `spine-dispatch run`.

The label is the job's id, so that another round goes on in the same session. What the head says meanwhile goes into the
session; a cancel ends it. What came of it is put where a command's result would be, into the result file, so that exit
code and file are judged as those of any job. The program gets the gateway's token; the agent, which runs in the
gateway, gets nothing of the claw's.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from claw import exits
from claw.dispatching import Dispatching
from claw.executors import prompt
from claw.executors.base import Place
from claw.outcome import WORDS
from claw.process.run import Ended, run_guarded
from claw.process.spool import Spool
from contract.clock import SystemClock, iso
from contract.durable import write_durably
from contract.wire import Job

TELL_SECONDS = 5.0
LOOK_SECONDS = 0.5
TIMEOUT_MOST = 2_592_000
PAUSE_MS = 30_000
_LINE_MOST = 4 << 20
_HEADS = ("head",)


class Bounds(NamedTuple):
    """What bounds a run: what is left of its time (s), the grace of an end (s), and `stop()`."""

    left_seconds: float
    grace_seconds: float
    stop: Callable[[], bool]


class Listener:
    """Takes the events of a run as they come: into the log, into the progress, and what is to be reported."""

    def __init__(self, spool: Spool, tell: Callable[[dict[str, Any]], None], steering: threading.Event) -> None:
        self._spool, self._tell, self._steering = spool, tell, steering
        self._rest = b""
        self._told = 0.0
        self.usage: dict[str, Any] = {}
        self.accepted: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None

    def take(self, chunk: bytes) -> None:
        """Take output, cut anywhere."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LINE_MOST:
            self._rest = b""

    def _line(self, line: bytes) -> None:
        try:
            found = msgspec.json.decode(line)
            event = found.pop("event")
        except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
            self._spool.write(line + b"\n")
            return
        if event == "usage":
            self.usage |= {name: value for name, value in found.items() if value is not None}
        elif event == "accepted":
            self.accepted = found
            self._spool.say(f"session {found.get('sessionKey')} ({found.get('mode')}), run {found.get('runId')}")
            self._steering.set()
        elif event == "text":
            self._spool.write(str(found.get("text", "")).encode("utf-8", "replace") + b"\n")
        elif event == "ended":
            self.ended = found
            told = {name: found[name] for name in ("status", "cause", "notBefore", "error") if found.get(name)}
            used = "".join(f", {name} {value}" for name, value in self.usage.items())
            self._spool.say(f"ended: {', '.join(str(value) for value in told.values())}{used}")
        elif event != "progress":
            self._spool.say(f"{event}: {msgspec.json.encode(found).decode()}")
        if event in ("progress", "usage", "accepted") and time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            progress = {"phase": "agent", "doing": found.get("phase", event)}
            self._tell(progress | ({"usage": dict(self.usage)} if self.usage else {}))


class Steering:
    """Hands on what the head says while the agent works, line by line, through a pipe with a name."""

    def __init__(self, pipe: Path, comments: Path, known: int, begin: threading.Event) -> None:
        os.mkfifo(pipe, 0o600)
        # Both ends at once: neither does opening it wait, nor does the other side ever see its end.
        self._fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._pipe, self._comments, self._known, self._begin = pipe, comments, known, begin
        self._rest = b""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="steering", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._begin.is_set():
                self._look()

    def _look(self) -> None:
        try:
            lines = self._comments.read_bytes().splitlines()
        except OSError:
            return
        for line in lines[self._known :]:
            if not self._hand_on():
                return
            try:
                comment = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return  # not written to its end yet
            text = comment.get("text")
            if comment.get("by") in _HEADS and isinstance(text, str) and text.strip():
                self._rest = msgspec.json.encode({"steer": text}) + b"\n"
            self._known += 1
        self._hand_on()

    def _hand_on(self) -> bool:
        """Write what waits; False while the pipe is full, which may take a part of a line: the rest at a later look."""
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """End it."""
        self._stopping.set()
        self._thread.join(10)
        os.close(self._fd)
        self._pipe.unlink(missing_ok=True)


def run(
    used: Dispatching,
    job: Job,
    place: Place,
    spool: Spool,
    tell: Callable[[dict[str, Any]], None],
    bounds: Bounds,
    planned: bool,
) -> Ended:
    """Run the session to its end, and leave what came of it in the result file."""
    folder = place.spec_file.parent
    asked, pipe = folder / "prompt", folder / "steer"
    write_durably(asked, prompt.build(place.spec_file.read_text(encoding="utf-8"), job).encode("utf-8", "replace"))
    pipe.unlink(missing_ok=True)  # of a process before this one
    begin = threading.Event()
    listener = Listener(spool, tell, begin)
    steering = Steering(pipe, Path(place.env["SPINE_COMMENTS_FILE"]), len(job.comments), begin)
    marks = {name: place.env[name] for name in ("SPINE_JOB_ID", "SPINE_FENCE", "TRACEPARENT") if name in place.env}
    spool.begin()
    try:
        ended = run_guarded(
            ["/bin/sh", "-c", 'exec "$@" <"$0"', str(pipe), *_words(used, job, asked, bounds.left_seconds)],
            cwd=place.workspace,
            env={**used.env, **marks},
            sink=listener.take,
            errors=spool.write,
            timeout_seconds=bounds.left_seconds,
            grace_seconds=bounds.grace_seconds,
            stop=bounds.stop,
        )
    finally:
        steering.close()
        spool.settle()
    if listener.ended is not None:
        report = _report(listener, ended.code, planned)
        if report.get("cause") == "transient" and "notBefore" not in report and job.retry is None:
            report["notBefore"] = iso(SystemClock().now() + PAUSE_MS)  # a gateway that restarts takes a while
        write_durably(place.result_file, msgspec.json.encode(report))
    return ended


def _words(used: Dispatching, job: Job, asked: Path, left: float) -> list[str]:
    meta = job.meta.get("agent") if isinstance(job.meta, dict) else None
    wanted = meta if isinstance(meta, dict) else {}
    words = [*used.command, "run", f"--label={job.id}", "--message-file", str(asked), "--json-events"]
    words += ["--timeout", str(max(1, min(int(left), TIMEOUT_MOST)))]
    words += ["--mode", "reuse" if job.round > 1 else "fresh"]
    for flag, name in (("--agent", "id"), ("--model", "model"), ("--thinking", "thinking")):
        value = wanted.get(name)
        if isinstance(value, str) and value:
            words.append(f"{flag}={value}")
    return words


def _report(listener: Listener, code: int, planned: bool) -> dict[str, Any]:
    """Return what the result file is to say: what the agent reported, or why there is nothing."""
    ended = listener.ended or {}
    if code != exits.CHILD_OK:
        why = {"error": ended.get("error") or "the session failed", "cause": ended.get("cause")}
        return {name: value for name, value in {**why, "notBefore": ended.get("notBefore")}.items() if value}
    text = str(ended.get("text") or "")
    found = prompt.result_of(text)
    if found is None:
        found = {"plan" if planned else "notes": text}
    elif not any(name not in WORDS for name in found) and found.get("outcome", "complete") == "complete":
        found["notes"] = text
    about = {name: listener.accepted[name] for name in ("label", "sessionKey", "agent") if listener.accepted.get(name)}
    return {**found, "session": about} | ({"usage": listener.usage} if listener.usage else {})
