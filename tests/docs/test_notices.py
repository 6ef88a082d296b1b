"""docs/howto/notices.md: its example can be used, every member of every channel is there, its check checks."""

import hmac
import json
import re
from pathlib import Path
from typing import Any

import msgspec
from tests.docs.pages import DOCS, blocks, read, tables

from spine.notices import aliases, channels
from spine.notices.channels import webhook

PAGE = read(DOCS / "howto/notices.md")
KINDS = {kind.__struct_config__.tag: kind for kind in channels.OF}


def block(info: str) -> str:
    return next(found.text for found in blocks(PAGE) if found.info == info)


def test_the_example_of_a_file_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "notices.json"
    path.touch(mode=0o600)
    path.write_text(block("json"))
    found = aliases.read(path)
    assert {name: entry.problem for name, entry in found.items()} == dict.fromkeys(json.loads(block("json")))


def test_the_chat_front_is_told_by_plain_http_on_the_machine_or_between_containers(tmp_path: Path) -> None:
    addresses = dict.fromkeys(re.findall(r"`(http://\S+/notices)`", PAGE))
    assert list(addresses) == ["http://127.0.0.1:36727/notices", "http://chat:36727/notices"]
    alias = json.loads(block("json"))["chat"]
    path = tmp_path / "notices.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({f"chat{n}": alias | {"url": url} for n, url in enumerate(addresses)}))
    assert [entry.problem for entry in aliases.read(path).values()] == [None, None]


def test_every_channel_and_every_member_of_it_is_there() -> None:
    found = [row for each in tables(PAGE) for row in each if "needs" in row]
    rows = {row["channel"].strip("`"): set(re.findall(r"\w+", row["needs"] + " " + row["may have"])) for row in found}
    assert set(rows) == set(KINDS)
    for tag, said in rows.items():
        members = {field.encode_name for field in msgspec.structs.fields(KINDS[tag])}
        assert members <= said, tag


def test_the_check_of_a_signature_takes_ours_and_no_other() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - our own page
    key = b"0123456789abcdef0123456789abcdef"
    secret = json.loads(block("json"))["team_room"]["secrets"][0]
    sent = {"webhook-id": "ntc_1", "webhook-timestamp": "5"}
    good = webhook.sign(key, "ntc_1", "5", b"body")
    assert names["is_ours"](secret, sent | {"webhook-signature": f"v1,other {good}"}, b"body")
    assert not names["is_ours"](secret, sent | {"webhook-signature": good}, b"Body")
    assert not names["is_ours"](secret, sent | {"webhook-timestamp": "6", "webhook-signature": good}, b"body")
    assert hmac.compare_digest(good[:3], "v1,")


def test_the_numbers_are_those_of_the_reference() -> None:
    limits = read(DOCS / "reference/limits.md")
    for number in ("16,384", "30 days", "24 hours"):
        assert number in PAGE
    assert re.search(r"text of a notice \| 16384", limits)
