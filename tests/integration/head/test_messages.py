"""spine-head messages, against a real server."""

import json

from tests.integration.head.conftest import Head
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from head import exits


def test_send_list_show_inbox_read(head: Head, spine: SpineProcess) -> None:
    sent = head.json("messages", "send", "left-claw", "mind\nthe gap", "--kind", "constraint", "--ttl", "60")
    assert head.run("messages", "send", "all", "-", stdin="to everybody\n").stdout.endswith(
        " to left-claw, right-claw\n"
    )
    lines = head.run("messages", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "KIND", "FROM", "TO", "STATE", "TEXT", "SENT"]
    assert [line.split()[1:5] for line in lines[1:]] == [
        ["text", "head", "all", "read"],
        ["constraint", "head", "left-claw", "pending"],
    ]
    claw = Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"], "w")
    claw.post(f"/messages/{sent['id']}/read")
    shown = head.run("messages", "show", sent["id"]).stdout
    assert "  | mind\n  | the gap\n  left-claw: read at 2" in shown
    assert head.run("messages", "inbox").stderr == "spine-head: no message\n"
    answer = claw.post("/messages", {"text": "done\x1b[31m", "replyTo": sent["id"]}).json["id"]
    inbox = head.run("messages", "inbox").stdout
    assert "left-claw" in inbox
    assert "\x1b" not in inbox
    assert (
        json.loads(head.run("messages", "list", "--thread", sent["id"], "--json").stdout)["messages"][0]["id"] == answer
    )
    assert head.run("messages", "read", answer).stdout == f"read {answer}\n"
    assert head.json("messages", "inbox")["messages"] == []
    assert [m["id"] for m in head.json("messages", "inbox", "--all")["messages"]] == [answer]


def test_what_is_refused(head: Head) -> None:
    refused = head.run("messages", "send", "nobody", "x", code=exits.REFUSED_DATA)
    assert "no machine and no token is named 'nobody'" in refused.stderr
    head.run("messages", "show", "nosuch", code=exits.NOT_FOUND)
    head.run("messages", "send", "left-claw", "x", "--kind", "spawn", code=exits.USAGE)
