"""The head's settings: all faults at once, the token never shown."""

from pathlib import Path

import pytest

from contract.env import SettingsError
from head.settings import Coordinators, for_commands, for_enqueue, from_env


def test_defaults() -> None:
    settings = from_env({"SPINE_TOKEN": "t0ken"})
    assert (settings.base_urls, settings.token) == (("http://127.0.0.1:36725",), "t0ken")
    assert "t0ken" not in repr(settings)


def test_several_addresses_and_a_token_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    settings = from_env({"SPINE_BASE_URL": "http://a:1/, https://b", "SPINE_TOKEN_FILE": str(file)})
    assert (settings.base_urls, settings.token) == (("http://a:1", "https://b"), "t0ken")


@pytest.mark.parametrize(
    ("env", "faults"),
    [
        ({}, ["SPINE_TOKEN"]),
        ({"SPINE_TOKEN": "a", "HEAD_STATE_DIR": "here", "HEAD_SKILLS_DIR": "x"}, ["HEAD_STATE_DIR", "HEAD_SKILLS_DIR"]),
        ({"SPINE_BASE_URL": "ftp://a"}, ["SPINE_TOKEN", "SPINE_BASE_URL"]),
        ({"SPINE_TOKEN": "a", "SPINE_TOKEN_FILE": "/b"}, ["SPINE_TOKEN"]),
        ({"SPINE_TOKEN_FILE": "/not/there"}, ["SPINE_TOKEN_FILE"]),
        ({"SPINE_TOKEN": "a", "SPINE_BASE_URL": ","}, ["SPINE_BASE_URL"]),
    ],
)
def test_every_fault_is_named(env: dict[str, str], faults: list[str]) -> None:
    with pytest.raises(SettingsError) as found:
        from_env(env)
    assert [fault.split(":")[0] for fault in found.value.faults] == faults


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = from_env({"SPINE_TOKEN": "t0ken", "HEAD_STATE_DIR": "/var/lib/head"})
    assert (settings.state_dir, settings.skills_dir) == (Path("/var/lib/head"), tmp_path / ".openclaw/skills")


def test_commands_see_the_name_of_a_token_file_and_no_token() -> None:
    seen = for_commands({"PATH": "/bin", "SPINE_TOKEN": "t0ken", "SPINE_TOKEN_FILE": "/token", "SPINE_BASE_URL": "u"})
    assert seen == {"PATH": "/bin", "SPINE_TOKEN_FILE": "/token", "SPINE_BASE_URL": "u"}


MANY, ONE = {"SKYCLAW_COORDINATOR_URLS": " http://a:1, http://b/x/ ,"}, {"SKYCLAW_COORDINATOR_URL": "http://c"}
TOKEN, HEAD = {"SKYCLAW_TOKEN": "s"}, {"SPINE_TOKEN": "t0ken"}


@pytest.mark.parametrize(
    ("env", "urls", "token"),
    [
        (MANY | ONE | TOKEN | HEAD, ("http://a:1", "http://b/x/"), "s"),
        (ONE | HEAD, ("http://c",), None),
        ({"SKYCLAW_COORDINATOR_URLS": " , "} | ONE, ("http://c",), None),
        ({"SPINE_BASE_URL": "http://e:1/,http://f"} | TOKEN, ("http://e:1/skyclaw", "http://f/skyclaw"), "s"),
        (HEAD | TOKEN, ("http://127.0.0.1:36725/skyclaw",), "s"),
        (TOKEN, ("http://127.0.0.1:8787",), "s"),
        ({}, ("http://127.0.0.1:8787",), None),
    ],
)
def test_where_a_job_of_skyclaw_goes(env: dict[str, str], urls: tuple[str, ...], token: str | None) -> None:
    assert for_enqueue(env) == Coordinators(urls=urls, token=token)


@pytest.mark.parametrize("env", [HEAD, {"SPINE_TOKEN_FILE": "/t"}, {"SPINE_BASE_URL": "http://e"}])
def test_a_head_without_skyclaws_settings_submits_to_its_spine(env: dict[str, str]) -> None:
    assert for_enqueue(env) is None


def test_a_token_of_skyclaw_is_hidden() -> None:
    assert "a-token-of-skyclaw" not in repr(for_enqueue({"SKYCLAW_TOKEN": "a-token-of-skyclaw"}))
    assert for_commands({"SKYCLAW_TOKEN": "s", "A": "b"}) == {"A": "b"}
