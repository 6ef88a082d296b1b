"""What is pressed below a reply: each button does what the command does, for who may, whichever process made it."""

from tests.integration.chat.conftest import Hand, Served, StartChat
from tests.support.chat_process import ask, told
from tests.support.eventually import eventually, until_status
from tests.support.fake_discord import Channel, FakeDiscord, Post, User

from contract.head_client import HeadClient
from contract.wire import Job

UPDATE_LATER, MODAL = 6, 9


def reviewed(dm: Channel, hand: Hand, result: str = "look") -> tuple[Job, Post]:
    """Have a task done; return its job and the message with its result."""
    dm.send("submit do it")
    job = hand.do({"notes": result})
    return job, dm.await_reply(result)


def test_accept_takes_the_result_and_the_buttons_go(
    dm: Channel, someone: User, served: Served, hand: Hand, head: HeadClient
) -> None:
    job, done = reviewed(dm, hand)
    assert done.labels == ["Accept", "Rework"]
    press = served[0].press(done, "Accept")
    assert dm.await_reply("Accepted", after=done).content == f"Accepted: job `{job.id}`."
    assert press.await_answer() == UPDATE_LATER
    eventually(lambda: done.labels == [], 60, what="buttons that are gone")
    now = head.job(job.id)
    assert now.review is not None
    assert (now.review.state, now.review.by) == ("accepted", f"chat/discord:{someone.id}")


def test_rework_asks_for_a_text_and_the_next_result_is_said(
    dm: Channel, someone: User, served: Served, hand: Hand
) -> None:
    job, done = reviewed(dm, hand, "first look")
    press = served[0].press(done, "Rework")
    assert press.await_answer() == MODAL
    assert press.await_modal()["title"] == "Send it back"
    press.submit("also the slow tests")
    assert dm.await_reply("Sent back", after=done).content == f"Sent back: job `{job.id}`."
    again = hand.take()
    assert (again.id, again.round) == (job.id, 2)
    assert any("also the slow tests" in comment.text for comment in again.comments)
    hand.end(again, {"notes": "second look"})
    assert dm.await_reply("second look").labels == ["Accept", "Rework"]


def test_a_press_on_an_older_result_changes_nothing(
    dm: Channel, someone: User, served: Served, hand: Hand, head: HeadClient
) -> None:
    job, done = reviewed(dm, hand, "first look")
    head.review(job.id, "rework", "from elsewhere")
    hand.do({"notes": "second look"})
    until_status(head, job.id, "done")
    served[0].press(done, "Accept")
    said = dm.await_reply("newer result", after=done).content
    assert said == f"A newer result has come since. Look at it first: `status {job.id}`"
    now = head.job(job.id)
    assert now.review is not None
    assert now.review.state == "pending"


def test_approve_and_reject_decide_about_a_job_that_waits(
    dm: Channel, someone: User, served: Served, hand: Hand, head: HeadClient
) -> None:
    first, second = (head.submit({"target": "any", "spec": "spend money", "needsApproval": True}) for _ in range(2))
    waiting = ask(dm, f"status {first.id}")
    assert (waiting.content, waiting.labels) == (f"Job `{first.id}`: **waiting**", ["Approve", "Reject"])
    served[0].press(waiting, "Approve")
    assert dm.await_reply("Approved").content == f"Approved: job `{first.id}`."
    assert hand.do({"notes": "spent"}).id == first.id
    assert dm.await_reply("spent").content == "spent"
    approval = head.job(first.id).approval
    assert approval is not None
    assert (approval.state, approval.by) == ("approved", f"chat/discord:{someone.id}")
    other = ask(dm, f"status {second.id}")
    served[0].press(other, "Reject")
    assert dm.await_reply("Rejected").content == f"Rejected: job `{second.id}`."
    assert head.job(second.id).status == "cancelled"


def test_cancel_ends_a_job_that_runs(start_chat: StartChat, discord: FakeDiscord, hand: Hand, head: HeadClient) -> None:
    start_chat(CHAT_WAIT_SECONDS="1")
    dm = discord.user("ada").dm()
    dm.send("ping x")
    job = hand.take()
    late = dm.await_reply("Still")
    assert late.content == f"Still running. Job ID: {job.id} (try: status {job.id})"
    discord.press(late, "Cancel")
    assert dm.await_reply("Cancelled").content == f"Cancelled: job `{job.id}`."
    assert head.job(job.id).status == "cancelled"


def test_a_stranger_who_presses_gets_no_answer(
    dm: Channel, someone: User, served: Served, hand: Hand, head: HeadClient
) -> None:
    job, done = reviewed(dm, hand)
    press = served[0].press(done, "Accept", by=served[0].user("eve"))
    modal = served[0].press(done, "Rework", by=served[0].user("eve"))
    served[0].heard()
    assert told(dm, "jobs") == "No jobs."
    assert (press.answers, modal.answers) == ([], [])
    now = head.job(job.id)
    assert now.review is not None
    assert now.review.state == "pending"


def test_a_button_works_after_a_restart_and_a_foreign_one_does_nothing(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat = start_chat()
    dm = discord.user("ada").dm()
    job, done = reviewed(dm, hand)
    assert chat.stop() == 0
    chat.start()
    for custom_id in ("other:accept:j:1", "spinal:burn:j:1", "spinal:accept:a b:1", "spinal:accept:j:x"):
        discord.press_as_was(done, custom_id)
    discord.press(done, "Accept")
    assert dm.await_reply("Accepted", after=done).content == f"Accepted: job `{job.id}`."
    assert len(dm.replies(done)) == 1


def test_a_press_is_carried_out_although_discord_does_not_take_its_answer(
    start_chat: StartChat, discord: FakeDiscord, hand: Hand
) -> None:
    chat = start_chat()
    dm = discord.user("ada").dm()
    job, done = reviewed(dm, hand)
    discord.fail_next("callback", status=404)
    discord.press(done, "Accept")
    assert dm.await_reply("Accepted", after=done).content == f"Accepted: job `{job.id}`."
    assert eventually(lambda: chat.lines("chat.press_unanswered"), 60)[0]["why"].startswith("Discord answered 404")
