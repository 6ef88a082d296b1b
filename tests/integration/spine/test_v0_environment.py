"""The native contract, Environment: names and defaults of v0, and what stops the server at its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.raw_http import Api
from tests.support.server import MakeProcess, StartSpine
from tests.support.spine_process import TOKENS
from tests.support.times import ms

from spine.cli import cli

CONFIG = 78


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def check(env: Mapping[str, str]) -> Done:
    """Run `spine check` with nothing but these settings, in this process (the environment is clean of others)."""
    done = CliRunner().invoke(cli, ["check"], env=dict(env))
    return Done(done.exit_code, done.stdout, done.stderr)


def test_the_defaults_of_where_it_listens_and_keeps() -> None:
    done = check(TOKENS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok: 3 tokens, data in data, listens on 127.0.0.1:36725\n"


def test_port_host_and_folder_by_their_names() -> None:
    env = {"SPINE_PORT": "4000", "SPINE_HOST": "0.0.0.0", "SPINE_DATA_DIR": "/srv/x"}
    assert check({**TOKENS, **env}).stdout == "ok: 3 tokens, data in /srv/x, listens on 0.0.0.0:4000\n"


def test_the_defaults_of_lease_and_attempts(start_spine: StartSpine) -> None:
    server = start_spine()
    job = server.head.submit()
    assert job["maxAttempts"] == 5
    claimed = server.left.claim(job["id"])
    assert ms(claimed["leaseUntil"]) - ms(claimed["updatedAt"]) == 300_000


def test_lease_attempts_and_skill_by_their_names(start_spine: StartSpine, tmp_path: Path) -> None:
    skill = tmp_path / "own.md"
    skill.write_text("---\nname: own\n---\nÜ\n")
    server = start_spine(LEASE_SECONDS="77", DEFAULT_MAX_ATTEMPTS="9", SPINE_SKILL_MD_PATH=str(skill))
    job = server.head.submit()
    assert job["maxAttempts"] == 9
    claimed = server.left.claim(job["id"])
    assert ms(claimed["leaseUntil"]) - ms(claimed["updatedAt"]) == 77_000
    beat = server.left.post(f"/jobs/{job['id']}/heartbeat").json
    assert ms(beat["leaseUntil"]) - ms(beat["updatedAt"]) == 77_000
    answer = server.nobody.get("/skill.md")
    assert answer.body == skill.read_bytes()
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"


def test_tokens_from_files(start_spine: StartSpine, tmp_path: Path) -> None:
    (tmp_path / "head").write_text("head-from-file\n")
    server = start_spine(HEAD_TOKEN=None, HEAD_TOKEN_FILE=str(tmp_path / "head"))
    assert Api(server.port, "head-from-file").post("/jobs", {}).status == 201


@pytest.mark.parametrize("value", [None, "", "   "])
@pytest.mark.parametrize("name", ["HEAD_TOKEN", "LEFT_CLAW_TOKEN", "RIGHT_CLAW_TOKEN"])
def test_a_missing_or_empty_token_stops_the_start(name: str, value: str | None) -> None:
    env = {key: token for key, token in {**TOKENS, name: value}.items() if token is not None}
    done = check(env)
    assert done.returncode == CONFIG
    assert done.stderr.startswith(f"spine: {name}: missing; ")
    assert all(token not in done.stderr for token in TOKENS.values())


def test_serve_refuses_just_as_check_does(process: MakeProcess) -> None:
    spine = process(HEAD_TOKEN=None)
    spine.launch()
    assert spine.wait(20) == CONFIG
    assert spine.log().startswith("spine: HEAD_TOKEN: missing; ")
    assert not spine.data_dir.exists()


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"LEFT_CLAW_TOKEN": "head-token-0001"}, "LEFT_CLAW_TOKEN: the same token is in HEAD_TOKEN for head"),
        (
            {"RIGHT_CLAW_TOKEN": "left-token-0001"},
            "RIGHT_CLAW_TOKEN: the same token is in LEFT_CLAW_TOKEN",
        ),
        (
            {"LEFT_CLAW_TOKENS": "others-1,right-token-0001"},
            "RIGHT_CLAW_TOKEN: the same token is in LEFT_CLAW_TOKENS",
        ),
        ({"CLAW_TOKENS": "gpu=head-token-0001"}, "CLAW_TOKENS: the same token is in HEAD_TOKEN for head"),
        ({"CLAW_TOKENS": "a=same-token-1,b=same-token-1"}, "CLAW_TOKENS: the same token is in CLAW_TOKENS for a"),
        ({"CLAW_TOKENS": "head=some-token-1"}, "CLAW_TOKENS: head is not for a claw"),
        ({"CLAW_TOKENS": "any=some-token-1"}, "CLAW_TOKENS: any is not for a claw"),
        ({"CLAW_TOKENS": "some-token-1"}, "CLAW_TOKENS: expected name=token"),
        ({"CLAW_TOKENS": "A B=some-token-1"}, "CLAW_TOKENS: expected name=token"),
        ({"HEAD_TOKEN": "short"}, "HEAD_TOKEN: a token needs at least 8 characters"),
        ({"HEAD_TOKEN_FILE": "/nowhere"}, "HEAD_TOKEN: set HEAD_TOKEN or HEAD_TOKEN_FILE, not both"),
        ({"SPINE_PORT": "x"}, "SPINE_PORT: 'x' is not a whole number; give one from 0 to 65535"),
        ({"SPINE_PORT": "65536"}, "SPINE_PORT: 65536 is out of range"),
        ({"SPINE_PORT": "-1"}, "SPINE_PORT: -1 is out of range"),
        ({"LEASE_SECONDS": "0"}, "LEASE_SECONDS: 0 is out of range"),
        ({"LEASE_SECONDS": "1.5"}, "LEASE_SECONDS: '1.5' is not a whole number"),
        ({"LEASE_SECONDS": "1" + "0" * 30}, "LEASE_SECONDS: 1000000000000000000000000000000 is out of range"),
        ({"REAPER_INTERVAL_MS": "1"}, "REAPER_INTERVAL_MS: 1 is out of range"),
        ({"DEFAULT_MAX_ATTEMPTS": "0"}, "DEFAULT_MAX_ATTEMPTS: 0 is out of range"),
        ({"SPINE_SKILL_MD_PATH": "/nowhere/x.md"}, "SPINE_SKILL_MD_PATH: /nowhere/x.md is not a file"),
        ({"SPINE_LOG_LEVEL": "loud"}, "SPINE_LOG_LEVEL: 'loud' is not one of"),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start(env: dict[str, str], named: str) -> None:
    done = check({**TOKENS, **env})
    assert done.returncode == CONFIG
    assert done.stdout == ""
    assert f"spine: {named}" in done.stderr
    given = [v.split("=")[-1] for v in {**TOKENS, **env}.values() if "token" in v or v == "short"]
    assert all(token not in done.stderr for token in given)


def test_all_faults_are_told_at_once() -> None:
    done = check({"LEASE_SECONDS": "x", "SPINE_PORT": "y"})
    told = [line.split(":")[1].strip() for line in done.stderr.splitlines()]
    assert sorted(told) == ["HEAD_TOKEN", "LEASE_SECONDS", "LEFT_CLAW_TOKEN", "RIGHT_CLAW_TOKEN", "SPINE_PORT"]
