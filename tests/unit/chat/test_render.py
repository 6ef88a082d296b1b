"""From a job to what is said of it."""

from typing import Any

import pytest

from chat.render import Renderer, buttons, defuse, in_words
from chat.transport import Button
from contract import wire

HIDDEN = "\u200b"


def job(**more: Any) -> wire.Job:
    fields: dict[str, Any] = {
        "id": "j1",
        "target": "any",
        "status": "done",
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "created_by": "chat",
        "claimed_by": None,
        "lease_until": None,
        "attempts": 1,
        "max_attempts": 3,
        "spec": "do it",
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
        "fence": 4,
    }
    return wire.Job(**(fields | more))


def broker(command: str, result: Any, **more: Any) -> wire.Job:
    spec = {"command": command, "payload": ""}
    return job(spec=spec, requires=["broker"], result=result, **more)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("hello @everyone", f"hello @{HIDDEN}everyone"),
        ("@here", f"@{HIDDEN}here"),
        ("<@123> <@!123> <@&9>", f"<@{HIDDEN}123> <@{HIDDEN}!123> <@{HIDDEN}&9>"),
        ("<#42> <!channel>", f"<{HIDDEN}#42> <{HIDDEN}!channel>"),
        ("mail ada@example.org", "mail ada@example.org"),
        ("```\ncode\n```", f"`{HIDDEN}`{HIDDEN}`\ncode\n`{HIDDEN}`{HIDDEN}`"),
        ("[safe](http://evil)", f"[safe]{HIDDEN}(http://evil)"),
        ("a\x1b[31mred\x00 \u202ebidi", "a[31mred bidi"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("plain text, 3 < 5 @ noon", "plain text, 3 < 5 @ noon"),
    ],
)
def test_what_a_chat_would_obey_is_broken_and_looks_the_same(written: str, shown: str) -> None:
    assert defuse(written) == shown


def test_a_long_result_is_cut_at_1500_characters_with_a_link_to_all_of_it() -> None:
    shown = Renderer("https://spine.example").end(job(result="x" * 1501)).text
    assert shown == "x" * 1500 + "… (all of it: https://spine.example/ui/jobs/j1)"


def test_without_an_address_for_people_the_command_for_more_is_named() -> None:
    assert Renderer().end(job(result="x" * 1501)).text == "x" * 1500 + "… (use `status j1` for full output)."


def test_a_result_of_1500_characters_is_whole() -> None:
    assert Renderer().end(job(result="é" * 1500)).text == "é" * 1500


def test_a_text_full_of_mentions_stays_within_what_discord_takes() -> None:
    assert len(Renderer("https://spine.example").end(job(result="@everyone " * 1000)).text) < 2000


def test_secrets_are_masked_by_form_and_by_value_also_where_the_text_is_cut() -> None:
    github = "ghp_" + "a" * 36
    renderer = Renderer(secrets=["the-token-of-discord"])
    assert renderer.end(job(result=f"{github} the-token-of-discord")).text == "[redacted] [redacted]"
    shown = renderer.end(job(result="y" * 1495 + github)).text
    assert shown == "y" * 1495 + "[reda… (use `status j1` for full output)."


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "(no result)"),
        ("", "(no result)"),
        ("text", "text"),
        (
            {"notes": "it works", "pr": "https://forge.example/7", "exitCode": 0},
            "it works\npr: https://forge.example/7",
        ),
        ({"branch": "spine/job-1"}, "branch: spine/job-1"),
        ({"n": 1}, '{"n":1}'),
        ([1, 2], "[1,2]"),
        (False, "false"),
    ],
)
def test_a_result_in_words(result: Any, said: str) -> None:
    assert in_words(result) == said


def test_capabilities_plans_and_approvals_read_as_the_brokers_bot_writes_them() -> None:
    renderer = Renderer()
    told = renderer.end(broker("capabilities", '{"worker_id": "left", "capabilities": ["ping", "plan_echo"]}'))
    assert told.text == "Worker: `left`\nCapabilities: ping, plan_echo"
    planned = renderer.end(broker("plan_echo", '{"type": "plan", "plan_id": "p7", "summary": "Echo plan for: x"}'))
    assert planned.text == "Plan ID: `p7`\nSummary: Echo plan for: x\nTo apply: `approve p7`"
    assert planned.buttons == (Button("Approve", "approve", "p7", 0, "good"),)
    approved = renderer.end(broker("approve_echo", '{"status": "approved", "note": "no-op (scaffold)"}'))
    assert approved.text == "Status: approved\nno-op (scaffold)"


@pytest.mark.parametrize("result", ["no json", "[1]", '{"other": 1}'])
def test_a_brokers_result_of_another_form_is_shown_as_it_is(result: str) -> None:
    for command in ("capabilities", "plan_echo", "approve_echo"):
        assert Renderer().end(broker(command, result)) == (result, ())


def test_a_plan_id_that_is_no_id_gets_no_button() -> None:
    assert Renderer().end(broker("plan_echo", '{"plan_id": "a:b c"}')).buttons == ()


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"status": "failed", "error": "no disk"}, "Job failed: no disk"),
        ({"status": "dead", "error": "no claw came"}, "Job failed: no claw came"),
        ({"status": "failed", "result": {"notes": "half"}}, "Job failed: half"),
        ({"status": "failed"}, "Job failed: unknown"),
        ({"status": "cancelled", "error": "by head"}, "Job `j1` was cancelled."),
    ],
)
def test_an_end_that_is_not_done(ended: dict[str, Any], said: str) -> None:
    assert Renderer().end(job(**ended)).text == said


def test_status_says_where_a_job_stands_and_what_came_of_it() -> None:
    renderer = Renderer()
    assert renderer.status(job(status="running")).text == "Job `j1`: **running**"
    assert renderer.status(job(result="pong: hi")).text == "Job `j1`: **done**\npong: hi"
    assert renderer.status(job(status="failed", error="no disk")).text == "Job `j1`: **failed**\nError: no disk"


def test_status_tells_a_long_result_in_parts_where_there_is_no_page_for_it() -> None:
    long = job(result="a" * 1500 + "b" * 1500 + "c")
    renderer = Renderer()
    assert renderer.status(long).text == "Job `j1`: **done**\n" + "a" * 1500 + "… (go on: `status j1 2`)"
    assert renderer.status(long, 2).text == "Job `j1`: **done** (2 of 3)\n" + "b" * 1500 + "… (go on: `status j1 3`)"
    assert renderer.status(long, 3).text == "Job `j1`: **done** (3 of 3)\nc"
    assert renderer.status(long, 4).text == "What job `j1` has to say has 3 parts: `status j1 3`"
    linked = Renderer("https://s.example").status(long).text
    assert linked == "Job `j1`: **done**\n" + "a" * 1500 + "… (all of it: https://s.example/ui/jobs/j1)"
    assert (
        renderer.status(job(status="failed", error="x" * 1500), 2).text == "Job `j1`: **failed** (2 of 2)\n" + "x" * 7
    )


def test_buttons_are_what_a_person_may_decide_now() -> None:
    review = wire.ReviewState(state="pending", by=None)
    assert buttons(job(review=review)) == (
        Button("Accept", "accept", "j1", 4, "good"),
        Button("Rework", "rework", "j1", 4, "plain"),
    )
    approval = wire.Approval(state="pending", spec_digest="0" * 64, by=None)
    assert [b.verb for b in buttons(job(status="waiting", approval=approval))] == ["approve", "reject"]
    assert [b.verb for b in buttons(job(status="running"))] == ["cancel"]
    assert buttons(job(review=wire.ReviewState(state="accepted", by="head"))) == ()


def test_jobs_are_one_a_line_and_defused() -> None:
    found = [job(status="running", spec="@everyone\nlook"), job(id="j2", status="queued", spec={"run": "make test"})]
    assert Renderer().jobs(found, more=False).text == (
        f"`j1` **running** @{HIDDEN}everyone look\n`j2` **queued** make test"
    )
    assert Renderer("https://s.example").jobs(found, more=True).text.endswith("\n… and more: https://s.example/ui/jobs")
    assert Renderer().jobs([], more=False).text == "No jobs."


def test_why_lists_the_reasons() -> None:
    found = wire.Why(status="queued", reasons=[wire.Reason(code="no_claw", message="no claw is there", jobs=[])])
    assert Renderer().why("j1", found).text == "Job `j1`: **queued**\n- no claw is there"


def test_a_notice_has_its_title_its_text_and_one_link() -> None:
    renderer = Renderer("https://s.example")
    assert renderer.notice("job j1 for any is done", "all well\n", False, "j1") == (
        "**job j1 for any is done**\nall well\nhttps://s.example/ui/jobs/j1"
    )
    cut = renderer.notice("t", "x" * 1600, True, "j1")
    assert cut == "**t**\n" + "x" * 1500 + "… (all of it: https://s.example/ui/jobs/j1)"
    assert Renderer().notice("t", "short", True, "j1") == "**t**\nshort\n… (use `status j1` for full output)."
    assert Renderer().notice("a notice from ada", "@everyone", False, None) == (
        f"**a notice from ada**\n@{HIDDEN}everyone"
    )


@pytest.mark.parametrize("result", ["", "  ", "\n\t", "\x00\x1b", " \u202e "])
def test_a_result_that_nobody_could_see_is_said_to_be_none(result: str) -> None:
    assert Renderer().end(job(result=result)).text == "(no result)"
    assert Renderer().status(job(result=result)).text == "Job `j1`: **done**\n(no result)"


def test_a_secret_with_a_control_in_its_midst_is_masked() -> None:
    renderer = Renderer(secrets=["the-token-of-discord"])
    assert renderer.end(job(result="the-token\x00-of-\u202ediscord")).text == "[redacted]"


def test_reasons_that_do_not_fit_are_said_to_be_there() -> None:
    reasons = [wire.Reason("waiting", f"{n}" * 150, []) for n in range(10)]
    found = wire.Why("queued", reasons)
    said = Renderer("https://spine.example").why("j1", found).text.splitlines()
    assert (len(said), said[-2:]) == (11, ["- " + "8" * 150, "… and more: https://spine.example/ui/jobs/j1"])
    assert len("\n".join(said)) < 1700
