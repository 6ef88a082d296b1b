"""With a spine: a watcher is a job of this machine's claw, in short parts; recovery and the detector are schedules."""

import base64
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.dispatching import Dispatching
from tests.support.eventually import eventually
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.mock_model import ANSWER
from tests.support.receiver import Receiver
from tests.support.spine_process import TOKENS, SpineProcess

from contract import wire
from contract.client import SpineClient
from contract.schedule_client import ScheduleClient
from dispatch.ledger import stamp


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    folder = tmp_path_factory.mktemp("spine")
    aliases = folder / "notices.json"
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    aliases.write_text(
        msgspec.json.encode(
            {"room": {"channel": "webhook", "url": "http://127.0.0.1:9/", "secrets": [secret]}}
        ).decode()
    )
    aliases.chmod(0o600)
    serving = SpineProcess(folder, {"SPINE_NOTICES_FILE": str(aliases)}).start()
    yield serving
    serving.stop()


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway
        gateway.wake()


@pytest.fixture
def desk(fake: FakeGateway, spine: SpineProcess, tmp_path: Path) -> Dispatching:
    for name, text in (("spine-token", TOKENS["HEAD_TOKEN"]), ("gateway-token", TOKEN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    made = Dispatching(
        tmp_path / "home",
        fake.url,
        SPINE_BASE_URL=spine.url,
        SPINE_TOKEN_FILE=str(tmp_path / "spine-token"),
        DISPATCH_TARGET="left-claw",
        OPENCLAW_GATEWAY_TOKEN_FILE=str(tmp_path / "gateway-token"),
    )
    del made.environ["OPENCLAW_GATEWAY_TOKEN"]
    return made


class Claw:
    """Does jobs as a claw does: the argument list of the spec, in an environment that has none of our settings."""

    def __init__(self, spine: SpineProcess) -> None:
        self._client = SpineClient(spine.url, TOKENS["LEFT_CLAW_TOKEN"], worker_id="left-claw-1")

    def claim(self, job_id: str | None = None) -> wire.Job:
        """Claim a job: the next one, or the one with this id, past those that other tests have left."""
        found = eventually(lambda: next(iter(self._client.claim(wait=2)), None), 40, what="a job")
        return found if job_id in (None, found.id) else self.claim(job_id)

    def do(self, job: wire.Job) -> "subprocess.CompletedProcess[str]":
        run = job.spec["run"]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=180)
        if done.returncode == 0:
            self._client.complete(job.id, job.fence, {"exitCode": 0})
        return done


def test_a_watcher_is_a_job_and_killing_it_loses_nothing(
    fake: FakeGateway, desk: Dispatching, spine: SpineProcess
) -> None:
    ran = desk.run("enqueue", "--label", "L", "--message", "x", "--model", "mock/sleeps", "--deliver-to", "@room")
    assert ran.code == 0, ran.err
    answer, claw = ran.answer, Claw(spine)
    job = claw.claim()
    assert answer["delivery"] == {"scheduler": job.id, "gateway": False, "target": "@room", "channel": "telegram"}
    assert answer["watchdog"]["enabled"] is True
    assert "deliver" not in fake.told("agent")[0], "the gateway does not deliver as well (W43)"
    assert job.delivery is not None
    assert (job.delivery.mode, job.delivery.to, job.delivery.channel) == ("announce", "@room", None)
    assert (job.target, job.label, job.timeout_seconds, job.max_attempts) == (
        "left-claw",
        "spine-dispatch-deliver:L",
        300,
        20,
    )
    assert job.spec["permanentExits"] == [1, 2]
    key = desk.entry("L")["dispatchKey"]
    assert job.spec["run"][-5:] == ["watch", "--label=L", "--slice=10", "--part=1", f"--key={key}"]
    assert TOKEN not in str(job.spec)
    assert TOKENS["HEAD_TOKEN"] not in str(job.spec)
    # A part takes seconds of the claw, and hands over; done twice, as after a kill, it hands over once.
    first = job.spec["run"]
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    killed = subprocess.run(first, env=env, capture_output=True, text=True, timeout=180)
    assert (killed.returncode, killed.stdout) == (0, ""), killed.stderr
    again = claw.do(job)
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    head = SpineClient(spine.url, TOKENS["HEAD_TOKEN"])
    waiting = [one for one in head.jobs(label="spine-dispatch-deliver:L").jobs if one.id != job.id]
    assert len(waiting) == 1
    assert waiting[0].not_before is not None
    fake.wake()
    last = claw.do(claw.claim())
    assert (last.returncode, last.stdout) == (0, f"[spine-dispatch] L: done\n\n{ANSWER}\n")
    assert desk.entry("L")["status"] == "done"


def test_a_watcher_that_is_a_job_posts_to_a_webhook_whose_address_came_by_a_file(
    desk: Dispatching, spine: SpineProcess, tmp_path: Path
) -> None:
    with contextlib.closing(Receiver()) as receiver:
        (tmp_path / "url").write_text(f"{receiver.url}/hook\n")
        ran = desk.call(
            "enqueue", "--label", "posts", "--message", "x", DISPATCH_WEBHOOK_URL_FILE=str(tmp_path / "url")
        )
        assert "lacks" not in ran.answer["watchdog"]
        (job,) = watcher_jobs(spine, "posts")
        assert receiver.url not in str(job.spec)
        claw = Claw(spine)
        assert claw.do(claw.claim(job.id)).returncode == 0
        assert [(one.path, one.json["event"], one.json["label"]) for one in receiver.ledger] == [
            ("/hook", "dispatch.started", "posts"),
            ("/hook", "dispatch.finished", "posts"),
        ]


def test_an_address_of_a_webhook_that_no_job_would_have_is_said(desk: Dispatching, spine: SpineProcess) -> None:
    here = {"DISPATCH_WEBHOOK_URL": "http://127.0.0.1:9/hook?key=mine"}
    ran = desk.call("enqueue", "--label", "posts-not", "--message", "x", **here)
    assert (ran.code, ran.answer["watchdog"]["enabled"]) == (0, True)
    assert "named in DISPATCH_WEBHOOK_URL_FILE" in ran.answer["watchdog"]["lacks"]
    assert f"posts-not: {ran.answer['watchdog']['lacks']}" in ran.err
    assert "named in DISPATCH_WEBHOOK_URL_FILE" in desk.call("schedules", "install", "--interval", "x", **here).err
    (job,) = watcher_jobs(spine, "posts-not")
    assert "key=mine" not in ran.out + ran.err + str(job.spec)


@pytest.mark.parametrize("missing", ["SPINE_BASE_URL", "SPINE_TOKEN_FILE", "DISPATCH_TARGET"])
def test_what_is_missing_is_said_and_the_session_starts_all_the_same(desk: Dispatching, missing: str) -> None:
    answer = desk.call("enqueue", "--label", "L", "--message", "x", "--deliver-to", "77", **{missing: ""}).answer
    assert missing in answer["delivery"]["lacks"]
    assert (answer["delivery"]["scheduler"], answer["delivery"]["gateway"]) == (None, True)


def test_a_gateway_s_token_that_no_job_would_have_is_said_before_one_is_made(desk: Dispatching) -> None:
    here = {"OPENCLAW_GATEWAY_TOKEN": TOKEN, "OPENCLAW_GATEWAY_TOKEN_FILE": ""}
    ran = desk.call("enqueue", "--label", "L", "--message", "x", "--deliver-to", "77", **here)
    assert ran.code == 0
    assert "name that in OPENCLAW_GATEWAY_TOKEN_FILE" in ran.answer["delivery"]["lacks"]
    assert (ran.answer["delivery"]["scheduler"], ran.answer["delivery"]["gateway"]) == (None, True)
    refused = desk.call("schedules", "install", **here)
    assert (refused.code, refused.answer["code"]) == (1, "no_spine")
    assert "OPENCLAW_GATEWAY_TOKEN_FILE" in refused.answer["error"]
    assert TOKEN not in ran.out + ran.err + refused.out + refused.err


def test_a_spine_that_is_away_is_said(desk: Dispatching) -> None:
    ran = desk.call("enqueue", "--label", "L", "--message", "x", SPINE_BASE_URL="http://127.0.0.1:9")
    assert (ran.code, ran.answer["delivery"]["scheduler"]) == (0, None)
    assert "did not take the watcher" in ran.answer["delivery"]["lacks"]


NOWHERE = "http://127.0.0.1:9"


def watcher_jobs(spine: SpineProcess, label: str) -> list[wire.Job]:
    head = SpineClient(spine.url, TOKENS["HEAD_TOKEN"])
    return head.jobs(label=f"spine-dispatch-deliver:{label}").jobs


def owing(desk: Dispatching, label: str, **environ: str) -> None:
    """Dispatch while the spine does not take the watcher."""
    words = ("enqueue", "--label", label, "--message", "x", "--deliver-to", "@room")
    ran = desk.call(*words, **{"SPINE_BASE_URL": NOWHERE, **environ})
    assert (ran.code, ran.answer["delivery"]["scheduler"]) == (0, None)
    assert desk.entry(label)["watcherOwed"].startswith("the spine did not take the watcher: ")


@pytest.mark.parametrize(
    "words", [("recover",), ("stuck",), ("sync",), ("enqueue", "--label", "other", "--message", "x")], ids=" ".join
)
def test_a_watcher_that_the_spine_did_not_take_is_filed_by_the_next_verb(
    desk: Dispatching, spine: SpineProcess, words: tuple[str, ...]
) -> None:
    label = f"owed-{words[0]}"
    owing(desk, label)
    ran = desk.call(*words)
    assert (ran.code, f"{label}: its watcher was owed, and is filed now" in ran.err) == (0, True)
    (job,) = watcher_jobs(spine, label)
    assert (desk.entry(label)["watcherOwed"], desk.entry(label)["watchdogJobId"]) == (None, job.id)
    assert "filed now" not in desk.call(*words).err
    assert len(watcher_jobs(spine, label)) == 1
    claw = Claw(spine)
    assert claw.do(claw.claim(job.id)).stdout == f"[spine-dispatch] {label}: done\n\n{ANSWER}\n"


def test_a_watcher_that_is_still_not_taken_stays_owed_and_a_dry_run_files_none(
    desk: Dispatching, spine: SpineProcess
) -> None:
    owing(desk, "owed-still")
    assert desk.call("sync", "--dry-run").code == 0
    ran = desk.call("recover", SPINE_BASE_URL=NOWHERE)
    assert (ran.code, ran.out, "did not take the watcher" in ran.err) == (0, "", True)
    assert desk.entry("owed-still")["watcherOwed"]
    assert watcher_jobs(spine, "owed-still") == []


def test_one_that_is_refused_holds_no_other_up(desk: Dispatching, spine: SpineProcess) -> None:
    ran = desk.call("enqueue", "--label", "owed-a", "--message", "x", "--deliver-to", "@nobody")
    assert "there is no alias 'nobody'" in ran.answer["delivery"]["lacks"]
    owing(desk, "owed-b")
    assert desk.call("recover").code == 0
    assert "there is no alias" in desk.entry("owed-a")["watcherOwed"]
    assert (watcher_jobs(spine, "owed-a"), len(watcher_jobs(spine, "owed-b"))) == ([], 1)


def test_one_that_is_owed_for_too_long_is_given_up_and_said_once(desk: Dispatching, spine: SpineProcess) -> None:
    owing(desk, "owed-long")
    desk.edit("owed-long", dispatchedAt=stamp(0))
    said = desk.call("recover").out
    assert said == "owed-long: its answer was delivered to nobody, since for 48 hours no watcher was taken\n"
    assert desk.call("recover").out == ""
    assert (desk.entry("owed-long")["watcherOwed"], watcher_jobs(spine, "owed-long")) == (None, [])


def test_a_kill_between_acceptance_and_the_watcher_leaves_it_owed(
    desk: Dispatching, spine: SpineProcess, tmp_path: Path
) -> None:
    reached = tmp_path / "reached"
    environ = {"SPINE_KILL_POINT": "dispatch.accepted", "SPINE_KILL_POINT_FILE": str(reached)}
    words = ("enqueue", "--label", "owed-killed", "--message", "x", "--deliver-to", "@room")
    with desk.process(*words, **environ) as child:
        eventually(reached.exists, what="the acceptance")
        child.kill()
        child.communicate(timeout=30)
    assert desk.entry("owed-killed")["watcherOwed"] == "not filed yet"
    assert desk.call("stuck").code == 0
    assert len(watcher_jobs(spine, "owed-killed")) == 1


def test_a_run_of_the_label_by_another_verb_owes_no_watcher(desk: Dispatching, spine: SpineProcess) -> None:
    owing(desk, "owed-run")
    assert desk.run("run", "--label", "owed-run", "--message", "x").code == 0
    assert (desk.entry("owed-run")["watcherOwed"], desk.call("recover").code) == (None, 0)
    assert watcher_jobs(spine, "owed-run") == []


@pytest.mark.parametrize(
    "words", [("--delivery-mode", "none"), ("--no-monitor", "short"), ("--agent", "nobody")], ids=" ".join
)
def test_nobody_watches_what_nobody_waits_for_or_what_was_not_begun(
    desk: Dispatching, spine: SpineProcess, words: tuple[str, ...]
) -> None:
    label = f"unwatched{words[0]}"
    desk.call("enqueue", "--label", label, "--message", "x", "--deliver-to", "@room", *words)
    assert desk.entry(label)["watcherOwed"] is None
    assert desk.call("recover").code == 0
    assert watcher_jobs(spine, label) == []


def test_without_a_target_the_run_is_watched_and_nobody_told(desk: Dispatching, spine: SpineProcess) -> None:
    ran = desk.call("enqueue", "--label", "untold", "--message", "x")
    (job,) = watcher_jobs(spine, "untold")
    assert (job.delivery, ran.answer["delivery"]["scheduler"], "lacks" in ran.answer["delivery"]) == (
        None,
        job.id,
        False,
    )


def test_what_recovery_begins_again_has_a_watcher_of_its_own(
    fake: FakeGateway, desk: Dispatching, spine: SpineProcess
) -> None:
    """W13: the reference's had left, and nobody delivered the answer."""
    fake.error_text = "HTTP 529 overloaded"
    key = desk.call("enqueue", "--label", "again", "--message", "x", "--deliver-to", "@room").answer["sessionKey"]
    eventually(lambda: fake.sessions[key].row.get("status") == "failed", what="the end of the run")
    assert desk.call("status", "--label", "again").answer["status"] == "error"
    (first,) = watcher_jobs(spine, "again")
    desk.edit("again", updatedAt=stamp(time.time_ns() // 1_000_000 - 600_000))
    assert desk.call("recover").out.startswith("again: begun again after")
    (second,) = [job for job in watcher_jobs(spine, "again") if job.id != first.id]
    claw = Claw(spine)
    said = [claw.do(claw.claim(job.id)).stdout for job in (first, second)]
    assert said == ["", f"[spine-dispatch] again: done\n\n{ANSWER}\n"]


def test_schedules_that_are_refused_leave_neither(desk: Dispatching, spine: SpineProcess) -> None:
    shape = desk.call("schedules", "install", "--interval", "hourly")
    assert (shape.code, "--interval: 'hourly' is no cron expression" in shape.err) == (2, True)
    never = desk.call("schedules", "install", "--interval", "99 * * * *")
    assert (never.code, never.answer["code"], "cron" in never.answer["error"]) == (1, "invalid_field", True)
    assert desk.call("schedules", "install", "--deliver-to", "@nobody").answer["code"] == "invalid_field"
    assert ScheduleClient(spine.url, TOKENS["HEAD_TOKEN"]).schedules().schedules == []


def test_schedules_are_installed_once(desk: Dispatching, spine: SpineProcess) -> None:
    first = desk.run("schedules", "install")
    assert first.code == 0, first.err
    again = desk.run("schedules", "install", "--deliver-to", "@room", "--interval", "*/5 * * * *")
    assert [one["action"] for one in first.answer["schedules"]] == ["added", "added"]
    assert [one["action"] for one in again.answer["schedules"]] == ["updated", "updated"]
    client = ScheduleClient(spine.url, TOKENS["HEAD_TOKEN"])
    assert sorted(first.answer) == ["ok", "schedules", "target"]
    assert (first.answer["target"], sorted(first.answer["schedules"][0])) == ("left-claw", ["action", "id", "name"])
    jobs = [client.schedule(one["id"]).job for one in again.answer["schedules"]]
    assert [(job["target"], job["spec"]["run"][-1], job["delivery"]) for job in jobs] == [
        ("left-claw", "--threshold-min=60", {"mode": "announce", "to": "@room"}),
        ("left-claw", "recover", {"mode": "announce", "to": "@room"}),
    ]
    assert jobs[0]["spec"]["permanentExits"] == [1], "a telling is not tried again"
    assert desk.run("schedules", "install", "--threshold-min", "7", "--deliver-to", "@room").code == 0
    assert client.schedule(again.answer["schedules"][0]["id"]).job["spec"]["run"][-1] == "--threshold-min=7"
    known = client.schedules().schedules
    assert [(one.name, one.cron) for one in known] == [
        ("spine-dispatch-left-claw-stuck", "*/15 * * * *"),
        ("spine-dispatch-left-claw-recover", "*/10 * * * *"),
    ]
