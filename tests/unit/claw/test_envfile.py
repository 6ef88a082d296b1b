"""The settings file."""

from pathlib import Path

import msgspec
import pytest

from claw import envfile, settings
from contract.env import SettingsError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".spine").mkdir()
    return tmp_path


def write(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / ".spine" / "claw.env"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_value_is_the_rest_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "claw.env"
    path.write_text("# a remark\n\nA=1\n  export B = not this\nexport C=gh pr create --title {title} # all of it\n")
    path.chmod(0o600)
    values, faults = envfile.read(path)
    assert values == {"A": "1", "C": "gh pr create --title {title} # all of it"}
    assert faults == [f"{path}: line 4 is not NAME=value"]


@pytest.mark.parametrize(
    ("line", "value"), [("A='x y'", "x y"), ('A="x"', "x"), ("A='x\"", "'x\""), ("A='", "'"), ("A=", "")]
)
def test_one_pair_of_quotes_does_not_count(tmp_path: Path, line: str, value: str) -> None:
    path = tmp_path / "claw.env"
    path.write_text(line)
    path.chmod(0o600)
    assert envfile.read(path) == ({"A": value}, [])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "claw.env"
    path.write_bytes(envfile.text({"SPINE_BASE_URL": "http://spine:36725", "CLAW_NAME": "box"}))
    path.chmod(0o600)
    assert envfile.read(path) == ({"SPINE_BASE_URL": "http://spine:36725", "CLAW_NAME": "box"}, [])


def test_every_command_reads_it_and_the_environment_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "token").write_text("a-token-in-a-file\n")
    write(home, f"SPINE_TOKEN_FILE={home}/token\nCLAW_NAME=box\nCLAW_MODE=phases\n")
    monkeypatch.setenv("CLAW_MODE", "worker")
    used = settings.from_env()
    assert (used.token, used.token_file, used.name, used.mode) == (
        "a-token-in-a-file",
        home / "token",
        "box",
        "worker",
    )


@pytest.mark.parametrize("name", ["SPINE_TOKEN", "SPINE_TOKEN_FILE"])
def test_a_token_of_the_environment_hides_that_of_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (home / "other").write_text("the-token-of-the-shell")
    write(home, f"SPINE_TOKEN_FILE={home}/missing\n")
    monkeypatch.setenv(name, "the-token-of-the-shell" if name == "SPINE_TOKEN" else str(home / "other"))
    assert settings.from_env().token == "the-token-of-the-shell"


def test_a_file_that_others_can_read_is_refused(home: Path) -> None:
    path = write(home, "SPINE_TOKEN=a-token-of-a-claw\n", 0o640)
    with pytest.raises(SettingsError) as caught:
        settings.from_env()
    assert caught.value.faults[0] == f"{path}: not private to this user; chown it, and chmod 600"


def test_a_worker_is_given_its_token_and_keeps_an_eye_on_the_file(home: Path) -> None:
    token_file = home / "token"
    token_file.write_text("first-token\n")
    write(home, f"SPINE_TOKEN_FILE={token_file}\n")
    used = settings.from_env(token="first-token", token_file=token_file)
    assert (used.token, used.token_now()) == ("first-token", "first-token")
    token_file.write_text("second-token\n")
    assert used.newer_token("first-token") == "second-token"
    assert used.token_now() == "second-token"


def test_a_token_that_is_still_the_one_in_the_file_is_looked_for_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file = home / "token"
    token_file.write_text("first-token\n")
    used = settings.from_env({"SPINE_TOKEN_FILE": str(token_file)})
    waited: list[float] = []
    monkeypatch.setattr("contract.env.time.sleep", waited.append)
    assert used.newer_token("first-token") is None
    assert waited == [0.0, 1.0]
    token_file.unlink()
    assert (used.newer_token("first-token"), used.token_now()) == (None, "first-token")


def test_a_worker_that_is_refused_waits_for_the_token_of_who_takes_it_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file, handed = home / "token", home / "worker-token"
    token_file.write_text("first-token\n")
    used = msgspec.structs.replace(settings.from_env(token="first-token", token_file=token_file), handed_file=handed)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if waited == [0.0, 1.0, 1.0]:
            handed.write_text("second-token\n")

    monkeypatch.setattr("contract.env.time.sleep", wait)
    assert used.newer_token("first-token") == "second-token"
    assert waited == [0.0, 1.0, 1.0]
    assert used.newer_token("second-token") == "first-token"
    handed.unlink()
    assert used.newer_token("first-token") is None
    assert waited[4:] == [0.0, *[1.0] * 10]


def test_a_gateway_s_token_in_the_environment_hides_both_forms_in_the_file() -> None:
    file = {"OPENCLAW_GATEWAY_TOKEN": "old", "CLAW_NAME": "box"}
    given = {"OPENCLAW_GATEWAY_TOKEN_FILE": "/run/credentials/claw/gateway-token"}
    assert envfile.under(file, given) == {"CLAW_NAME": "box", **given}
