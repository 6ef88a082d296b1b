"""The front's settings: what is needed, what goes together, and that no secret is shown."""

import base64
from pathlib import Path

import pytest

from chat.settings import from_env, notices_key
from contract.env import SettingsError

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
LEAST = {"SPINE_TOKEN": "spn_chat", "DISCORD_TOKEN": "discord-token", "ALLOWED_USER_ID": "7"}


def faults(**env: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        from_env(LEAST | env)
    return raised.value.faults


def test_a_bot_needs_a_token_of_each_side_and_somebody_to_answer(tmp_path: Path) -> None:
    found = from_env(LEAST | {"HOME": str(tmp_path)})
    assert found.discord is not None
    assert found.discord.users == {"7"}
    assert (found.discord.channel_id, found.discord.announce_channel_id) == (None, None)
    assert found.discord.api_url == "https://discord.com/api/v10"
    assert (found.cooldown_seconds, found.max_concurrent, found.wait_seconds) == (3, 1, 120)
    assert (found.target, found.listen) == ("any", ("127.0.0.1", 36727))
    assert (found.openclaw, found.notices_secret, found.public_url) == (None, None, None)
    assert found.base_urls == ("http://127.0.0.1:36725",)


def test_several_users_and_channels_are_taken() -> None:
    env = {"ALLOWED_USER_ID": "7, 8,", "ALLOWED_CHANNEL_ID": "99", "ANNOUNCE_CHANNEL_ID": "98"}
    found = from_env(LEAST | env | {"CHAT_NOTICES_SECRET": SECRET})
    assert found.discord is not None
    assert found.discord.users == {"7", "8"}
    assert (found.discord.channel_id, found.discord.announce_channel_id) == ("99", "98")


def test_without_anybody_to_answer_it_does_not_start() -> None:
    assert faults(ALLOWED_USER_ID="") == [
        "ALLOWED_USER_ID: missing; name who may speak to the bot, by Discord user ids"
    ]


def test_all_faults_are_named_at_once() -> None:
    said = faults(SPINE_TOKEN="", ALLOWED_USER_ID="ada", BOT_MAX_CONCURRENT="0", CHAT_LISTEN="here")
    assert [fault.split(":")[0] for fault in said] == [
        "SPINE_TOKEN",
        "ALLOWED_USER_ID",
        "BOT_MAX_CONCURRENT",
        "CHAT_LISTEN",
    ]


def test_no_chat_at_all_is_refused() -> None:
    assert faults(DISCORD_TOKEN="") == [
        "DISCORD_TOKEN: missing, and so is OPENCLAW_GATEWAY_URL; set up at least one of the two"
    ]


def test_announcements_must_be_signed_and_have_a_place_and_a_door() -> None:
    assert faults(ANNOUNCE_CHANNEL_ID="98") == [
        "ANNOUNCE_CHANNEL_ID: needs CHAT_NOTICES_SECRET, with which the spine signs what it announces"
    ]
    assert faults(CHAT_NOTICES_SECRET=SECRET) == [
        "CHAT_NOTICES_SECRET: needs a place for notices: ANNOUNCE_CHANNEL_ID, OPENCLAW_ANNOUNCE"
    ]
    assert faults(CHAT_NOTICES_SECRET="whsec_c2hvcnQ=", ANNOUNCE_CHANNEL_ID="98") == [
        "CHAT_NOTICES_SECRET: expected whsec_ and 24 to 64 bytes as base64, as of `openssl rand -base64 32`"
    ]
    assert faults(CHAT_NOTICES_SECRET=SECRET, ANNOUNCE_CHANNEL_ID="98", CHAT_LISTEN="none") == [
        "CHAT_LISTEN: notices and the gateway's hook come in there; give a host and a port"
    ]


def test_a_gateway_needs_its_token_the_hooks_and_somebody_to_answer() -> None:
    said = faults(OPENCLAW_GATEWAY_URL="http://127.0.0.1:18789")
    assert [fault.split(":")[0] for fault in said] == ["OPENCLAW_GATEWAY_TOKEN", "CHAT_HOOK_TOKEN", "OPENCLAW_ALLOWED"]


@pytest.mark.parametrize(
    ("given", "listens"),
    [
        ("none", None),
        ("[::1]:7000", ("::1", 7000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("spine.example:80", ("spine.example", 80)),
    ],
)
def test_where_it_listens(given: str, listens: tuple[str, int] | None) -> None:
    assert from_env(LEAST | {"CHAT_LISTEN": given}).listen == listens


def test_secrets_come_from_files_too_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "discord").write_text("from-a-file\n")
    env = {"SPINE_TOKEN": "spn_chat", "ALLOWED_USER_ID": "7", "DISCORD_TOKEN_FILE": str(tmp_path / "discord")}
    found = from_env(env)
    assert found.secrets() == ("spn_chat", "from-a-file")
    assert "from-a-file" not in repr(found)
    assert "spn_chat" not in repr(found)


def test_a_token_that_was_replaced_in_its_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    found = from_env(LEAST | {"SPINE_TOKEN": "", "SPINE_TOKEN_FILE": str(file)})
    file.write_text("new\n")
    assert found.newer_token("old") == "new"
    assert from_env(LEAST).newer_token("spn_chat") is None


def test_a_notices_secret_stands_for_its_bytes() -> None:
    assert notices_key(SECRET) == b"k" * 32
    with pytest.raises(ValueError, match="whsec_"):
        notices_key("no base64!")
