"""The server's settings: defaults, every fault with its fix, tokens."""

from pathlib import Path
from typing import cast

import pytest

from contract.env import SettingsError
from contract.ids import token_digest
from spine.queue.access import Principal, Role
from spine.settings import SETTINGS, from_env, read_digests

TOKENS = {"HEAD_TOKEN": "head-token", "LEFT_CLAW_TOKEN": "left-token", "RIGHT_CLAW_TOKEN": "right-token"}


def faults(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        from_env(TOKENS | variables)
    return raised.value.faults


def names(**variables: str) -> dict[str, str]:
    """Return whom each of the tokens that we know stands for."""
    principals = from_env(variables).principals
    known = ["t-head-1", "t-head-2", "t-head-3", "t-left-1", "t-left-2", "t-right-1", "t-gpus-1", "t-gpus-2"]
    return {token: principals[token_digest(token)].name for token in known if token_digest(token) in principals}


def test_defaults() -> None:
    settings = from_env(TOKENS)
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 36725, Path("data"))
    assert (settings.lease_seconds, settings.accept_lease_seconds, settings.reaper_interval_ms) == (300, 15, 30_000)
    assert (settings.default_max_attempts, settings.skill_md_path) == (5, None)
    assert (settings.body_max_bytes, settings.field_max_bytes, settings.comment_max_bytes) == (1048576, 262144, 16384)
    assert (settings.blob_max_bytes, settings.log_max_bytes) == (268435456, 67108864)
    assert settings.log_level == "info"
    assert settings.principals == {
        token_digest("head-token"): Principal("head", "head"),
        token_digest("left-token"): Principal("left-claw", "claw"),
        token_digest("right-token"): Principal("right-claw", "claw"),
    }


def test_the_reference_says_the_same_defaults(tmp_path: Path) -> None:
    told = {row.name: row.default for row in SETTINGS}
    named = {name: value for name, value in told.items() if value and value != "required"}
    assert from_env(TOKENS | named) == from_env(TOKENS)
    assert [name for name, value in told.items() if value == "required"] == list(TOKENS)
    assert len(told) == len(SETTINGS)


def test_no_tokens() -> None:
    with pytest.raises(SettingsError) as raised:
        from_env({})
    assert raised.value.faults == [
        "HEAD_TOKEN: missing; give head a token (or HEAD_TOKEN_FILE, or HEAD_TOKENS)",
        "LEFT_CLAW_TOKEN: missing; give left-claw a token (or LEFT_CLAW_TOKEN_FILE, or LEFT_CLAW_TOKENS)",
        "RIGHT_CLAW_TOKEN: missing; give right-claw a token (or RIGHT_CLAW_TOKEN_FILE, or RIGHT_CLAW_TOKENS)",
    ]


def test_a_public_address_that_leaves_a_notice_no_room() -> None:
    longest = "https://spine.example.org/".ljust(500, "x")
    assert from_env(TOKENS | {"SPINE_PUBLIC_URL": longest}).public_url == longest
    told = "501 characters, at most 500: a notice must have room for words besides"
    assert faults(SPINE_PUBLIC_URL=longest + "x") == [f"SPINE_PUBLIC_URL: {told}"]


@pytest.mark.parametrize("empty", ["", "  ", ","])
def test_an_empty_token_is_none(empty: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_env(TOKENS | {"HEAD_TOKEN": "", "HEAD_TOKENS": empty})
    assert raised.value.faults == ["HEAD_TOKEN: missing; give head a token (or HEAD_TOKEN_FILE, or HEAD_TOKENS)"]


def test_a_file_that_gives_no_token_is_one_fault(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch()
    missing = tmp_path / "missing"
    given = {name: value for name, value in TOKENS.items() if name not in ("HEAD_TOKEN", "LEFT_CLAW_TOKEN")}
    with pytest.raises(SettingsError) as raised:
        from_env(given | {"HEAD_TOKEN_FILE": str(file), "LEFT_CLAW_TOKEN_FILE": str(missing)})
    assert raised.value.faults == [
        f"HEAD_TOKEN_FILE: {file} is empty; put the token in it",
        f"LEFT_CLAW_TOKEN_FILE: cannot read {missing}: FileNotFoundError",
    ]


def test_single_and_several_merge(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("t-left-1, t-left-2\n")
    assert names(
        HEAD_TOKEN="t-head-1",
        HEAD_TOKENS="t-head-2, t-head-3,,t-head-1",
        LEFT_CLAW_TOKENS_FILE=str(file),
        RIGHT_CLAW_TOKENS="t-right-1",
        CLAW_TOKENS="gpu.box-1=t-gpus-1, gpu.box-1=t-gpus-2",
    ) == {
        "t-head-1": "head",
        "t-head-2": "head",
        "t-head-3": "head",
        "t-left-1": "left-claw",
        "t-left-2": "left-claw",
        "t-right-1": "right-claw",
        "t-gpus-1": "gpu.box-1",
        "t-gpus-2": "gpu.box-1",
    }


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"LEFT_CLAW_TOKEN": "head-token"}, "LEFT_CLAW_TOKEN: the same token is in HEAD_TOKEN for head"),
        ({"RIGHT_CLAW_TOKENS": "left-token"}, "RIGHT_CLAW_TOKENS: the same token is in LEFT_CLAW_TOKEN for left-claw"),
        ({"CLAW_TOKENS": "gpu=right-token"}, "CLAW_TOKENS: the same token is in RIGHT_CLAW_TOKEN for right-claw"),
    ],
)
def test_a_token_for_two(variables: dict[str, str], fault: str) -> None:
    assert faults(**variables) == [f"{fault}; give each role its own"]


def test_a_short_token() -> None:
    assert faults(HEAD_TOKENS="1234567") == [
        "HEAD_TOKENS: a token needs at least 8 characters; `spine token` makes one"
    ]
    assert len(from_env(TOKENS | {"HEAD_TOKENS": "12345678"}).principals) == 4


@pytest.mark.parametrize(
    "pair",
    [
        "gpu",
        "=token-of-nobody",
        "gpu=",
        "Gpu=token-of-x",
        "-x=token-of-x",
        "é=12345678",
    ],
)
def test_a_claw_that_cannot_be(pair: str) -> None:
    assert faults(CLAW_TOKENS=pair) == ["CLAW_TOKENS: expected name=token,… with names of a-z, 0-9, dot and hyphen"]


@pytest.mark.parametrize("name", ["any", "all", "head", "viewer", "chat", "spine", "reaper", "skyclaw", "broker"])
def test_a_claw_whose_name_means_another(name: str) -> None:
    told = f"CLAW_TOKENS: {name} is not for a claw, it means another; give the claw another name"
    assert faults(CLAW_TOKENS=f"{name}=token-of-x") == [told]


@pytest.mark.parametrize("role", ["viewer", "chat"])
def test_a_token_that_is_no_claws_makes_no_target(role: str, tmp_path: Path) -> None:
    token = f"{role}-token-1"
    for variables in ({f"{role.upper()}_TOKEN": token}, {f"{role.upper()}_TOKENS": f"{token},{role}-token-2"}):
        assert from_env(TOKENS | variables).principals[token_digest(token)] == Principal(role, cast(Role, role))
    listed = tmp_path / "digests"
    listed.write_text(f"head {token_digest('head-token')}\n{role} {token_digest(token)}\n")
    assert read_digests(listed)[token_digest(token)] == Principal(role, cast(Role, role))


@pytest.mark.parametrize(
    ("name", "value", "least", "most"),
    [
        ("SPINE_PORT", "65536", 0, 65535),
        ("LEASE_SECONDS", "0", 1, 86400),
        ("SPINE_ACCEPT_LEASE_SECONDS", "0", 1, 3600),
        ("REAPER_INTERVAL_MS", "49", 50, 3600000),
        ("DEFAULT_MAX_ATTEMPTS", "1001", 1, 1000),
        ("SPINE_BODY_MAX_BYTES", "1", 1024, 67108864),
        ("SPINE_WAITERS_MAX", "0", 1, 1000000),
        ("SPINE_DRAIN_SECONDS", "-1", 1, 3600),
    ],
)
def test_out_of_range(name: str, value: str, least: int, most: int) -> None:
    assert faults(**{name: value}) == [f"{name}: {value} is out of range; give a number from {least} to {most}"]


def test_all_faults_together() -> None:
    found = faults(
        HEAD_TOKEN="",
        SPINE_PORT="http",
        LEASE_SECONDS="5m",
        SPINE_LOG_LEVEL="loud",
        SPINE_SKILL_MD_PATH="/nowhere/skill.md",
    )
    assert found == [
        "HEAD_TOKEN: missing; give head a token (or HEAD_TOKEN_FILE, or HEAD_TOKENS)",
        "SPINE_PORT: 'http' is not a whole number; give one from 0 to 65535",
        "LEASE_SECONDS: '5m' is not a whole number; give one from 1 to 86400",
        "SPINE_LOG_LEVEL: 'loud' is not one of debug, info, warning, error",
        "SPINE_SKILL_MD_PATH: /nowhere/skill.md is not a file",
    ]


def test_no_token_shows_in_settings_or_faults() -> None:
    settings = from_env(TOKENS)
    assert not any(token in repr(settings) for token in TOKENS.values())
    assert not any(token in fault for fault in faults(LEFT_CLAW_TOKEN="head-token") for token in TOKENS.values())


def listed(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "digests"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


HEAD, LEFT, GPU = "1" * 64, "2" * 64, "a" * 64


def test_with_a_file_of_digests_no_token_is_needed(tmp_path: Path) -> None:
    path = listed(tmp_path, f"head {HEAD}", "# claws", f"left-claw  {LEFT} # old", f"gpu.box-1 {GPU}", "")
    settings = from_env({"SPINE_TOKEN_DIGESTS": path})
    assert settings.principals == {}
    assert settings.token_count == 3
    assert read_digests(Path(path)) == {
        HEAD: Principal("head", "head"),
        LEFT: Principal("left-claw", "claw"),
        GPU: Principal("gpu.box-1", "claw"),
    }


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["head"], "line 1: expected a name and the SHA-256 of its token in hex"),
        ([f"head {HEAD}", f"left-claw {LEFT.upper()[:-1]}"], "line 2: expected a name and the SHA-256"),
        *(
            ([f"head {HEAD}", f"{name} {LEFT}"], f"line 2: {name} is not for a claw, it means another; give the claw")
            for name in ("any", "all", "spine", "reaper", "skyclaw", "broker")
        ),
        ([f"head {HEAD}", f"left claw {LEFT}"], "line 2: expected a name"),
        ([f"head {HEAD}", f"left-claw {HEAD}"], "line 2: the same token stands for head"),
        ([f"left-claw {LEFT}"], "it names no head"),
    ],
)
def test_a_file_of_digests_that_cannot_be_used(tmp_path: Path, lines: list[str], fault: str) -> None:
    path = listed(tmp_path, *lines)
    with pytest.raises(SettingsError) as raised:
        from_env({"SPINE_TOKEN_DIGESTS": path})
    (told,) = raised.value.faults
    assert told.startswith(f"SPINE_TOKEN_DIGESTS: {path}")
    assert fault in told


def test_a_file_of_digests_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        from_env({"SPINE_TOKEN_DIGESTS": str(tmp_path / "none")})
    assert raised.value.faults == [
        f"SPINE_TOKEN_DIGESTS: cannot read {tmp_path / 'none'}: No such file or directory",
    ]


def test_a_token_may_not_stand_for_two_in_variable_and_file(tmp_path: Path) -> None:
    path = listed(tmp_path, f"head {token_digest('left-token')}")
    with pytest.raises(SettingsError) as raised:
        from_env(TOKENS | {"SPINE_TOKEN_DIGESTS": path})
    assert raised.value.faults == [
        f"LEFT_CLAW_TOKEN: the same token is in {path} for head; give each role its own",
    ]


def test_a_database_is_an_address_that_nobody_sees(tmp_path: Path) -> None:
    url = "postgresql://spine:a-password@db/spine"
    settings = from_env(TOKENS | {"SPINE_DATABASE_URL": url})
    assert settings.database_url == url
    assert "a-password" not in repr(settings)
    assert faults(SPINE_DATABASE_URL="mysql://spine:a-password@db/spine") == [
        "SPINE_DATABASE_URL: no address; write postgresql://user:password@host:port/name"
    ]
    (fault,) = faults(SPINE_DATABASE_URL=url, SPINE_BACKUP_DIR=str(tmp_path))
    assert fault.startswith("SPINE_DATABASE_URL: SPINE_BACKUP_DIR and")


def test_tools_for_agents_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [from_env(TOKENS | given).mcp for given in ({}, {"SPINE_MCP": "0"}, {"SPINE_MCP": "1"})] == [
        False,
        False,
        True,
    ]
    assert faults(SPINE_MCP="maybe") == ["SPINE_MCP: 'maybe' is neither yes nor no; use 1 or 0"]
    monkeypatch.setattr("spine.settings.find_spec", lambda _name: None)
    assert faults(SPINE_MCP="1") == ["SPINE_MCP: mcp is not installed; pip install 'spinal-cord[mcp]'"]
    assert from_env(TOKENS).mcp is False
