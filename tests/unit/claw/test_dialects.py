"""Jobs of Skyclaw and of the broker: what a claw reads in them."""

from typing import Any

import pytest

from claw import dialects
from claw.spec import BadSpec, HostCommand, RunnerOrder


@pytest.mark.parametrize(
    ("spec", "read", "env"),
    [
        ({"kind": "shell", "command": "sh"}, HostCommand(command="sh"), {}),
        (
            {
                "kind": "shell",
                "command": "node",
                "args": ["-v", ""],
                "cwd": "/srv",
                "env": {"A": "b", "N": 7, "F": 1.5, "T": True, "X-1": ""},
                "timeoutMs": 2500,
                "unknown": 1,
            },
            HostCommand(command="node", args=("-v", ""), cwd="/srv", timeout_ms=2500),
            {"A": "b", "N": "7", "F": "1.5", "T": "true", "X-1": ""},
        ),
        ({"kind": "automaton-run"}, HostCommand(args=("--run",)), {}),
        ({"kind": "automaton-run", "args": []}, HostCommand(), {}),
        (
            {"kind": "automaton-run", "args": None, "automatonDir": "d", "cwd": "not/this", "env": None},
            HostCommand(args=("--run",), cwd="d"),
            {},
        ),
        ({"kind": "dance", "command": "sh", "args": ["x"]}, HostCommand(args=("x",)), {}),
        ({"kind": "shell", "command": "sh", "timeoutMs": 1500.5}, HostCommand(command="sh", timeout_ms=1500.5), {}),
    ],
)
def test_a_job_of_skyclaw(spec: dict[str, Any], read: HostCommand, env: dict[str, str]) -> None:
    plan = dialects.parse(spec, ["shell", "skyclaw"])
    assert (plan.foreign, plan.env, dialects.dialect_of(plan)) == (read, env, "skyclaw")
    assert [phase.name for phase in plan.phases] == ["shell" if spec["kind"] == "shell" else "automaton-run"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("do it", "spec: a job that requires skyclaw has an object"),
        ({}, "spec.kind: missing; give shell or automaton-run"),
        ({"kind": "shell"}, "spec.command: missing; a shell job names a command"),
        ({"kind": "shell", "command": ["sh"]}, "spec.command: expected a text"),
        ({"kind": "shell", "command": "sh", "args": "x"}, "spec.args: expected a list of texts"),
        ({"kind": "shell", "command": "sh", "args": [1]}, "spec.args: expected a list of texts"),
        ({"kind": "shell", "command": "sh", "args": ["\0"]}, "spec.args: an argument cannot hold a NUL character"),
        ({"kind": "shell", "command": "sh", "cwd": "\0"}, "spec.cwd: a folder's name cannot hold a NUL character"),
        ({"kind": "shell", "command": "sh", "env": []}, "spec.env: expected an object"),
        ({"kind": "shell", "command": "sh", "env": {"A": {}}}, "spec.env.A: expected a text"),
        ({"kind": "shell", "command": "sh", "env": {"A=": ""}}, "spec.env: 'A=' is not a name of a variable"),
        ({"kind": "shell", "command": "sh", "timeoutMs": "1"}, "spec.timeoutMs: expected a number of milliseconds"),
        ({"kind": "shell", "command": "sh", "timeoutMs": True}, "spec.timeoutMs: expected a number of milliseconds"),
        ({"kind": "shell", "command": "sh", "timeoutMs": 10**400}, "spec.timeoutMs: expected a number of milliseconds"),
    ],
)
def test_what_no_host_could_run(spec: Any, why: str) -> None:
    with pytest.raises(BadSpec) as caught:
        dialects.parse(spec, ["skyclaw"])
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        ({"command": "ping", "payload": "x"}, RunnerOrder(command="ping", payload="x")),
        ({"command": " ping "}, RunnerOrder(command="ping")),
        ({"command": ""}, RunnerOrder(command="")),
        (
            {"command": "approve_echo", "payload": "p", "plan": {"id": "p", "jobId": "j", "digest": "d"}},
            RunnerOrder(command="approve_echo", payload="p", approved="p"),
        ),
        ({"command": "approve_echo", "payload": "p", "plan": "p"}, RunnerOrder(command="approve_echo", payload="p")),
    ],
)
def test_a_job_of_the_broker(spec: dict[str, Any], read: RunnerOrder) -> None:
    plan = dialects.parse(spec, ["broker"])
    assert (plan.foreign, dialects.dialect_of(plan)) == (read, "broker")


def test_a_job_is_of_one_dialect_or_of_none() -> None:
    plan = dialects.parse({"run": "true"}, ["shell"])
    assert (plan.foreign, dialects.dialect_of(plan)) == (None, None)
    with pytest.raises(BadSpec, match=r"^requires: a job is one of broker or of skyclaw, not of both$"):
        dialects.parse({"command": "ping"}, ["broker", "skyclaw"])
    with pytest.raises(BadSpec, match=r"^spec.payload: expected a text$"):
        dialects.parse({"command": "ping", "payload": {}}, ["broker"])
    with pytest.raises(BadSpec, match=r"^spec.command: missing$"):
        dialects.parse({"run": "true"}, ["broker"])
