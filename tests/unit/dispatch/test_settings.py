"""Where the gateway is and what opens it: the environment, OpenClaw's file, and what is wrong with either."""

from pathlib import Path

import pytest

from contract.env import SettingsError
from dispatch import openclawfile
from dispatch.settings import Settings, for_commands, from_env, socket_url

TOKEN = "from-the-file"
PLAIN = '{"gateway": {"auth": {"mode": "token", "token": "from-the-file"}}}'


def read(tmp_path: Path, config: str | None, **environ: str) -> Settings:
    """Build settings of a home in which OpenClaw's file has this content."""
    folder = tmp_path / ".openclaw"
    folder.mkdir(exist_ok=True)
    if config is not None:
        (folder / "openclaw.json").write_text(config)
    return from_env({"OPENCLAW_HOME": str(tmp_path), "SPINE_DISPATCH_HOME": str(tmp_path / "home"), **environ})


FILES: dict[str, tuple[str | None, tuple[str, str | None, str | None]]] = {
    "none": (None, ("ws://127.0.0.1:18789", None, None)),
    "empty object": ("{}", ("ws://127.0.0.1:18789", None, None)),
    "a token": (PLAIN, ("ws://127.0.0.1:18789", TOKEN, None)),
    "comments and trailing commas": (
        """// the gateway
        { /* at home */ "gateway": {
            "port": 19001, // not the usual one
            "auth": {"token": "from-the-file", /* , */ },
        }, }""",
        ("ws://127.0.0.1:19001", TOKEN, None),
    ),
    "what looks like a comment in a text": (
        '{"gateway": {"auth": {"token": "a//b/*c*/,]\\"}"}}}',
        ("ws://127.0.0.1:18789", 'a//b/*c*/,]"}', None),
    ),
    "a byte order mark": ("\ufeff" + PLAIN, ("ws://127.0.0.1:18789", TOKEN, None)),
    "tls": ('{"gateway": {"port": 443, "tls": {"enabled": true}}}', ("wss://127.0.0.1:443", None, None)),
    "tls on the usual port": ('{"gateway": {"tls": {"enabled": true}}}', ("wss://127.0.0.1:18789", None, None)),
    "a password": (
        '{"gateway": {"auth": {"mode": "password", "password": "p", "token": "t"}}}',
        ("ws://127.0.0.1:18789", None, "p"),
    ),
    "elsewhere": (
        '{"gateway": {"mode": "remote", "auth": {"token": "t"},'
        ' "remote": {"url": "wss://g.example/x/", "token": "r"}}}',
        ("wss://g.example/x", "r", None),
    ),
    "odd shapes": ('{"gateway": [], "x": 1}', ("ws://127.0.0.1:18789", None, None)),
    "no object": ("[]", ("ws://127.0.0.1:18789", None, None)),
}


@pytest.mark.parametrize("name", FILES)
def test_the_file(tmp_path: Path, name: str) -> None:
    config, wanted = FILES[name]
    address = read(tmp_path, config).gateway.checked()
    assert (address.url, address.token, address.password) == wanted


def test_the_environment_wins(tmp_path: Path) -> None:
    address = read(tmp_path, PLAIN, OPENCLAW_GATEWAY_TOKEN="mine", OPENCLAW_GATEWAY_PORT="7").gateway.checked()
    assert (address.url, address.token) == ("ws://127.0.0.1:7", "mine")
    address = read(
        tmp_path, PLAIN, OPENCLAW_GATEWAY_URL="https://g.example:8443/", OPENCLAW_GATEWAY_TOKEN="mine"
    ).gateway.checked()
    assert (address.url, address.token) == ("wss://g.example:8443", "mine")


def test_a_token_from_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine\n")
    assert read(tmp_path, None, OPENCLAW_GATEWAY_TOKEN_FILE=str(tmp_path / "token")).gateway.token == "mine"


def test_a_token_that_is_a_variable(tmp_path: Path) -> None:
    config = '{"gateway": {"auth": {"token": "${MY_TOKEN}"}}}'
    assert read(tmp_path, config, MY_TOKEN="mine").gateway.checked().token == "mine"
    with pytest.raises(SettingsError, match=r"\$\{MY_TOKEN\}, which is not set"):
        read(tmp_path, config).gateway.checked()


FAULTS = {
    "a reference": ('{"gateway": {"auth": {"token": {"source": "env", "id": "X"}}}}', {}, "OPENCLAW_GATEWAY_TOKEN"),
    "a reference elsewhere": (
        '{"gateway": {"mode": "remote", "remote": {"url": "ws://x", "token": {"source": "file"}}}}',
        {},
        r"gateway\.remote\.token is a reference",
    ),
    "no JSON": ("{gateway: 1}", {}, "only comments and trailing commas"),
    "cut off": ('{"gateway": ', {}, "only comments and trailing commas"),
    "a comment that does not end": ('{"gateway": {}} /* x', {}, "only comments"),
    "an address without its token": (
        PLAIN,
        {"OPENCLAW_GATEWAY_URL": "ws://127.0.0.1:1"},
        "OPENCLAW_GATEWAY_TOKEN: missing",
    ),
    "no address": (None, {"OPENCLAW_GATEWAY_URL": "here", "OPENCLAW_GATEWAY_TOKEN": "x"}, "OPENCLAW_GATEWAY_URL"),
    "a user in it": (None, {"OPENCLAW_GATEWAY_URL": "ws://a:b@c", "OPENCLAW_GATEWAY_TOKEN": "x"}, "holds no user"),
    "a port that is none": (None, {"OPENCLAW_GATEWAY_PORT": "99999"}, "OPENCLAW_GATEWAY_PORT"),
    "two tokens": (None, {"OPENCLAW_GATEWAY_TOKEN": "x", "OPENCLAW_GATEWAY_TOKEN_FILE": "/y"}, "not both"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_with_the_gateway_is_told_only_to_who_needs_it(tmp_path: Path, name: str) -> None:
    config, environ, text = FAULTS[name]
    settings = read(tmp_path, config, **environ)
    with pytest.raises(SettingsError, match=text) as raised:
        settings.gateway.checked()
    assert TOKEN not in str(raised.value)


def test_a_token_of_the_environment_needs_no_file(tmp_path: Path) -> None:
    config = '{"gateway": {"auth": {"token": {"source": "env"}}}}'
    assert read(tmp_path, config, OPENCLAW_GATEWAY_TOKEN="mine").gateway.checked().token == "mine"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(SettingsError, match="cannot be read"):
        read(tmp_path, None, OPENCLAW_CONFIG_PATH=str(tmp_path / "bad.json")).gateway.checked()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"OPENCLAW_CONFIG_PATH": "/a/b.json", "OPENCLAW_STATE_DIR": "/c"}, "/a/b.json"),
        ({"OPENCLAW_STATE_DIR": "/c", "OPENCLAW_HOME": "/d"}, "/c/openclaw.json"),
        ({"OPENCLAW_HOME": "/d"}, "/d/.openclaw/openclaw.json"),
        ({}, str(Path("~/.openclaw/openclaw.json").expanduser())),
    ],
)
def test_where_the_file_is(environ: dict[str, str], wanted: str) -> None:
    assert str(openclawfile.path_in(environ)) == wanted


def test_a_folder_has_to_be_absolute() -> None:
    with pytest.raises(SettingsError, match="SPINE_DISPATCH_HOME: 'x' is not absolute"):
        from_env({"SPINE_DISPATCH_HOME": "x", "OPENCLAW_HOME": "/nowhere"})


def test_what_is_wrong_is_named_each_at_once() -> None:
    wrong = {"SPINE_BASE_URL": "spine:36725", "DISPATCH_LABELS_PATH": "labels", "SPINE_DISPATCH_HOME": "~nobody-here"}
    with pytest.raises(SettingsError) as raised:
        from_env({**wrong, "OPENCLAW_HOME": "/nowhere"})
    assert [fault.split(":")[0] for fault in raised.value.faults] == [
        "SPINE_DISPATCH_HOME",
        "DISPATCH_LABELS_PATH",
        "SPINE_BASE_URL",
    ]


def test_commands_of_others_see_no_secret_of_ours() -> None:
    secrets = ("OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD", "DISPATCH_WEBHOOK_SECRET", "SPINE_TOKEN")
    secrets += ("DISPATCH_WEBHOOK_URL", "DISPATCH_WEBHOOK_URL_FILE")
    assert for_commands({**dict.fromkeys(secrets, "x"), "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("text", ["ftp://x", "x", "ws://", "ws://x?token=1", "ws://x#y", "ws://x:port"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        socket_url(text)


def test_no_token_is_shown(tmp_path: Path) -> None:
    assert TOKEN not in repr(read(tmp_path, PLAIN))


HERE = {"OPENCLAW_GATEWAY_URL": "ws://127.0.0.1:1"}
JOBS: dict[str, tuple[str | None, dict[str, str], str | None]] = {
    "a token in a file": (None, {**HERE, "OPENCLAW_GATEWAY_TOKEN_FILE": "TOKEN"}, None),
    "a token in openclaw.json": (PLAIN, {}, None),
    "none anywhere": (None, {}, None),
    "one in the environment alone": (None, {**HERE, "OPENCLAW_GATEWAY_TOKEN": "mine"}, "OPENCLAW_GATEWAY_TOKEN_FILE"),
    "another than openclaw.json has": (PLAIN, {"OPENCLAW_GATEWAY_TOKEN": "mine"}, "OPENCLAW_GATEWAY_TOKEN_FILE"),
    "the same as openclaw.json has": (PLAIN, {"OPENCLAW_GATEWAY_TOKEN": TOKEN}, None),
    "a variable that openclaw.json names": (
        '{"gateway": {"auth": {"token": "${MINE}"}}}',
        {"MINE": "mine"},
        "gateway.auth.token is ${MINE}, which is not set here",
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_whether_a_job_on_this_machine_has_the_gateway_s_token(tmp_path: Path, name: str) -> None:
    config, environ, lacks = JOBS[name]
    (tmp_path / "token").write_text("mine\n")
    given = {name: str(tmp_path / "token") if value == "TOKEN" else value for name, value in environ.items()}
    found = read(tmp_path, config, **given)
    if lacks is None:
        assert found.jobs_lack is None
    else:
        assert lacks in (found.jobs_lack or "")
    assert not [word for word in found.for_jobs if "mine" in word or TOKEN in word]


def test_paths_that_a_job_is_given_do_not_hang_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("mine\n")
    monkeypatch.chdir(tmp_path)
    found = read(tmp_path, None, OPENCLAW_GATEWAY_TOKEN_FILE="token", OPENCLAW_CONFIG_PATH="~/there.json")
    assert f"OPENCLAW_GATEWAY_TOKEN_FILE={tmp_path}/token" in found.for_jobs
    assert "OPENCLAW_CONFIG_PATH=~/there.json" in found.for_jobs
    assert found.jobs_lack is None


ADDRESS = "http://127.0.0.1:9/hook?key=mine"
WEBHOOKS: dict[str, tuple[dict[str, str], list[str], str | None]] = {
    "none": ({"DISPATCH_WEBHOOK_SECRET": "s"}, [], None),
    "both by files": (
        {"DISPATCH_WEBHOOK_URL_FILE": "url", "DISPATCH_WEBHOOK_SECRET_FILE": "secret"},
        ["DISPATCH_WEBHOOK_URL_FILE", "DISPATCH_WEBHOOK_SECRET_FILE"],
        None,
    ),
    "no secret": ({"DISPATCH_WEBHOOK_URL_FILE": "url"}, ["DISPATCH_WEBHOOK_URL_FILE"], None),
    "the address in the environment": (
        {"DISPATCH_WEBHOOK_URL": ADDRESS, "DISPATCH_WEBHOOK_SECRET_FILE": "secret"},
        ["DISPATCH_WEBHOOK_SECRET_FILE"],
        "give DISPATCH_WEBHOOK_URL by a file of mode 0600, named in DISPATCH_WEBHOOK_URL_FILE",
    ),
    "the secret in the environment": (
        {"DISPATCH_WEBHOOK_URL_FILE": "url", "DISPATCH_WEBHOOK_SECRET": "s"},
        [],
        "give DISPATCH_WEBHOOK_SECRET by a file of mode 0600, named in DISPATCH_WEBHOOK_SECRET_FILE",
    ),
}


@pytest.mark.parametrize("name", WEBHOOKS)
def test_whether_a_job_on_this_machine_posts_to_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    environ, given, why = WEBHOOKS[name]
    (tmp_path / "url").write_text(f"{ADDRESS}\n")
    (tmp_path / "secret").write_text("s\n")
    monkeypatch.chdir(tmp_path)
    found = read(tmp_path, PLAIN, **environ)
    assert found.webhook_url == (None if name == "none" else ADDRESS)
    words = [word for word in found.for_jobs if "WEBHOOK" in word]
    files = {"DISPATCH_WEBHOOK_URL_FILE": "url", "DISPATCH_WEBHOOK_SECRET_FILE": "secret"}
    assert words == [f"{name}={tmp_path}/{files[name]}" for name in given]
    assert (found.jobs_post_nothing or "").endswith(why) if why else found.jobs_post_nothing is None
    assert "key=mine" not in repr(found)


def test_a_file_that_holds_no_address_is_named_without_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mine")
    with pytest.raises(SettingsError, match="DISPATCH_WEBHOOK_URL: expected an address such as") as raised:
        read(tmp_path, PLAIN, DISPATCH_WEBHOOK_URL_FILE=str(tmp_path / "url"))
    assert "mine" not in str(raised.value)
