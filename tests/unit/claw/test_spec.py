"""Reading what a job asks for."""

from typing import Any

import pytest

from claw.spec import BadSpec, parse


def test_a_text_is_one_phase_for_an_agent() -> None:
    plan = parse("fix it")
    assert plan.text == "fix it"
    assert [phase.name for phase in plan.phases] == ["agent"]


def test_run_is_one_phase() -> None:
    plan = parse({"run": ["make", "test"]})
    assert plan.text is None
    assert [(phase.name, phase.run, phase.timeout_seconds) for phase in plan.phases] == [
        ("run", ["make", "test"], None)
    ]


def test_phases_keep_their_order_and_get_names() -> None:
    plan = parse({"phases": [{"run": "a", "timeoutSeconds": 5}, {"name": "second", "run": "b"}], "permanentExits": [3]})
    assert [(phase.name, phase.run, phase.timeout_seconds) for phase in plan.phases] == [
        ("phase 1", "a", 5),
        ("second", "b", None),
    ]
    assert plan.permanent_exits == (3,)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("  ", "spec: it is empty"),
        ("a\x00b", "spec: the text has a NUL"),
        (None, "spec: expected a text or an object, got null"),
        ([], "spec: expected a text or an object, got a list"),
        (7, "spec: expected a text or an object, got a number"),
        ({}, "spec: give exactly one of run, phases, builtin and plan"),
        ({"run": "a", "phases": [{"run": "b"}]}, "spec: give exactly one of run, phases, builtin and plan"),
        ({"run": ""}, "spec.run: "),
        ({"run": " "}, "spec.run: the command is empty"),
        ({"run": []}, "spec.run: "),
        ({"run": ["a\x00"]}, "spec.run: a command cannot hold a NUL"),
        ({"run": 1}, "spec.run: "),
        ({"phases": []}, "spec.phases: "),
        ({"phases": [{"run": "a"}, {"name": "b"}]}, "spec.phases[1]: Object missing required field `run`"),
        ({"phases": [{"run": "a", "timeoutSeconds": 0}]}, "spec.phases[0].timeoutSeconds: "),
        ({"phases": [{"run": "a", "timeout": 1}]}, "spec.phases[0]: Object contains unknown field `timeout`"),
        ({"run": "a", "environment": {}}, "spec: Object contains unknown field `environment`"),
        ({"run": "a", "env": {"A": 1}}, "spec.env[...]: Expected `str`, got `int`"),
        ({"run": "a", "env": {"1A": "x"}}, "spec.env: '1A' is not a name"),
        ({"run": "a", "env": {"SPINE_TOKEN": "x"}}, "spec.env: SPINE_TOKEN is set by the claw"),
        ({"run": "a", "env": {"A": "\x00"}}, "spec.env.A: "),
        ({"run": "a", "branch": "main"}, "spec.branch: it needs a repo"),
        ({"run": "a", "repo": "r", "branch": "--upload-pack=x"}, "spec.branch: '--upload-pack=x' is not"),
        ({"run": "a", "repo": "r", "branch": "a..b"}, "spec.branch: 'a..b' is not"),
        ({"run": "a", "repo": "r", "branch": "a b"}, "spec.branch: 'a b' is not"),
        ({"run": "a", "repo": " r"}, "spec.repo: "),
        ({"run": "a", "repo": "r\n"}, "spec.repo: "),
        ({"run": "a", "artifacts": ["/etc/passwd"]}, "spec.artifacts[0]: "),
        ({"run": "a", "artifacts": ["ok", "a/../../b"]}, "spec.artifacts[1]: "),
        ({"run": "a", "permanentExits": [0]}, "spec.permanentExits[0]: "),
    ],
)
def test_a_mistake_is_named_by_its_field(spec: Any, said: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse(spec)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("branch", ["main", "feature/one", "release-1.2", "v1.0"])
def test_usual_names_of_branches_are_taken(branch: str) -> None:
    assert parse({"run": "a", "repo": "r", "branch": branch}).branch == branch
