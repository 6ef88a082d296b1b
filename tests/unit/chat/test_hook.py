"""`spine-chat hook install`: the files that it lays, and what it says when it cannot."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chat.cli import cli

TOKEN = {"CHAT_HOOK_TOKEN": "the-token-of-the-hook"}


def install(env: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(cli, ["hook", "install", *words], env=env)


def test_it_lays_the_hook_with_its_token_and_says_what_to_tell_the_gateway(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "hook"
    done = install({**TOKEN, "CHAT_LISTEN": "0.0.0.0:4000", "OPENCLAW_PREFIX": "!fleet"}, "--dir", str(folder))

    assert done.exit_code == 0
    assert f"openclaw plugins install --link {folder} --force --accept-capabilities" in done.output
    told = json.loads((folder / "settings.json").read_bytes())
    token = tmp_path / "a" / "hook.token"
    assert told == {"url": "http://127.0.0.1:4000/openclaw", "prefix": "!fleet", "token": str(token)}
    assert token.read_text() == "the-token-of-the-hook\n"
    assert "the-token-of-the-hook" not in done.output
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (token, *folder.iterdir())} == {
        "hook.token": "0o600",
        "index.js": "0o644",
        "openclaw.plugin.json": "0o644",
        "package.json": "0o644",
        "settings.json": "0o644",
    }


def test_it_is_laid_anew_with_another_token_and_prefix(tmp_path: Path) -> None:
    install(TOKEN, "--dir", str(tmp_path / "hook"))
    install({"CHAT_HOOK_TOKEN": "another", "OPENCLAW_PREFIX": "fleet:"}, "--dir", str(tmp_path / "hook"))

    assert (tmp_path / "hook.token").read_text() == "another\n"
    assert json.loads((tmp_path / "hook" / "settings.json").read_bytes())["prefix"] == "fleet:"


def test_a_gateway_on_another_machine_is_told_the_address(tmp_path: Path) -> None:
    install(TOKEN, "--dir", str(tmp_path / "hook"), "--url", "https://chat.example.org/")

    assert json.loads((tmp_path / "hook" / "settings.json").read_bytes())["url"] == "https://chat.example.org/openclaw"


@pytest.mark.parametrize(
    ("env", "words", "said"),
    [
        ({}, (), "CHAT_HOOK_TOKEN: missing"),
        ({**TOKEN, "OPENCLAW_PREFIX": "hey you"}, (), "OPENCLAW_PREFIX: 'hey you' is no word that begins a message"),
        (TOKEN, ("--url", "chat.example.org"), "--url: "),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(
    tmp_path: Path, env: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    done = install(env, "--dir", str(tmp_path / "hook"), *words)

    assert (done.exit_code, said in done.stderr) == (78, True), done.stderr
    assert not (tmp_path / "hook").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = install(TOKEN, "--dir", str(tmp_path / "file" / "hook"))

    assert done.exit_code == 73
    assert "cannot be written (Not a directory)" in done.stderr
