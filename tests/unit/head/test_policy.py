"""The review policy: what it takes, which rule fits, what a rework says."""

from pathlib import Path
from typing import Any

import pytest

from contract.env import SettingsError
from contract.wire import Job
from head import policy
from head.policy import Policy, Rule

TOML = """
maxRounds = 4
notify = ["tell", "me"]

[[rules]]
label = "docs-*"
exit = [0]
accept = true

[[rules]]
rework = "Round {round} of {label} ended with {exit}: {notes}"
maxRound = 2

[[rules]]
command = ["./review", "--strict"]
timeoutSeconds = 30
"""
JSON = """
{"maxRounds": 4, "notify": ["tell", "me"], "rules": [
  {"label": "docs-*", "exit": [0], "accept": true},
  {"rework": "Round {round} of {label} ended with {exit}: {notes}", "maxRound": 2},
  {"command": ["./review", "--strict"], "timeoutSeconds": 30}]}
"""
RULES = [
    Rule(label="docs-*", exit=[0], accept=True),
    Rule(rework="Round {round} of {label} ended with {exit}: {notes}", max_round=2),
    Rule(command=["./review", "--strict"], timeout_seconds=30),
]


def job(**fields: Any) -> Job:
    """Make a job that is done; a test says only what matters to it."""
    given: dict[str, Any] = {
        "id": "j1",
        "target": "left-claw",
        "status": "done",
        "created_at": "2026-03-01T12:00:00.000Z",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "created_by": "head",
        "claimed_by": "left-claw",
        "lease_until": None,
        "attempts": 1,
        "max_attempts": 5,
        "spec": "",
        "meta": {},
        "comments": [],
        "result": None,
        "error": None,
        "needs_review": True,
    }
    return Job(**(given | fields))


@pytest.mark.parametrize(("name", "text"), [("p.toml", TOML), ("p.json", JSON), ("policy", JSON)])
def test_both_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert policy.read(tmp_path / name) == Policy(rules=RULES, max_rounds=4, notify=["tell", "me"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "truncated"),
        ("[]", "object"),
        ('{"rule": []}', "rule"),
        ('{"rules": [{"accept": true, "labl": "x"}]}', "labl"),
        ('{"rules": [{}]}', "rules[0]: say exactly one of accept, leave, rework and command"),
        ('{"rules": [{"accept": true}, {"accept": true, "rework": "x"}]}', "rules[1]: say exactly one"),
        ('{"rules": [{"rework": "{id} {spec}"}]}', "{spec} is none of id, label"),
        ('{"rules": [{"command": []}]}', "the program first"),
        ('{"rules": [{"command": "make test"}]}', "rules[0].command"),
        ('{"rules": [{"accept": true, "maxRound": 0}]}', "maxRound"),
        ('{"notify": [""]}', "notify"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SettingsError) as found:
        policy.read(tmp_path / "p.json")
    assert said in str(found.value)


def test_a_file_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(b"\xff = 1")
    for name in ("p.toml", "nothing.toml"):
        with pytest.raises(SettingsError, match="--policy"):
            policy.read(tmp_path / name)


@pytest.mark.parametrize(
    ("rule", "fields", "fits"),
    [
        ({}, {}, True),
        ({"label": "docs-*"}, {"label": "docs-1"}, True),
        ({"label": "docs-*"}, {"label": "code"}, False),
        ({"label": "docs-*"}, {}, False),
        ({"label": ""}, {}, True),
        ({"target": "left-*", "label": "x"}, {"label": "x"}, True),
        ({"target": "right-*", "label": "x"}, {"label": "x"}, False),
        ({"machine": "m1"}, {"machine": "m1"}, True),
        ({"branch": "spine/*"}, {"result": {"branch": "spine/job-1"}}, True),
        ({"branch": "spine/*"}, {"result": "a text"}, False),
        ({"exit": 0}, {}, True),
        ({"exit": 0}, {"result": {"phases": [{"exitCode": 0}, {"exitCode": 3}]}}, False),
        ({"exit": [1, 3]}, {"result": {"phases": [{"exitCode": 0}, {"exitCode": 3}]}}, True),
        ({"exit": 0}, {"result": {"phases": "odd"}}, True),
        ({"max_round": 2}, {"round": 2}, True),
        ({"max_round": 2}, {"round": 3}, False),
    ],
)
def test_which_rule_fits(rule: dict[str, Any], fields: dict[str, Any], fits: bool) -> None:
    assert policy.fits(Rule(accept=True, **rule), job(**fields)) is fits


def test_the_first_rule_that_fits_is_taken() -> None:
    rules = Policy(rules=RULES)
    chosen = policy.choose(rules, job(label="docs-1"))
    assert chosen == (0, RULES[0])
    assert policy.choose(rules, job(label="code", round=2)) == (1, RULES[1])
    assert policy.choose(rules, job(label="code", round=3)) == (2, RULES[2])
    assert policy.choose(Policy(), job()) is None


def test_a_template_takes_values_as_they_are() -> None:
    done = job(label="{id}", round=2, result={"notes": "100 % {x}\0\ud800", "phases": [{"exitCode": 7}]})
    said = policy.fill("{label}: round {round}, exit {exit}: {notes} {unknown} {0} {", done)
    assert said == "{id}: round 2, exit 7: 100 % {x}\ufffd? {unknown} {0} {"


def test_a_review_is_never_longer_than_the_spine_takes() -> None:
    said = policy.as_text("ä" * 20_000)
    assert said == "ä" * 8192
