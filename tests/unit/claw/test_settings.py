"""The claw's settings."""

import re
from pathlib import Path

import pytest

from claw import settings
from contract.env import SettingsError

PLAIN = {"SPINE_TOKEN": "a-token-of-a-claw", "HOME": "/home/someone", "PATH": "/usr/bin:/bin"}


def test_defaults() -> None:
    used = settings.from_env(PLAIN)
    assert used.base_urls == ("http://127.0.0.1:36725",)
    assert used.state_dir == Path("/home/someone/.spine")
    assert used.work_dir == Path("/home/someone/.spine/work")
    assert (used.mode, used.heartbeat_seconds, used.tick_seconds, used.wait_seconds) == ("worker", 10, 60, 25)
    assert used.allowed_repos == ()
    assert used.base_env == {"HOME": "/home/someone", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_the_work_folder_follows_the_state_folder() -> None:
    assert settings.from_env(PLAIN | {"CLAW_STATE_DIR": "/srv/claw"}).work_dir == Path("/srv/claw/work")


def test_all_faults_are_told_at_once() -> None:
    wrong = PLAIN | {
        "SPINE_TOKEN": "",
        "SPINE_BASE_URL": "localhost:36725",
        "CLAW_MODE": "fast",
        "CLAW_WAIT_SECONDS": "31",
        "CLAW_STATE_DIR": "relative",
        "CLAW_AGENT_COMMAND": "[1]",
        "CLAW_PASS_ENV": "SPINE_TOKEN",
    }
    with pytest.raises(SettingsError) as caught:
        settings.from_env(wrong)
    names = {fault.split(":")[0] for fault in caught.value.faults}
    assert names == {*wrong} - {"HOME", "PATH"}


def test_a_list_of_addresses_without_one_is_a_fault() -> None:
    with pytest.raises(SettingsError, match="SPINE_BASE_URL: it names no address"):
        settings.from_env(PLAIN | {"SPINE_BASE_URL": ","})


def test_a_token_is_never_shown_and_never_passed_on(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-in-a-file\n")
    env = PLAIN | {"SPINE_TOKEN": "", "SPINE_TOKEN_FILE": str(tmp_path / "token"), "API_KEY": "k-123456", "A": "b"}
    used = settings.from_env(env | {"CLAW_PASS_ENV": "API_KEY, A, MISSING"})
    assert used.token == "a-token-in-a-file"
    assert "a-token-in-a-file" not in repr(used)
    assert used.base_env["API_KEY"] == "k-123456"
    assert used.secrets() == ("a-token-in-a-file", "k-123456")
    assert not any("SPINE" in name for name in used.base_env)


def test_without_dialects_a_claw_offers_nothing_of_them() -> None:
    used = settings.from_env(PLAIN | {"CLAW_NAME": "left", "SKYCLAW_CAPABILITIES": "gpu", "WORKER_CAPS": "tools"})
    assert used.dialects == settings.Dialects(
        names=(),
        capabilities=(),
        allowed_commands=("automaton", "node", "bash", "sh"),
        automaton="automaton",
        timeout_ms=300_000,
        output_bytes=128_000,
        worker_id="left",
        runner_folder=None,
    )


@pytest.mark.parametrize(
    ("env", "offered"),
    [
        ({"CLAW_DIALECTS": "skyclaw"}, ("skyclaw", "shell", "automaton")),
        ({"CLAW_DIALECTS": "skyclaw", "SKYCLAW_CAPABILITIES": " gpu, shell,"}, ("skyclaw", "gpu", "shell")),
        ({"CLAW_DIALECTS": "broker"}, ("broker",)),
        ({"CLAW_DIALECTS": "broker", "WORKER_CAPS": "a, b", "LLM_CAP": "llm:small"}, ("broker", "a", "b", "llm:small")),
        ({"CLAW_DIALECTS": "broker", "WORKER_CAPS": '["a", "b"]'}, ("broker", "a", "b")),
        ({"CLAW_DIALECTS": "skyclaw,broker,skyclaw"}, ("broker", "skyclaw", "shell", "automaton")),
    ],
)
def test_what_a_dialect_adds_to_what_is_offered(env: dict[str, str], offered: tuple[str, ...]) -> None:
    assert settings.from_env(PLAIN | env).dialects.capabilities == offered


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 300_000), ("soon", 300_000), ("2500", 2500), ("2500ms", 2500), ("1e9", 1), (" 7.9", 7), ("-3", -3)],
)
def test_numbers_of_skyclaw_are_read_by_their_leading_digits(text: str, number: int) -> None:
    assert settings.from_env(PLAIN | {"SKYCLAW_TIMEOUT_MS": text}).dialects.timeout_ms == number


def test_faults_in_what_dialects_need() -> None:
    wrong = {"CLAW_DIALECTS": "skyclaw,morse", "WORKER_CAPS": "[1]", "RUNNER_STATE_DIR": "relative"}
    with pytest.raises(SettingsError) as caught:
        settings.from_env(PLAIN | wrong | {"SKYCLAW_TOKEN": "s", "CLAW_PASS_ENV": "SKYCLAW_TOKEN"})
    assert sorted(caught.value.faults) == [
        "CLAW_DIALECTS: 'morse' is not one of broker, skyclaw",
        "CLAW_PASS_ENV: SKYCLAW_TOKEN is never passed to a job; take it out",
        "RUNNER_STATE_DIR: 'relative' is not absolute; begin it with / or ~",
        "WORKER_CAPS: not a JSON list of texts",
    ]


def test_tokens_of_others_are_masked_and_no_child_gets_them() -> None:
    used = settings.from_env(PLAIN | {"SKYCLAW_TOKEN": "a-token-of-skyclaw", "WORKER_TOKEN": "a-token-of-a-runner"})
    assert used.secrets() == ("a-token-of-a-claw", "a-token-of-skyclaw", "a-token-of-a-runner")
    assert sorted(used.base_env) == ["HOME", "LANG", "PATH"]


def test_a_gateway_s_token_in_a_file_is_masked_and_in_no_environment(tmp_path: Path) -> None:
    file = tmp_path / "gateway-token"
    file.write_text("a-token-of-a-gateway\n")
    gateway = {"CLAW_DISPATCH_COMMAND": "spine-dispatch", "OPENCLAW_GATEWAY_TOKEN_FILE": str(file)}
    used = settings.from_env(PLAIN | gateway)
    assert used.secrets() == ("a-token-of-a-claw", "a-token-of-a-gateway")
    assert used.dispatching is not None
    told = {"HOME": "/home/someone", "PATH": "/usr/bin:/bin", "OPENCLAW_GATEWAY_TOKEN_FILE": str(file)}
    assert used.dispatching.env == told
    assert "OPENCLAW_GATEWAY_TOKEN_FILE" not in used.base_env


def test_a_gateway_s_token_that_cannot_be_had(tmp_path: Path) -> None:
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.touch()
    for file, fault in ((gone, f"cannot read {gone}: FileNotFoundError"), (empty, f"{empty} is empty")):
        with pytest.raises(SettingsError, match=f"OPENCLAW_GATEWAY_TOKEN_FILE: {fault}"):
            settings.from_env(PLAIN | {"OPENCLAW_GATEWAY_TOKEN_FILE": str(file)})


def test_the_token_in_openclaw_s_file_is_for_the_gateway_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "openclaw.json").write_text("{}")
    here = PLAIN | {"CLAW_DISPATCH_COMMAND": "spine-dispatch", "OPENCLAW_STATE_DIR": str(tmp_path)}
    assert settings.from_env(here).dispatching is not None
    assert settings.from_env(here | {"OPENCLAW_GATEWAY_URL": "wss://gateway.example"}).dispatching is None


def test_commands_are_lists_or_words() -> None:
    used = settings.from_env(PLAIN | {"CLAW_AGENT_COMMAND": '["a", "b c"]', "CLAW_PR_COMMAND": "gh pr 'create it'"})
    assert used.agent_command == ("a", "b c")
    assert used.pr_command == ("gh", "pr", "create it")


def test_the_virtual_environment_is_not_on_the_path_of_children() -> None:
    env = PLAIN | {"VIRTUAL_ENV": "/opt/venv", "PATH": "/opt/venv/bin:/usr/bin"}
    assert settings.from_env(env).base_env["PATH"] == "/usr/bin"


def test_the_table_lists_exactly_what_is_read() -> None:
    source = Path(settings.__file__).read_text()
    body = source[source.index("def from_env") : source.index("def _leading_digits")]
    read = set(re.findall(r'"((?:SPINE|CLAW|SKYCLAW|WORKER|RUNNER|LLM)_[A-Z_]+)"', body))
    gateway = {"OPENCLAW_GATEWAY_URL", "OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_TOKEN_FILE"}
    assert {row.name for row in settings.SETTINGS} == read | {"SKYCLAW_TOKEN", "WORKER_TOKEN"} | gateway
    assert all(row.meaning for row in settings.SETTINGS)
