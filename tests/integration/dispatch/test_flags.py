"""Every flag of every verb: refused without a value, or for its value; taken; and what holds when it is not given."""

import json
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from tests.support.dispatching import Dispatching, Ran
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway

from dispatch import leases
from dispatch.table import VERBS
from dispatch.verbs import watching

BASE: dict[str, tuple[str, ...]] = {
    "enqueue": ("--label", "L", "--message", "x"),
    "status": (),
    "result": (),
    "send": ("--message", "x", "--label", "L"),
    "steer": ("--message", "x", "--label", "L"),
    "heartbeat": (),
    "list": (),
    "stuck": (),
    "sync": (),
    "done": ("--label", "L", "--checklist", '{"work_complete": true}', "--force-done", "--reason", "r"),
    "progress": ("--label", "L"),
    "watch": ("--label", "L"),
    "recover": (),
    "schedules": ("install",),
    "run": ("--label", "L", "--message", "x"),
}
"""What each verb needs for its arguments to be read to their end."""
VALUES = [(verb.name, flag.name) for verb in VERBS.values() for flag in verb.flags if flag.value]
VALUES.remove(("enqueue", "no-monitor"))


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def foreign(desk: Dispatching) -> None:
    """A label that another program has dispatched, which no token opens."""
    desk.write(L={"status": "running", "sessionKey": "agent:main:subagent:s", "runId": "r", "agent": "main"})


@pytest.mark.parametrize(("verb", "flag"), VALUES, ids=[f"{verb} --{flag}" for verb, flag in VALUES])
def test_a_flag_without_its_value(fake: FakeGateway, desk: Dispatching, tmp_path: Path, verb: str, flag: str) -> None:
    foreign(desk)
    environ = with_spine(desk, tmp_path) if verb == "schedules" else {}
    if flag == "token-file":  # a label that another program has dispatched has none
        assert desk.call("enqueue", "--label", "L", "--message", "x").code == 0
    before, calls = desk.labels.read_bytes(), len(fake.calls)
    base = list(BASE[verb])
    for name in ("--message", f"--{flag}") if flag == "message-file" else (f"--{flag}",):
        if name in base:
            del base[base.index(name) : base.index(name) + 2]
    ran = desk.call(verb, *base, f"--{flag}", **environ)
    rejected = verb == "done" and flag != "label"
    assert (ran.code, f"--{flag} needs a value" in ran.err) == (1 if rejected else 2, True), ran
    assert ("REJECTED: " in ran.err) is rejected
    assert (desk.labels.read_bytes(), len(fake.calls)) == (before, calls)


def with_spine(desk: Dispatching, folder: Path) -> dict[str, str]:
    """Return settings with which a spine is configured, and nowhere to be found."""
    for name, text in (("spine-token", "t"), ("gateway-token", desk.environ.pop("OPENCLAW_GATEWAY_TOKEN"))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return {
        "SPINE_BASE_URL": "http://127.0.0.1:9",
        "SPINE_TOKEN_FILE": str(folder / "spine-token"),
        "DISPATCH_TARGET": "left-claw",
        "OPENCLAW_GATEWAY_TOKEN_FILE": str(folder / "gateway-token"),
    }


def test_no_monitor_asks_for_a_reason_and_does_without(desk: Dispatching) -> None:
    """W46: the reference asked for one and dropped it."""
    assert desk.call("enqueue", "--label", "L", "--message", "x", "--no-monitor").code == 0
    assert desk.entry("L")["noMonitorReason"] == "no reason given"
    answer = desk.call("enqueue", "--label", "L", "--message", "x", "--no-monitor", "it is short").answer
    assert (desk.entry("L")["noMonitorReason"], answer["watchdog"]["reason"]) == ("it is short", "it is short")


REFUSED: list[tuple[str, str]] = [
    ("enqueue --label L --message x --timeout 2592001", "--timeout: 2592001 is out of range"),
    ("enqueue --label L --message x --monitor-timeout 100001", "--monitor-timeout: 100001 is out of range"),
    ("enqueue --label L --message x --origin telegram:", "--origin: give CHANNEL:ID"),
    ("enqueue --label L --message x --origin :5", "--origin: give CHANNEL:ID"),
    ("enqueue --label L --message x --agent a:b", "--agent: 'a:b' is no agent's id"),
    ("send --label L --message x --timeout 0", "--timeout: 0 is out of range"),
    ("send --label L --message-file /no/such", "--message-file: /no/such cannot be read"),
    ("steer --label L --message x --message-file /no/such", "--message: give it or --message-file, not both"),
    ("list --status odd", "--status: 'odd' is not one of starting, running, spawn-warning, done, interrupted, error"),
    ("list --limit 100001", "--limit: 100001 is out of range"),
    ("stuck --threshold-min 0", "--threshold-min: 0 is out of range"),
    ("watch --label L --poll-interval 0", "--poll-interval: 0 is out of range"),
    ("watch --label L --poll-interval 3601", "--poll-interval: 3601 is out of range"),
    ("watch --label L --slice 86401", "--slice: 86401 is out of range"),
    ("watch --label L --part 0", "--part: 0 is out of range"),
    ("run --label L --message x --timeout soon", "--timeout: 'soon' is not a whole number"),
    ("run --label L --message x --mode odd", "--mode: 'odd' is not one of fresh, reuse"),
    ("run --label L --message x --agent a:b", "--agent: 'a:b' is no agent's id"),
    ("schedules remove", "say spine-dispatch schedules install"),
]


@pytest.mark.parametrize(("line", "told"), REFUSED, ids=[line for line, _ in REFUSED])
def test_a_value_that_is_refused(fake: FakeGateway, desk: Dispatching, line: str, told: str) -> None:
    foreign(desk)
    before = desk.labels.read_bytes()
    ran = desk.call(*line.split(" "))
    assert (ran.code, ran.out, told in ran.err) == (2, "", True), ran
    assert (desk.labels.read_bytes(), fake.calls) == (before, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\xff\xfe", "is not UTF-8"), (b" \n", "is empty"), (b"x" * 20_000_001, "is longer than 20000000 bytes")],
    ids=["no text", "empty", "too long"],
)
def test_a_file_of_a_message_that_is_refused(
    fake: FakeGateway, desk: Dispatching, tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "message").write_bytes(content)
    for verb in ("enqueue", "send", "steer", "run"):
        ran = desk.call(verb, "--label", "L", "--message-file", str(tmp_path / "message"))
        assert (ran.code, told in ran.err, fake.calls, desk.labels.exists()) == (2, True, [], False)


# --- taken, and not given -------------------------------------------------------------------------------------------


def test_defaults_of_enqueue(fake: FakeGateway, desk: Dispatching) -> None:
    assert desk.call("enqueue", "--label", "L", "--message", "x").code == 0
    entry = desk.entry("L")
    names = (
        "agent", "mode", "model", "thinking", "timeout", "timeoutSeconds", "origin", "deliverTo", "deliverChannel",
        "deliveryMode", "monitorInterval", "monitorTimeoutMin", "noMonitorReason", "verifyCmd", "repository",
        "retryCount", "gwRestartRetryCount", "attempt", "summary", "error", "sha",
    )  # fmt: skip
    assert {name: entry[name] for name in names} == {
        "agent": "main", "mode": "fresh", "model": None, "thinking": None, "timeout": 300, "timeoutSeconds": 300,
        "origin": None, "deliverTo": None, "deliverChannel": "telegram", "deliveryMode": "announce",
        "monitorInterval": "*/15 * * * *", "monitorTimeoutMin": None, "noMonitorReason": None, "verifyCmd": None,
        "repository": None, "retryCount": 0, "gwRestartRetryCount": 0, "attempt": 1, "summary": None, "error": None,
        "sha": None,
    }  # fmt: skip
    assert fake.told("sessions.patch") == [], "no model and no thinking level: nothing to set"


def test_what_the_configuration_says_holds_where_no_flag_does(fake: FakeGateway, desk: Dispatching) -> None:
    desk.home.mkdir()
    (desk.home / "config.json").write_text(
        json.dumps({
            "name": "acme", "agents": {"main": {"name": "Ada"}}, "deliverTo": "77", "deliveryChannel": "slack",
            "watchdogIntervalCron": "*/5 * * * *", "watchdogTimeoutMin": 10,
        })
    )  # fmt: skip
    words, environ = ("enqueue", "--label", "L", "--message", "x"), {"DISPATCH_CONFIG_DIR": str(desk.home)}
    ran = desk.call(*words, **environ)
    assert ran.err.startswith("[acme] --timeout is not given")
    assert "You are Ada" in fake.told("agent")[0]["message"]
    assert [ran.answer["delivery"][name] for name in ("target", "channel", "gateway")] == ["77", "slack", True]
    assert [ran.answer["watchdog"][name] for name in ("interval", "timeout")] == ["*/5 * * * *", 10]
    given = desk.call(*words, "--deliver-to", "8", "--deliver-channel", "irc", "--monitor-timeout", "5", **environ)
    assert [given.answer["delivery"][name] for name in ("target", "channel")] == ["8", "irc"]
    assert given.answer["watchdog"]["timeout"] == 5
    by_origin = desk.call(*words, "--origin", "matrix:!room:host", **environ).answer["delivery"]
    assert [by_origin[name] for name in ("target", "channel")] == ["!room:host", "matrix"]


def test_delivery_mode_none_asks_nobody_to_deliver(fake: FakeGateway, desk: Dispatching) -> None:
    ran = desk.call("enqueue", "--label", "L", "--message", "x", "--deliver-to", "7", "--delivery-mode", "none")
    assert (ran.answer["delivery"]["gateway"], "deliver" in fake.told("agent")[0]) == (False, False)


def test_flags_of_send_and_steer(fake: FakeGateway, desk: Dispatching, tmp_path: Path) -> None:
    fake.agents.append("ada")
    (tmp_path / "message").write_text("from a file")
    enqueued = desk.call("enqueue", "--label", "L", "--message", "x", "--agent", "ada", "--model", "mock/sleeps")
    key = enqueued.answer["sessionKey"]
    file = f"--message-file={tmp_path / 'message'}"
    assert desk.call("send", "--label", "L", file).code == 0
    assert desk.call("send", "--session-key", key, "--message", "x", "--timeout", "77").code == 0
    assert [(call["agentId"], call["message"], call["timeout"]) for call in fake.told("agent")[1:]] == [
        ("ada", "from a file", 300),
        ("ada", "x", 77),
    ]
    assert desk.call("steer", "--label", "L", file).code == 0
    assert fake.told("chat.send")[0]["message"] == "from a file"
    by_key = desk.call("steer", "--session-key", key, "--message", "x").answer
    assert (by_key["label"], by_key["sessionKey"]) == (None, key)


def test_flags_of_run(fake: FakeGateway, desk: Dispatching) -> None:
    fake.agents.append("ada")
    key = "agent:ada:subagent:s"
    words = ("--session-key", key, "--timeout", "77", "--verify-cmd", "sh -c 'exit 0'")
    ran = desk.run("run", "--label", "L", "--message", "x", *words, "--json-events")
    assert ran.code == 0, ran.err
    asked = fake.told("agent")[0]
    assert (asked["sessionKey"], asked["agentId"], asked["timeout"]) == (key, "ada", 77)
    assert desk.entry("L")["verifyCmd"] == "sh -c 'exit 0'"
    more = ("--agent", "ada", "--model", "mock/answers", "--thinking", "high", "--verify-cmd", "sh -c 'exit 9'")
    failed = desk.run("run", "--label", "M", "--message", "x", *more, "--json-events")
    assert (failed.code, failed.lines[-1]["cause"]) == (77, "permanent")
    assert "verification failed: the verifying command ended with 9" in failed.lines[-1]["error"]
    assert [{name: call[name] for name in call if name != "key"} for call in fake.told("sessions.patch")] == [
        {"model": "mock/answers"},
        {"thinkingLevel": "high"},
    ]
    assert (desk.entry("M")["timeout"], desk.entry("M")["deliveryMode"]) == (300, "none")


def test_run_without_json_events_prints_the_answer(desk: Dispatching) -> None:
    assert desk.run("run", "--label", "L", "--message", "x").out == "Forty-two.\n"


def test_flags_of_watch(fake: FakeGateway, desk: Dispatching, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign(desk)
    desk.edit("L", dispatchKey="k")
    polls: list[tuple[float, float | None]] = []

    class Noted:
        def __init__(self, *_: object, timings: Any, slice_seconds: float | None) -> None:
            polls.append((timings.poll, slice_seconds))

        def watch(self) -> None:
            raise leases.Superseded

    monkeypatch.setattr(watching, "Watcher", Noted)
    assert desk.call("watch", "--label", "L").code == 0
    assert desk.call("watch", "--label", "L", "--poll-interval", "7", "--slice", "3", "--part", "2").code == 0
    assert polls == [(20.0, None), (7.0, 3.0)]
    other = desk.call("watch", "--label", "L", "--key", "of another dispatch")
    assert (other.code, other.out, "was dispatched anew; its own watcher delivers" in other.err) == (0, "", True)
    assert len(polls) == 2


def test_a_slice_without_a_spine_to_go_on_says_so(fake: FakeGateway, desk: Dispatching) -> None:
    desk.call("enqueue", "--label", "L", "--message", "x", "--model", "mock/sleeps")
    ran = desk.call("watch", "--label", "L", "--slice", "1")
    assert (ran.code, ran.answer["code"]) == (1, "no_spine")
    assert "--slice: no spine is configured" in ran.err


def test_a_slice_of_what_another_program_dispatched_is_refused(fake: FakeGateway, desk: Dispatching) -> None:
    foreign(desk)
    before, calls = desk.labels.read_bytes(), len(fake.calls)
    ran = desk.call("watch", "--label", "L", "--slice", "1")
    assert (ran.code, ran.answer["code"]) == (1, "foreign_label")
    assert "--slice: 'L' was not dispatched from here" in ran.err
    assert (desk.labels.read_bytes(), len(fake.calls)) == (before, calls)


def test_list_shows_twenty_with_all_that_is_kept(desk: Dispatching) -> None:
    desk.write(**{f"L{n:02}": {"status": "done", "updatedAt": f"2026-01-01T00:00:{n:02}.000Z"} for n in range(25)})
    answer = desk.call("list").answer
    assert (answer["count"], [one["label"] for one in answer["labels"]][:2]) == (20, ["L24", "L23"])
    assert answer["labels"][0] == {"label": "L24", "status": "done", "updatedAt": "2026-01-01T00:00:24.000Z"}
    assert desk.call("list", "--limit", "25").answer["count"] == 25


def test_flags_of_done(fake: FakeGateway, desk: Dispatching) -> None:
    desk.call("enqueue", "--label", "L", "--message", "x")
    words = ("done", "--label", "L", "--force-done", "--reason", "test", "--checklist")
    token = f"--token-file={desk.desk().keeping('L').token_file}"
    full = '{"work_complete": true, "tests_passed": true, "pushed": true, "more": "than asked"}'
    assert desk.call(*words, full, token).answer["summary"] == "completed (agent signal)"
    assert desk.entry("L")["summary"] == "completed (agent signal)"


# --- values of the answers ------------------------------------------------------------------------------------------


def test_values_of_the_answers_while_a_run_is_under_way(fake: FakeGateway, desk: Dispatching) -> None:
    first = desk.call("enqueue", "--label", "L", "--message", "x", "--model", "mock/sleeps", "--timeout", "60").answer
    eventually(lambda: fake.prompts, what="the prompt")
    key, run_id = first["sessionKey"], first["runId"]
    row = fake.sessions[key].row
    liveness = {"updatedAt": ANY, "ageMs": ANY, "sessionId": row["sessionId"], "model": "sleeps"}
    assert desk.call("status", "--label", "L").answer == {
        "ok": True, "found": True, "label": "L", "sessionKey": key, "runId": run_id, "agent": "main", "mode": "fresh",
        "status": "running", "spawnedAt": desk.entry("L")["spawnedAt"], "updatedAt": desk.entry("L")["updatedAt"],
        "summary": None, "error": None, "liveness": {**liveness, "tokens": None, "active": True},
    }  # fmt: skip
    assert desk.call("heartbeat", "--label", "L").answer == {
        "ok": True, "label": "L", "sessionKey": key, "alive": True, **liveness,
    }  # fmt: skip
    assert desk.call("heartbeat", "--session-key", "agent:main:subagent:gone").answer == {
        "ok": False, "label": None, "sessionKey": "agent:main:subagent:gone", "alive": False,
        "message": "the gateway has no such session",
    }  # fmt: skip
    assert desk.call("result", "--label", "L").answer == {
        "ok": True, "label": "L", "sessionKey": key, "status": "running", "spawnedAt": desk.entry("L")["spawnedAt"],
        "summary": None, "lastReply": None, "error": None,
    }  # fmt: skip
    for verb in ("send", "steer"):
        assert desk.call(verb, "--label", "L", "--message", "x").answer == {
            "ok": True, "label": "L", "sessionKey": key, "runId": ANY, "status": "sent", "message": ANY,
        }  # fmt: skip
    assert desk.call("sync").answer == {"ok": True, "dryRun": False, "changes": 0, "details": []}
    assert desk.call("stuck", "--json").answer == {
        "ok": True, "stuck_count": 0, "stuck_sessions": [], "auto_resolved_count": 0, "auto_resolved": [],
        "watcher_skipped": [], "nudged": [], "threshold_min": 15,
    }  # fmt: skip
    token = f"--token-file={desk.desk().keeping('L').token_file}"
    assert desk.call("progress", "--label", "L", "--message", "half", token).answer == {
        "ok": True, "label": "L", "message": "noted",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("send", "--label", "none", "--message", "x"),
        ("steer", "--label", "none", "--message", "x"),
        ("heartbeat", "--label", "none"),
        ("done", "--label", "none"),
        ("progress", "--label", "none", "--message", "x"),
        ("watch", "--label", "none"),
        ("schedules", "install"),
        ("enqueue", "--label", "L", "--message", "x", "--mode", "reuse"),
    ],
    ids=lambda words: words[0],
)
def test_a_refusal_is_an_answer_too(desk: Dispatching, words: tuple[str, ...]) -> None:
    ran = desk.call(*words)
    assert ran.code == 1
    assert sorted(ran.answer) == ["code", "error", "ok"]
    assert (ran.answer["ok"], f"[spine-dispatch] {ran.answer['error']}" in ran.err) == (False, True)


def test_answers_are_indented_by_two_and_notes_carry_the_brand(desk: Dispatching) -> None:
    assert desk.call("list").out == '{\n  "ok": true,\n  "count": 0,\n  "labels": []\n}\n'
    assert desk.call("status").err == (
        "[spine-dispatch] --label is required: --label VALUE\n[spine-dispatch] see spine-dispatch status --help\n"
    )


# --- a gateway that does not take it ---------------------------------------------------------------------------------

ASKS: dict[str, tuple[str, ...]] = {
    "result": ("--label", "L"),
    "send": ("--label", "L", "--message", "x"),
    "steer": ("--label", "L", "--message", "x"),
    "heartbeat": ("--label", "L"),
    "sync": (),
    "stuck": (),
}


@pytest.mark.parametrize("fault", ["unauthorized", "unreachable"])
@pytest.mark.parametrize("verb", ASKS)
def test_a_gateway_that_does_not_let_a_verb_in(fake: FakeGateway, desk: Dispatching, verb: str, fault: str) -> None:
    """W3, W19: the reference called each of these a success."""
    foreign(desk)
    before = desk.labels.read_bytes()
    environ = {"OPENCLAW_GATEWAY_TOKEN": "another"} if fault == "unauthorized" else {}
    if fault == "unreachable":
        fake.kill()
    ran = desk.call(verb, *ASKS[verb], **environ)
    assert (ran.code, ran.answer["ok"], ran.answer["code"]) == (1, False, fault)
    assert desk.labels.read_bytes() == before


def test_status_says_that_it_could_not_ask(fake: FakeGateway, desk: Dispatching) -> None:
    foreign(desk)
    ran = desk.call("status", "--label", "L", OPENCLAW_GATEWAY_TOKEN="another")
    assert (ran.code, ran.answer["status"], list(ran.answer["liveness"])) == (0, "running", ["error"])


def test_enqueue_is_one_connection_and_does_not_wait_for_the_run(fake: FakeGateway, desk: Dispatching) -> None:
    """W47: the reference held its caller for 37 seconds, and began a process for each of four calls."""
    before = time.monotonic()
    ran: Ran = desk.run("enqueue", "--label", "L", "--message", "x", "--model", "mock/sleeps", "--thinking", "high")
    assert (ran.code, ran.answer["status"]) == (0, "accepted")
    assert (len(fake.connects), time.monotonic() - before < 10) == (1, True)
