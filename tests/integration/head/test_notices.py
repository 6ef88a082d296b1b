"""spine-head notices, and the options of submit that are about them, against a real server and a real receiver."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.head.conftest import Head
from tests.support.eventually import eventually
from tests.support.receiver import Receiver, Say
from tests.support.spine_process import SpineProcess

from head import exits


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[SpineProcess]:
    """A server with aliases."""
    folder = tmp_path_factory.mktemp("spine")
    path = folder / "notices.json"
    path.touch(mode=0o600)
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    hook = {"channel": "webhook", "url": receiver.url, "secrets": [secret]}
    gateway = {"channel": "openclaw-message", "url": receiver.url, "token": "t"}
    path.write_text(json.dumps({"ops": hook, "openclaw": gateway, "torn": {"channel": "discord", "url": "nowhere"}}))
    process = SpineProcess(folder, {"SPINE_NOTICES_FILE": str(path), "SPINE_NOTICE_RETRY_SECONDS": "3600"}).start()
    yield process
    assert process.stop() == 0, process.log_tail()


@pytest.fixture
def head(spine: SpineProcess, tmp_path: Path) -> Head:
    return Head(tmp_path, spine.url)


def test_aliases_are_listed_without_what_they_hold(head: Head, receiver: Receiver) -> None:
    done = head.run("notices", "aliases")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["NAME", "CHANNEL", "USABLE", "PROBLEM"]
    assert [line[:3] for line in lines[1:]] == [
        ["openclaw", "openclaw-message", "yes"],
        ["ops", "webhook", "yes"],
        ["torn", "discord", "no"],
    ]
    assert "url: expected an address" in done.stdout
    assert str(receiver.port) not in done.stdout
    assert [alias["usable"] for alias in head.json("notices", "aliases")["aliases"]] == [True, True, False]


def test_a_word_by_hand_and_what_became_of_it(head: Head, receiver: Receiver) -> None:
    receiver.then(Say(204))
    before = len(receiver.ledger)
    said = head.run("notices", "send", "@ops", "-", "--title", "the night", stdin="all \x1b[31mwell\n").stdout
    notice_id = said.split()[0]
    assert said == f"{notice_id} is waiting, for ops\n"
    assert receiver.calls(before + 1)[-1].json["data"]["title"] == "the night"
    eventually(lambda: head.json("notices", "show", notice_id)["status"] == "sent")
    shown = head.run("notices", "show", notice_id).stdout
    for word in (f"{notice_id}  sent\n", "alias    ops\n", "the night\n", "well\n", "OUTCOME", "sent"):
        assert word in shown
    assert "\x1b" not in shown
    assert head.run("notices", "give-up", notice_id, code=exits.ERROR).stdout == ""
    assert head.run("notices", "replay", notice_id).stdout == f"{notice_id} is waiting, for ops\n"
    assert receiver.calls(before + 2)[-1].headers["webhook-id"] == notice_id
    key = ("notices", "send", "ops", "twice", "--idempotency-key", "n-1")
    assert head.json(*key)["id"] == head.json(*key)["id"]
    assert "alias" in head.run("notices", "send", "nobody", "x", code=exits.REFUSED_DATA).stderr
    assert "no notice" in head.run("notices", "show", "ntc_none", code=exits.NOT_FOUND).stderr


def test_one_that_fails_is_listed_with_the_reason_and_given_up(head: Head, receiver: Receiver) -> None:
    receiver.then(Say(503))
    words = ("submit", "t", "--delivery", "announce-always", "--channel", "telegram", "--to", "-100")
    job_id = head.run(*words).stdout.strip()
    assert head.json("show", job_id)["delivery"] == {"mode": "announce-always", "channel": "telegram", "to": "-100"}
    head.run("cancel", job_id)
    (row,) = eventually(lambda: [n for n in head.json("notices", "list", "--job", job_id)["notices"] if n["error"]])
    assert (row["alias"], row["channel"], row["to"], row["status"]) == ("openclaw", "telegram", "-100", "waiting")
    listed = head.run("notices", "list", "--status", "waiting", "--alias", "@openclaw").stdout
    assert listed.splitlines()[0].split() == ["ID", "STATUS", "ALIAS", "TRIES", "MADE", "WHAT"]
    assert f"job {job_id} for left-claw is cancelled: the receiver answered 503" in listed
    assert head.run("notices", "give-up", row["id"]).stdout == f"{row['id']} is given_up, for openclaw\n"
    more = head.run("notices", "list", "--limit", "1").stderr.split("--cursor ")[1].strip()
    assert [n["id"] for n in head.json("notices", "list", "--limit", "1", "--cursor", more)["notices"]] != [row["id"]]
    assert "no notice is there" in head.run("notices", "list", "--job", "nosuch").stderr
