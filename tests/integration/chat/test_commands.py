"""What people ask of the bot on Discord, and what they are told: the broker's replies word for word, and our own."""

import re
from pathlib import Path

from tests.integration.chat.conftest import Hand, Served, StartChat
from tests.support.chat_process import ask, told
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.fake_discord import Channel, FakeDiscord, User
from tests.support.spine_process import TOKENS, SpineProcess

from contract.head_client import HeadClient
from contract.wire import Job


def test_a_ping_is_a_job_whose_result_is_said(start_chat: StartChat, discord: FakeDiscord, hand: Hand) -> None:
    chat, dm = start_chat(), discord.user("ada").dm()
    asked = dm.send("ping hi")
    job = hand.take()
    created = dm.await_reply()
    assert created.content == f"Job created: `{job.id}`. Waiting for result…"
    assert created.reference == asked.id
    hand.end(job, "pong: hi")
    assert dm.await_reply("pong").content == "pong: hi"
    assert job.spec == {"command": "ping", "payload": "hi"}
    assert (job.target, job.requires, job.label) == ("any", ["broker"], f"discord:{discord.user('ada').id}")
    assert chat.stop() == 0
    assert chat.owed() == []


def test_a_real_claw_answers_the_brokers_commands_and_a_plan_is_approved_once(
    dm: Channel, someone: User, served: Served, spine: SpineProcess, head: HeadClient, tmp_path: Path
) -> None:
    env: dict[str, str | None] = {"CLAW_DIALECTS": "broker", "WORKER_ID": "runner-1"}
    claw = Machine(tmp_path / "claw", "right-claw", TOKENS["RIGHT_CLAW_TOKEN"], spine.url, env)
    running = claw.run()
    try:
        dm.send("PING  hello there ")
        assert dm.await_reply("pong").content == "pong: hello there"
        dm.send("capabilities")
        said = dm.await_reply("Worker").content
        assert said == "Worker: `runner-1`\nCapabilities: ping, capabilities, plan_echo, approve_echo"
        dm.send("plan tidy up")
        planned = dm.await_reply("Plan ID")
        found = re.fullmatch(
            r"Plan ID: `([a-z0-9]{20})`\nSummary: Echo plan for: tidy up\nTo apply: `approve \1`", planned.content
        )
        assert found is not None, planned.content
        assert dm.await_reply("Plan job: ").content == f"Plan job: `{found[1]}`. Waiting for result…"
        assert planned.labels == ["Approve"]
        dm.send(f"approve {found[1]}")
        assert dm.await_reply("Status").content == "Status: approved\nno-op (scaffold)"
        approval = re.fullmatch(r"Approval job: `(.+)`\. Waiting for result…", dm.await_reply("Approval").content)
        assert approval is not None
        again = f"Plan `{found[1]}` was approved already, by job `{approval[1]}`."
        assert told(dm, f"approve {found[1]}") == again
        asked = dm.messages()[-1]
        served[0].press(planned, "Approve")
        assert dm.await_reply(after=asked).content == again
        assert [(comment.by, comment.text) for comment in head.job(found[1]).comments] == [
            (f"chat/discord:{someone.id}", f"plan approved with job {approval[1]}")
        ]
        assert told(dm, "approve 00000000-0000-4000-8000-000000000000").startswith("Approval job: `")
        assert dm.await_reply("failed").content == "Job failed: unknown plan_id"
    finally:
        running.terminate()
        running.wait(60)


def test_usage_and_unknown_words_need_no_job(dm: Channel, head: HeadClient) -> None:
    assert told(dm, "status") == "Usage: `status <job_id>`"
    assert told(dm, "approve") == "Usage: `approve <plan_id>`"
    assert told(dm, "Approve `x`") == "Usage: `approve <plan_id>`"
    assert told(dm, "review maybe j1") == "Usage: `review accept <job_id>` or `review rework <job_id> <text>`"
    assert told(dm, "submit") == "Usage: `submit <task>`"
    assert told(dm, "comment j1") == "Usage: `comment <job_id> <text>`"
    assert told(dm, "jobs tomorrow") == "Usage: `jobs [mine|<status>]`"
    assert told(dm, "make me a sandwich").startswith("Unknown command. Use: `ping <text>`, `capabilities`, ")
    assert told(dm, "help").splitlines()[0] == "`ping <text>` — ask a claw for a sign of life"
    assert told(dm, "status no-such-job") == "There is no job `no-such-job`."
    assert told(dm, "why no-such-job") == "There is no job `no-such-job`."
    assert told(dm, "review accept no-such-job") == "There is no job `no-such-job`."
    assert told(dm, "rework no-such-job do it better") == "There is no job `no-such-job`."
    assert head.jobs(label="discord:nobody").jobs == []


def test_status_tells_each_stand_and_needs_no_slot(dm: Channel, hand: Hand) -> None:
    dm.send("ping x")
    job = hand.take()
    running = ask(dm, f"status {job.id}")
    assert running.content == f"Job `{job.id}`: **running**"
    assert running.labels == ["Cancel"]
    hand.client.fail(job.id, job.fence, "no disk", requeue=False)
    assert dm.await_reply("Job failed").content == "Job failed: no disk"
    assert told(dm, f"status {job.id}") == f"Job `{job.id}`: **failed**\nError: no disk"


def test_an_empty_result_is_named(dm: Channel, hand: Hand) -> None:
    dm.send("ping")
    assert hand.do("").spec == {"command": "ping", "payload": ""}
    assert dm.await_reply("(no").content == "(no result)"


def test_a_long_result_goes_on_in_parts(dm: Channel, hand: Hand) -> None:
    dm.send("ping x")
    job = hand.do("a" * 1500 + "the end")
    assert dm.await_reply("aaa").content == "a" * 1500 + f"… (use `status {job.id}` for full output)."
    assert told(dm, f"status {job.id} 2") == f"Job `{job.id}`: **done** (2 of 2)\nthe end"
    assert told(dm, f"status {job.id} x") == "Usage: `status <job_id>`"


def test_a_task_is_reviewed_in_words(dm: Channel, someone: User, hand: Hand, head: HeadClient) -> None:
    dm.send("submit @left-claw Mend the tests")
    job = hand.take()
    assert (job.target, job.spec, job.needs_review) == ("left-claw", "Mend the tests", True)
    hand.end(job, {"notes": "mended", "branch": "spine/job-1"})
    done = dm.await_reply("mended")
    assert (done.content, done.labels) == ("mended\nbranch: spine/job-1", ["Accept", "Rework"])
    rework = "Say what is to be done differently: `review rework <job_id> <text>`"
    assert told(dm, f"review rework {job.id}") == rework
    assert told(dm, f"review rework {job.id} also the slow ones") == f"Sent back: job `{job.id}`."
    again = hand.take()
    assert again.id == job.id
    hand.end(again, {"notes": "all of them"})
    assert dm.await_reply("all of them").content == "all of them"
    assert told(dm, f"review accept {job.id}") == f"Accepted: job `{job.id}`."
    now = head.job(job.id)
    assert now.review is not None
    assert now.review.state == "accepted"
    person = f"chat/discord:{someone.id}"
    assert (job.created_by, now.review.by) == (person, person)
    assert [comment.by for comment in now.comments if "also the slow ones" in comment.text] == [person]
    nothing = "It does not wait for this decision, or somebody was faster."
    assert told(dm, f"review rework {job.id} once more") == nothing


def test_a_spec_may_be_json_and_a_wrong_one_is_named(dm: Channel, hand: Hand) -> None:
    assert told(dm, 'submit {"run": ').startswith(
        "What begins with a brace is read as a spec in JSON, and this is none"
    )
    dm.send('submit {"run": "make test"}')
    job = hand.take()
    assert (job.target, job.spec) == ("any", {"run": "make test"})
    hand.end(job, {"notes": "ok"})
    refused = told(dm, "submit @nobody do it")
    assert refused.startswith("The spine does not take it: target: ")


def test_jobs_why_comment_and_cancel(dm: Channel, someone: User, hand: Hand, head: HeadClient) -> None:
    assert told(dm, "jobs") == "No jobs."
    other = head.submit({"target": "right-claw", "spec": "of somebody else"})
    dm.send("submit look around")
    mine = eventually(lambda: _only(head.jobs(label=f"discord:{someone.id}", status="queued").jobs))
    assert told(dm, "jobs") == f"`{other.id}` **queued** of somebody else\n`{mine.id}` **queued** look around"
    assert told(dm, "jobs mine").splitlines()[0] == f"`{mine.id}` **queued** look around"
    assert told(dm, f"why {mine.id}").startswith(f"Job `{mine.id}`: **queued**\n- ")
    assert told(dm, f"comment {mine.id} take your time") == f"Comment added to job `{mine.id}`."
    comment = head.job(mine.id).comments[-1]
    assert (comment.by, comment.text) == (f"chat/discord:{someone.id}", "take your time")
    asked = dm.send(f"cancel {mine.id} not needed")
    assert dm.await_reply("Cancelled", after=asked).content == f"Cancelled: job `{mine.id}`."
    assert dm.await_reply("was cancelled", after=asked).content == f"Job `{mine.id}` was cancelled."
    assert told(dm, f"cancel {mine.id}") == f"Cancelled: job `{mine.id}`."
    assert told(dm, "jobs cancelled").splitlines()[0] == f"`{mine.id}` **cancelled** look around"


def _only(found: list[Job]) -> Job | None:
    return found[0] if len(found) == 1 else None


def test_a_long_result_is_cut_with_a_link_secrets_are_masked_mentions_defused(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    start_chat(SPINE_PUBLIC_URL="https://spine.example")
    dm = discord.user("ada").dm()
    dm.send("ping x")
    secret = "ghp_" + "a" * 36
    job = hand.do(f"@everyone {secret} chat-token-0001 fake-discord-token-0001 " + "x" * 2000)
    said = dm.await_reply("everyone")
    begin = "@\u200beveryone [redacted] [redacted] [redacted] "
    link = f"… (all of it: https://spine.example/ui/jobs/{job.id})"
    assert said.content == begin + "x" * (1500 - len(begin)) + link
    assert said.allowed_mentions == {"parse": []}
    dm.send("ping " + "long " * 380)
    assert dm.await_reply("Job created").allowed_mentions == {"parse": []}


def test_nobody_else_is_answered(start_chat: StartChat, discord: FakeDiscord, head: HeadClient, hand: Hand) -> None:
    start_chat()
    ada, eve = discord.user("ada"), discord.user("eve")
    eve.dm().send("ping me")
    discord.channel("general").send("ping me", by=ada)
    ada.dm().send("ping me", by=discord.user("robot", bot=True))
    discord.heard()
    assert told(ada.dm(), "jobs") == "No jobs."  # what came before has been passed over
    assert [len(eve.dm().replies()), len(discord.channel("general").replies())] == [0, 0]
    assert head.jobs(label=f"discord:{eve.id}").jobs == []


def test_with_a_channel_it_alone_is_read(start_chat: StartChat, discord: FakeDiscord, hand: Hand) -> None:
    ada, room = discord.user("ada"), discord.channel("fleet")
    start_chat(ALLOWED_CHANNEL_ID=str(room.id))
    ada.dm().send("help")
    room.send("help", by=discord.user("eve"))
    room.send("help", by=ada)
    assert room.await_reply().content.startswith("`ping <text>` — ")
    assert [len(room.replies()), len(ada.dm().replies())] == [1, 0]
