"""Every verb with its flags, exit codes and the members of its answer (contract: scheduler, 2.1 to 2.10)."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.dispatching import Dispatching, Ran
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway
from tests.support.mock_model import ANSWER

from dispatch.ledger import stamp
from dispatch.table import VERBS

MINUTE = 60_000


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway
        gateway.wake()


@pytest.fixture
def desk(fake: FakeGateway, tmp_path: Path) -> Dispatching:
    return Dispatching(tmp_path / "home", fake.url)


def ago(minutes: float) -> str:
    return stamp(time.time_ns() // 1_000_000 - int(minutes * MINUTE))


def token(desk: Dispatching, label: str) -> str:
    return f"--token-file={desk.desk().keeping(label).token_file}"


def enqueued(desk: Dispatching, label: str = "L", *words: str, model: str = "answers") -> dict[str, Any]:
    ran = desk.call("enqueue", "--label", label, "--message", "do it", "--model", f"mock/{model}", *words)
    assert ran.code == 0, ran.err
    return ran.answer


def ended(fake: FakeGateway, key: str) -> None:
    eventually(lambda: fake.sessions[key].row.get("status") in ("done", "failed", "killed"), what="the end of the run")


# --- members, literally ---------------------------------------------------------------------------------------------

MEMBERS = {
    "enqueue": "agent delivery label message mode ok runId sessionKey status watchdog",
    "status": "agent error found label liveness mode ok runId sessionKey spawnedAt status summary updatedAt",
    "result": "error label lastReply ok sessionKey spawnedAt status summary",
    "send": "label message ok runId sessionKey status",
    "steer": "label message ok runId sessionKey status",
    "heartbeat": "ageMs alive label model ok sessionId sessionKey updatedAt",
    "list": "count labels ok",
    "stuck": "auto_resolved auto_resolved_count nudged ok stuck_count stuck_sessions threshold_min watcher_skipped",
    "sync": "changes details dryRun ok",
    "done": "label message ok status summary",
    "progress": "label message ok",
}
CALLS: dict[str, tuple[str, ...]] = {
    "status": ("--label", "L"),
    "result": ("--label", "L"),
    "send": ("--label", "L", "--message", "more"),
    "steer": ("--label", "L", "--message", "left"),
    "heartbeat": ("--label", "L"),
    "list": (),
    "stuck": ("--json",),
    "sync": (),
    "done": ("--label", "L", "--checklist", '{"work_complete": true}', "--force-done", "--reason", "test"),
    "progress": ("--label", "L", "--message", "half"),
}


@pytest.mark.parametrize("verb", MEMBERS)
def test_members_of_an_answer(fake: FakeGateway, desk: Dispatching, verb: str) -> None:
    first = enqueued(desk, model="sleeps")
    more = (token(desk, "L"),) if verb in ("done", "progress") else ()
    answer = first if verb == "enqueue" else desk.call(verb, *CALLS[verb], *more).answer
    assert " ".join(sorted(answer)) == MEMBERS[verb]
    assert answer["ok"] is True


def test_every_verb_of_the_contract_is_there() -> None:
    assert list(VERBS) == [
        "enqueue", "status", "result", "send", "steer", "heartbeat", "list", "stuck", "sync", "done",
        "progress", "watch", "recover", "schedules", "run",
    ]  # fmt: skip


# --- exit codes and refusals ----------------------------------------------------------------------------------------


class Row(NamedTuple):
    words: tuple[str, ...]
    code: int
    told: str


ROWS = [
    Row((), 2, "a subcommand is needed"),
    Row(("nonsense",), 2, "'nonsense' is no subcommand"),
    Row(("--help",), 0, ""),
    Row(("--version",), 0, ""),
    Row(("status", "--help"), 0, ""),
    Row(("enqueue", "--message", "x"), 2, "--label is required"),
    Row(("enqueue", "--label", "L"), 2, "--message is required"),
    Row(("enqueue", "--label", "--message", "x"), 2, "--label needs a value"),
    Row(("enqueue", "--label=", "--message", "x"), 2, "--label needs a value"),
    Row(("enqueue", "--label", "L", "--message", "x", "--message-file", "f"), 2, "not both"),
    Row(("enqueue", "--label", "L", "--message-file", "/no/such"), 2, "/no/such cannot be read"),
    Row(("enqueue", "--label", "L", "--message", "x", "--timeout", "0"), 2, "--timeout: 0 is out of range"),
    Row(("enqueue", "--label", "L", "--message", "x", "--timeout", "soon"), 2, "not a whole number"),
    Row(("enqueue", "--label", "L", "--message", "x", "--mode", "odd"), 2, "not one of fresh, reuse"),
    Row(("enqueue", "--label", "L", "--message", "x", "--mode", "reuse"), 1, "no session here"),
    Row(("enqueue", "--label", "L", "--message", "x", "--delivery-mode", "odd"), 2, "announce"),
    Row(("enqueue", "--label", "L", "--message", "x", "--origin", "odd"), 2, "CHANNEL:ID"),
    Row(("enqueue", "--label", "L", "--message", "x", "--agent", "nobody"), 1, "nobody"),
    Row(("enqueue", "--label", "L", "--message", "x", "--agent", "a:b"), 2, "no agent's id"),
    Row(("enqueue", "--label", "L", "--message", "x", "--verify-cmd", "'open"), 2, "--verify-cmd"),
    Row(
        ("enqueue", "--label", "L", "--message", "x", "--monitor-interval", "hourly"), 2, "--monitor-interval: 'hourly'"
    ),
    Row(("enqueue", "--label", "L", "--message", "x", "--monitor-timeout", "0"), 2, "--monitor-timeout: 0 is out of"),
    Row(("enqueue", "--label", "L", "--message", "x", "--session-key", "k" * 513), 2, "--session-key: is no key"),
    Row(("enqueue", "--label", "L", "--message", "no", "--message-file", "f"), 2, "not both"),
    Row(("enqueue", "--label", "x" * 201, "--message", "x"), 2, "201 characters"),
    Row(("enqueue", "--label", "x" * 10_240, "--message", "x"), 2, "10240 characters"),
    Row(("enqueue", "--label", "a\nb", "--message", "x"), 2, "control character"),
    Row(("status", "--label", "none"), 0, ""),
    Row(("status",), 2, "--label is required"),
    Row(("result", "--label", "none"), 0, ""),
    Row(("result",), 2, "--label is required"),
    Row(("send", "--label", "none", "--message", "x"), 1, "no label 'none'"),
    Row(("send", "--message", "x"), 2, "--label is required, or --session-key"),
    Row(("send", "--label", "L"), 2, "--message is required"),
    Row(("steer", "--label", "L"), 2, "--message is required"),
    Row(("steer", "--label", "none", "--message", "x"), 1, "no label 'none'"),
    Row(("heartbeat", "--label", "none"), 1, "no label 'none'"),
    Row(("heartbeat",), 2, "--label is required, or --session-key"),
    Row(("heartbeat", "--label", "no"), 1, "no label 'no'"),
    Row(("heartbeat", "--session-key", "agent:main:subagent:gone"), 0, ""),
    Row(("heartbeat", "--session-key", "a\nb"), 2, "--session-key: is no key"),
    Row(("list", "--status", "odd"), 2, "--status"),
    Row(("list", "--limit", "0"), 2, "--limit"),
    Row(("stuck",), 0, ""),
    Row(("stuck", "--threshold-min", "x"), 2, "--threshold-min"),
    Row(("done",), 2, "--label is required"),
    Row(("done", "--label", "none", "--checklist", '{"work_complete": true}'), 1, "REJECTED: no label 'none'"),
    Row(("progress", "--label", "none", "--message", "x"), 1, "REJECTED: no label 'none'"),
    Row(("watch",), 2, "--label is required"),
    Row(("watch", "--label", "none"), 1, "no label 'none'"),
    Row(("watch", "--label", "none", "--slice", "0"), 2, "--slice: 0 is out of range"),
    Row(("run", "--label", "L", "--message", "x", "--verify-cmd", "'open"), 2, "--verify-cmd"),
    Row(("run", "--label", "L", "--message", "x", "--model"), 2, "--model needs a value"),
    Row(("recover",), 0, ""),
    Row(("schedules",), 2, "schedules install"),
    Row(("schedules", "install"), 1, "no spine is configured"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row.words)[:60] or "nothing")
def test_exit_code_and_what_is_told(fake: FakeGateway, desk: Dispatching, row: Row) -> None:
    ran = desk.call(*row.words)
    assert (ran.code, row.told in ran.err) == (row.code, True), ran
    if row.code == 2:
        assert (ran.out, fake.calls, desk.labels.exists()) == ("", [], False)
    kept = json.loads(desk.labels.read_text()) if desk.labels.exists() else {}
    assert all(entry["status"] == "error" for entry in kept.values()), kept


def test_the_exit_code_is_the_process_s(desk: Dispatching) -> None:
    assert desk.run("enqueue", "--label", "L").code == 2
    assert desk.run("enqueue", "--label=L", "--message=x", "--no-such-flag", "--timeout=30").code == 0
    assert desk.run("send", "--label", "none", "--message", "x").code == 1


def test_stuck_with_nothing_stuck_is_silent(desk: Dispatching) -> None:
    enqueued(desk)
    assert desk.call("stuck") == Ran(0, "", "")


@pytest.mark.parametrize(
    "label", ["a/../../b", "été 🚀 woman \U0001f469\u200d\U0001f4bb", "x" * 200, "--dashes", "labels.json"]
)
def test_labels_of_every_kind(desk: Dispatching, label: str) -> None:
    ran = desk.call("enqueue", f"--label={label}", "--message", "x")
    assert ran.code == 0, ran.err
    assert desk.entry(label)["status"] == "running"
    folders = [found.name for found in (desk.home / "labels").iterdir()]
    assert len(folders) == 1
    assert len(folders[0]) == 32


# --- enqueue --------------------------------------------------------------------------------------------------------


def test_enqueue_alone_succeeds(fake: FakeGateway, desk: Dispatching) -> None:
    ran = desk.call("enqueue", "--label", "L", "--message", "do it")
    assert ran.code == 0
    answer = ran.answer
    key = answer["sessionKey"]
    assert answer == {
        "ok": True,
        "label": "L",
        "sessionKey": key,
        "runId": answer["runId"],
        "mode": "fresh",
        "agent": "main",
        "status": "accepted",
        "delivery": {
            "scheduler": None,
            "gateway": False,
            "target": None,
            "channel": None,
            "lacks": "no spine is configured: set SPINE_BASE_URL and SPINE_TOKEN_FILE",
            "note": "--deliver-to is not given: ask for the answer by spine-dispatch result",
        },
        "watchdog": {
            "enabled": False,
            "jobId": None,
            "interval": "*/15 * * * *",
            "timeout": 60,
            "skipped": True,
            "reason": "no spine is configured: set SPINE_BASE_URL and SPINE_TOKEN_FILE",
        },
        "message": "accepted; spine-dispatch status --label L says how it goes",
    }
    assert key.startswith("agent:main:subagent:")
    uuid.UUID(key.rpartition(":")[2])
    asked = fake.told("agent")[0]
    assert {name: asked[name] for name in ("agentId", "timeout", "lane", "label", "idempotencyKey")} == {
        "agentId": "main",
        "timeout": 300,
        "lane": "subagent",
        "label": "L",
        "idempotencyKey": answer["runId"],
    }
    assert "deliver" not in asked
    assert "--timeout is not given" in ran.err


def test_the_flags_of_enqueue_reach_gateway_and_ledger(fake: FakeGateway, desk: Dispatching, tmp_path: Path) -> None:
    fake.agents.append("ada")
    (tmp_path / "task").write_text("from a file")
    ran = desk.call(
        "enqueue", "--label", "L", f"--message-file={tmp_path / 'task'}", "--agent", "ada", "--model", "mock/answers",
        "--thinking", "high", "--timeout", "900", "--origin", "slack:C1", "--delivery-mode", "announce-always",
        "--monitor-interval", "*/5 * * * *", "--monitor-timeout", "7", "--no-monitor", "it is short",
        "--verify-cmd", "true", "--repo", "https://git.example/r.git",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    entry, asked = desk.entry("L"), fake.told("agent")[0]
    assert {name: entry[name] for name in (
        "agent", "mode", "model", "thinking", "timeout", "timeoutSeconds", "origin", "deliverTo", "deliverChannel",
        "deliveryMode", "monitorInterval", "monitorTimeoutMin", "noMonitorReason", "verifyCmd", "repository", "status",
        "attempt", "taskPrompt",
    )} == {
        "agent": "ada", "mode": "fresh", "model": "mock/answers", "thinking": "high", "timeout": 900,
        "timeoutSeconds": 900, "origin": "slack:C1", "deliverTo": "C1", "deliverChannel": "slack",
        "deliveryMode": "announce-always", "monitorInterval": "*/5 * * * *", "monitorTimeoutMin": 7,
        "noMonitorReason": "it is short", "verifyCmd": "true", "repository": "https://git.example/r.git",
        "status": "running", "attempt": 1, "taskPrompt": "from a file",
    }  # fmt: skip
    assert (asked["deliver"], asked["channel"], asked["replyTo"], asked["timeout"]) == (True, "slack", "C1", 900)
    assert ran.answer["watchdog"]["reason"] == "it is short"
    assert [call.get("thinkingLevel") for call in fake.told("sessions.patch")] == [None, "high"]
    assert "thinking high is not taken" in ran.err


def test_the_prompt_has_recipes_and_no_token_of_the_gateway(fake: FakeGateway, desk: Dispatching) -> None:
    enqueued(desk, "L", "--deliver-to", "@room")
    said = fake.told("agent")[0]["message"]
    keeping = desk.desk().keeping("L")
    assert "do it" in said
    assert f"spine-dispatch progress --label L --token-file {keeping.token_file}" in said
    assert f"spine-dispatch done --label L --token-file {keeping.token_file}" in said
    assert desk.environ["OPENCLAW_GATEWAY_TOKEN"] not in said
    assert "OPENCLAW_GATEWAY_TOKEN" not in said
    assert keeping.prompt() == said
    assert {path.stat().st_mode & 0o777 for path in keeping.folder.iterdir()} == {0o600}


def test_reuse_goes_on_in_the_label_s_session(fake: FakeGateway, desk: Dispatching) -> None:
    first = enqueued(desk)
    ended(fake, first["sessionKey"])
    again = desk.call("enqueue", "--label", "L", "--message", "more", "--mode", "reuse").answer
    assert (again["sessionKey"], again["mode"]) == (first["sessionKey"], "reuse")
    third = desk.call("enqueue", "--label", "M", "--message", "x", "--session-key", first["sessionKey"]).answer
    assert third["sessionKey"] == first["sessionKey"]


@pytest.mark.parametrize("fault", ["token", "down", "agent", "mute"])
def test_a_gateway_that_does_not_take_it_is_no_success(fake: FakeGateway, desk: Dispatching, fault: str) -> None:
    """W3: the reference said ok and accepted in each of these."""
    words = ["enqueue", "--label", "L", "--message", "x"]
    environ = {}
    if fault == "token":
        environ["OPENCLAW_GATEWAY_TOKEN"] = "another"
    if fault == "down":
        fake.kill()
    if fault == "agent":
        words += ["--agent", "nobody"]
    if fault == "mute":
        fake.pairing = True
    ran = desk.call(*words, **environ)
    assert ran.code == 1
    assert ran.answer["ok"] is False
    codes = {"token": "unauthorized", "down": "unreachable", "agent": "unknown_agent", "mute": "needs_pairing"}
    assert ran.answer["code"] == codes[fault]
    assert not desk.labels.exists() or desk.entry("L")["status"] == "error"


def test_lost_acceptance_is_not_called_accepted(fake: FakeGateway, desk: Dispatching) -> None:
    fake.drop_after = "agent"
    ran = desk.call("enqueue", "--label", "L", "--message", "x")
    assert (ran.code, ran.answer["ok"]) == (1, False)
    assert desk.entry("L")["status"] == "starting"
    assert desk.call("status", "--label", "L").answer["status"] in ("running", "interrupted")


# --- status, result, heartbeat, list --------------------------------------------------------------------------------


def test_unknown_labels(desk: Dispatching) -> None:
    assert desk.call("status", "--label", "none").answer["found"] is False
    assert desk.call("status", "--label", "none").answer["ok"] is True
    assert desk.call("result", "--label", "none").answer["ok"] is False


def test_status_while_running_and_after(fake: FakeGateway, desk: Dispatching) -> None:
    """W4: the reference never resolved anything, since it read files that are not there."""
    key = enqueued(desk, model="sleeps")["sessionKey"]
    eventually(lambda: fake.prompts, what="the prompt")
    running = desk.call("status", "--label", "L").answer
    assert (running["status"], running["liveness"]["active"], "syncAction" in running) == ("running", True, False)
    assert sorted(running["liveness"]) == ["active", "ageMs", "model", "sessionId", "tokens", "updatedAt"]
    assert desk.call("heartbeat", "--label", "L").answer["alive"] is True
    fake.wake()
    ended(fake, key)
    over = desk.call("status", "--label", "L").answer
    assert over["status"] == "interrupted"
    assert over["syncAction"] == {
        "from": "running",
        "to": "interrupted",
        "reason": "the run ended without a done signal",
    }
    assert desk.call("result", "--label", "L").answer["lastReply"] == ANSWER


def test_status_with_the_gateway_down_says_so(fake: FakeGateway, desk: Dispatching) -> None:
    enqueued(desk)
    fake.kill()
    ran = desk.call("status", "--label", "L")
    assert (ran.code, ran.answer["status"]) == (0, "running")
    assert "error" in ran.answer["liveness"]
    assert desk.call("result", "--label", "L").code == 1


def test_an_overload_is_no_answer(fake: FakeGateway, desk: Dispatching) -> None:
    """W14, W15: the reference found no overload, and delivered the gateway's apology as the answer."""
    key = enqueued(desk, model="busy")["sessionKey"]
    ended(fake, key)
    assert desk.call("result", "--label", "L").answer["lastReply"] is None
    assert desk.call("status", "--label", "L").answer["status"] == "error"
    assert desk.entry("L")["errorKind"] == "overload"


def test_list_is_newest_first_filtered_and_cut(desk: Dispatching) -> None:
    desk.write(
        a={"status": "done", "updatedAt": ago(3)},
        b={"status": "error", "updatedAt": ago(1)},
        c={"status": "done", "updatedAt": ago(2)},
    )
    assert [one["label"] for one in desk.call("list").answer["labels"]] == ["b", "c", "a"]
    assert [one["label"] for one in desk.call("list", "--status", "done").answer["labels"]] == ["c", "a"]
    assert desk.call("list", "--limit", "1").answer["count"] == 1


# --- send and steer -------------------------------------------------------------------------------------------------


def test_send_is_a_turn_of_its_own_and_result_is_its_answer(fake: FakeGateway, desk: Dispatching) -> None:
    key = enqueued(desk, model="echo")["sessionKey"]
    ended(fake, key)
    sent = desk.call("send", "--label", "L", "--message", "and now?").answer
    assert (sent["status"], sent["sessionKey"]) == ("sent", key)
    assert [(call["lane"], "deliver" in call) for call in fake.told("agent")] == [
        ("subagent", False),
        ("nested", False),
    ]
    eventually(lambda: len(fake.sessions[key].messages) == 4, what="its answer")
    assert "and now?" in desk.call("result", "--label", "L").answer["lastReply"]


def test_steer_goes_into_the_turn(fake: FakeGateway, desk: Dispatching) -> None:
    """W19: the reference left the required key out and called it a success."""
    key = enqueued(desk, model="sleeps")["sessionKey"]
    assert desk.call("steer", "--session-key", key, "--message", "left").code == 0
    steered = fake.told("chat.send")[0]
    assert (steered["message"], steered["queueMode"], bool(steered["idempotencyKey"])) == ("left", "steer", True)


# --- stuck and sync -------------------------------------------------------------------------------------------------


def old(desk: Dispatching, label: str = "L", minutes: float = 61, **fields: Any) -> None:
    desk.edit(label, spawnedAt=ago(minutes), dispatchedAt=ago(minutes), updatedAt=ago(minutes), **fields)


def silent(fake: FakeGateway, key: str, minutes: float) -> None:
    fake.sessions[key].row["updatedAt"] = time.time_ns() // 1_000_000 - int(minutes * MINUTE)


def test_a_silent_session_is_nudged_once_and_then_stuck(fake: FakeGateway, desk: Dispatching) -> None:
    """W6: with a running task the reference announced that it was completed."""
    key = enqueued(
        desk,
        model="sleeps",
    )["sessionKey"]
    eventually(lambda: fake.prompts, what="the prompt")
    old(desk)
    silent(fake, key, 61)
    first = desk.call("stuck")
    assert (first.code, first.out) == (0, "")
    assert len(fake.told("chat.send")) == 1
    second = desk.call("stuck")
    assert (second.code, second.out) == (1, "L: running for 61 min, silent for 61 min\n")
    assert len(fake.told("chat.send")) == 1
    assert desk.call("stuck") == Ran(0, "", ""), "told already"
    asked = desk.call("stuck", "--json", "--threshold-min", "20", "--label", "L").answer
    assert [one["label"] for one in asked["stuck_sessions"]] == ["L"]
    assert sorted(asked["stuck_sessions"][0]) == [
        "age_s", "label", "minutes_running", "minutes_silent", "sessionKey", "spawnedAt", "toldAt",
    ]  # fmt: skip
    assert asked["threshold_min"] == 20
    asked_of_all = desk.call("stuck", "--json")
    assert (asked_of_all.code, asked_of_all.answer["threshold_min"], asked_of_all.answer["ok"]) == (1, 15, False)
    assert desk.call("stuck", "--json", "--label", "other").answer["stuck_count"] == 0
    assert desk.call("stuck", "--json", "--label", "no").answer["stuck_count"] == 0, "a label, not a denial"
    assert desk.call("stuck", "--json", "--threshold-min", "70").answer["stuck_count"] == 0
    desk.edit("L", monitorTimeoutMin=70)
    assert desk.call("stuck", "--json").answer["stuck_count"] == 0, "the label's own goes before"


def stuck_and_told(fake: FakeGateway, desk: Dispatching) -> str:
    """Leave a label silent for two hours, nudged, and told of an hour ago."""
    key = str(enqueued(desk, model="sleeps")["sessionKey"])
    eventually(lambda: fake.prompts, what="the prompt")
    old(desk, minutes=120)
    silent(fake, key, 120)
    desk.call("stuck")
    assert desk.call("stuck").code == 1
    desk.edit("L", nudgedAt=ago(90), stuckToldAt=ago(60))
    assert desk.call("stuck") == Ran(0, "", "")
    return key


def alive(fake: FakeGateway, desk: Dispatching, key: str) -> None:
    """A sign of life half an hour ago: tokens were spent."""
    silent(fake, key, 30)
    fake.sessions[key].row["totalTokens"] = 1000


def checked_in(fake: FakeGateway, desk: Dispatching, key: str) -> None:
    """What the agent says of itself."""
    assert desk.call("progress", "--label", "L", "--message", "half", token(desk, "L")).code == 0


def dispatched_anew(fake: FakeGateway, desk: Dispatching, key: str) -> None:
    """The label has another run."""
    again = enqueued(desk, "L", "--mode", "reuse", model="sleeps")
    assert again["sessionKey"] == key
    old(desk)
    silent(fake, key, 61)


@pytest.mark.parametrize("change", [alive, checked_in, dispatched_anew])
def test_another_silence_is_told_of_again_after_a_nudge(
    fake: FakeGateway, desk: Dispatching, change: Callable[[FakeGateway, Dispatching, str], None]
) -> None:
    key = stuck_and_told(fake, desk)
    nudges = len(fake.told("chat.send"))
    change(fake, desk, key)
    first = desk.call("stuck")
    assert (first.code, first.out, len(fake.told("chat.send"))) == (0, "", nudges + 1)
    assert desk.call("stuck").code == 1
    assert desk.call("stuck") == Ran(0, "", "")


def test_a_silence_that_goes_on_is_told_of_once_a_day(fake: FakeGateway, desk: Dispatching) -> None:
    stuck_and_told(fake, desk)
    old(desk, minutes=3000)
    desk.edit("L", nudgedAt=ago(2000), stuckToldAt=ago(24 * 60 + 1))
    silent(fake, desk.entry("L")["sessionKey"], 3000)
    again = desk.call("stuck")
    assert (again.code, again.out) == (1, "L: running for 3000 min, silent for 3000 min\n")
    assert desk.call("stuck") == Ran(0, "", "")
    desk.edit("L", stuckToldAt=ago(-600))
    assert desk.call("stuck").code == 1, "told at a time to come, by a clock that was ahead"


def test_stuck_leaves_the_young_and_the_watched_alone_and_resolves_what_is_over(
    fake: FakeGateway, desk: Dispatching
) -> None:
    enqueued(desk, "young", model="sleeps")
    key = enqueued(desk, "over")["sessionKey"]
    enqueued(desk, "watched", model="sleeps")
    ended(fake, key)
    old(desk, "over")
    old(desk, "watched", owner="elsewhere/1/2/3", ownerUntil=ago(-5))
    answer = desk.call("stuck", "--json").answer
    assert (answer["stuck_count"], answer["watcher_skipped"], answer["nudged"]) == (0, ["watched"], [])
    assert [(one["label"], one["to"]) for one in answer["auto_resolved"]] == [("over", "interrupted")]


def test_sync_marks_takes_in_and_only_says_when_dry(fake: FakeGateway, desk: Dispatching) -> None:
    """W45: the README promises the import, the reference has none."""
    key = enqueued(desk, "over")["sessionKey"]
    enqueued(desk, "gone", model="sleeps")
    ended(fake, key)
    del fake.sessions[desk.entry("gone")["sessionKey"]]
    old(desk, "gone")
    other = f"agent:main:subagent:{uuid.uuid4()}"
    desk.desk().gateway().patch(other, label="theirs")
    before = desk.labels.read_bytes()
    dry = desk.call("sync", "--dry-run").answer
    assert desk.labels.read_bytes() == before
    wet = desk.call("sync").answer
    assert (dry["dryRun"], wet["dryRun"], dry["details"]) == (True, False, wet["details"])
    assert [(one["label"], one["from"], one["to"]) for one in wet["details"]] == [
        ("over", "running", "interrupted"),
        ("gone", "running", "interrupted"),
        ("theirs", None, "interrupted"),
    ]
    assert desk.entry("theirs")["sessionKey"] == other
    assert desk.call("sync").answer["changes"] == 0


# --- done -----------------------------------------------------------------------------------------------------------

GOOD = '{"work_complete": true}'
Prepare = Callable[[FakeGateway, Dispatching], None]


def nothing(fake: FakeGateway, desk: Dispatching) -> None:
    """The label as it is."""


def push_task(fake: FakeGateway, desk: Dispatching) -> None:
    enqueued_push(desk, "finally git push your work")


def enqueued_push(desk: Dispatching, task: str) -> None:
    desk.call("enqueue", "--label", "L", "--message", task)
    old(desk)


DONE_ROWS: list[tuple[str, tuple[str, ...], Prepare, str]] = [
    ("no checklist", (), nothing, "--checklist is required"),
    ("a checklist without a value", ("--checklist",), nothing, "--checklist needs a value"),
    ("no JSON", ("--checklist", "{"), nothing, "is not JSON"),
    ("no object", ("--checklist", "[1]"), nothing, "is no object"),
    ("nothing complete", ("--checklist", "{}"), nothing, "work_complete is not true"),
    ("a word for true", ("--checklist", '{"work_complete": "no"}'), nothing, "neither true nor false"),
    ("a number for true", ("--checklist", '{"work_complete": 1}'), nothing, "neither true nor false"),
    (
        "tests failed",
        ("--checklist", '{"work_complete": true, "tests_passed": false}'),
        nothing,
        "tests_passed is false",
    ),
    ("a word for false", ("--checklist", '{"work_complete": true, "pushed": "false"}'), nothing, "neither true nor"),
    ("null for false", ("--checklist", '{"work_complete": true, "pushed": null}'), nothing, "neither true nor"),
    ("not pushed", ("--checklist", '{"work_complete": true, "pushed": false}'), nothing, "pushed is false"),
    ("forced without reason", ("--checklist", GOOD, "--force-done"), nothing, "needs --reason"),
    ("an empty reason", ("--checklist", GOOD, "--force-done", "--reason"), nothing, "--reason needs a value"),
    ("no sha", ("--checklist", GOOD), push_task, "--sha is required"),
    ("an odd sha", ("--checklist", GOOD, "--sha", "xyz1234"), nothing, "7 to 40 hexadecimal"),
    ("a short sha", ("--checklist", GOOD, "--sha", "abc123"), nothing, "7 to 40 hexadecimal"),
]


@pytest.mark.parametrize(("name", "words", "prepare", "told"), DONE_ROWS, ids=[row[0] for row in DONE_ROWS])
def test_a_done_signal_that_is_rejected(
    fake: FakeGateway, desk: Dispatching, name: str, words: tuple[str, ...], prepare: Prepare, told: str
) -> None:
    """W20: of these the reference let most through."""
    enqueued(desk)
    old(desk)
    prepare(fake, desk)
    ran = desk.call("done", "--label", "L", token(desk, "L"), *words)
    assert ran.code == 1
    assert "REJECTED:" in ran.err
    assert told in ran.err
    assert desk.entry("L")["status"] == "running"


def test_only_the_label_s_own_token_opens(desk: Dispatching) -> None:
    enqueued(desk)
    enqueued(desk, "M")
    old(desk)
    for words in ((), (token(desk, "M"),), ("--token-file", "/no/such")):
        ran = desk.call("done", "--label", "L", "--checklist", GOOD, "--skip-activity-check", *words)
        assert (ran.code, "token" in ran.err) == (1, True)
        assert desk.call("progress", "--label", "L", "--message", "x", *words).code == 1
    assert desk.call("done", "--label", "L", "--checklist", GOOD, "--skip-activity-check", token(desk, "L")).code == 0


@pytest.mark.parametrize(("timeout", "least"), [(600, 60), (601, 120)])
def test_the_least_run_time(desk: Dispatching, timeout: int, least: int) -> None:
    enqueued(desk, "L", "--timeout", str(timeout))
    words = ("done", "--label", "L", "--checklist", GOOD, "--skip-activity-check", token(desk, "L"))
    desk.edit("L", spawnedAt=ago((least - 10) / 60))
    early = desk.call(*words)
    assert (early.code, f"takes {least} s at least" in early.err) == (1, True)
    desk.edit("L", spawnedAt=ago((least + 1) / 60))
    assert desk.call(*words).code == 0


def test_activity_is_checked_and_a_gateway_that_is_away_holds_nothing_up(fake: FakeGateway, desk: Dispatching) -> None:
    key = enqueued(desk)["sessionKey"]
    ended(fake, key)
    old(desk)
    words = ("done", "--label", "L", "--checklist", GOOD, token(desk, "L"))
    few = desk.call(*words)
    assert (few.code, "has 2 messages" in few.err) == (1, True)
    fake.kill()
    away = desk.call(*words)
    assert (away.code, "could not be checked" in away.err) == (0, True)


def test_forced_with_a_reason_and_twice_is_once(desk: Dispatching) -> None:
    enqueued(desk)
    words = ("done", "--label", "L", "--checklist", GOOD, token(desk, "L"), "--force-done", "--reason", "I know")
    first = desk.call(*words, "--summary", "s" * 400)
    assert (first.code, "because: I know" in first.err, "cut to 300" in first.err) == (0, True, True)
    assert first.answer["summary"] == "s" * 300
    before = desk.labels.read_bytes()
    again = desk.call(*words, "--summary", "other")
    assert (again.code, again.answer["summary"], again.answer["message"]) == (0, "s" * 300, "it was done already")
    assert desk.labels.read_bytes() == before


def test_progress_is_kept(desk: Dispatching) -> None:
    enqueued(desk)
    assert desk.call("progress", "--label", "L", "--message", "half of it", token(desk, "L")).code == 0
    assert desk.entry("L")["progress"] == "half of it"
