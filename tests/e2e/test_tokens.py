"""Tokens are where their role needs them and nowhere else: no file, environment, log or store shows another's."""

import json
import shlex
import stat
from collections.abc import Callable

import pytest
from tests.support.stack import ROLES, SERVICES, Stack

from contract.wire import Job

pytestmark = pytest.mark.docker

# Secrets are mounted into each container; the spine's are those of all.
OWN = {
    "spine": {role: f"/run/secrets/{role}.token" for role in ROLES},
    "head": {"head": "/run/secrets/token"},
    "left-claw": {"left-claw": "/run/secrets/token"},
    "right-claw": {"right-claw": "/run/secrets/token"},
}


@pytest.mark.parametrize("service", SERVICES)
def test_no_file_of_a_container_holds_the_token_of_another(
    stack: Stack, until_status: Callable[..., Job], service: str
) -> None:
    """Every file that the container's own user can read, its state and its store among them."""
    until_status(stack.head.submit({"target": "left-claw", "spec": {"run": "true"}}).id, "done")
    tokens = {stack.token(role): role for role in ROLES}
    # Patterns in a file: among the arguments they would find themselves. A file may be gone before it is read: -s.
    script = (
        f"printf '%s\\n' {' '.join(map(shlex.quote, tokens))} > /tmp/tokens; "
        "find / -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /tmp/tokens -prune "
        "-o -type f -readable -print0 2>/dev/null | xargs -0 grep -soaHFf /tmp/tokens --; rm /tmp/tokens"
    )
    _, output = stack.sh(service, script)
    found: dict[str, str] = {}
    for line in set(output.splitlines()):
        path, _, token = line.rpartition(":")
        assert tokens[token] not in found, f"{tokens[token]} is in {found[tokens[token]]} and in {path}"
        found[tokens[token]] = path
    assert found == OWN[service]


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_shows_a_token(stack: Stack, service: str) -> None:
    code, output = stack.sh(service, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    assert code == 0
    assert "SPINE_TOKEN_FILE=/run/secrets/token" in output or service == "spine"
    assert [role for role in ROLES if stack.token(role) in output] == []


def test_jobs_see_no_token(stack: Stack, until_status: Callable[..., Job]) -> None:
    job = until_status(stack.head.submit({"target": "left-claw", "spec": {"run": "env"}}).id, "done")
    seen = stack.head.read_log(job.id).decode()
    assert f"SPINE_JOB_ID={job.id}" in seen
    assert "TOKEN" not in seen
    assert [role for role in ROLES if stack.token(role) in seen] == []


def test_neither_docker_nor_a_log_shows_a_token(stack: Stack) -> None:
    shown = {}
    for service in SERVICES:
        container = stack.container(service)
        image = stack.client.api.inspect_image(container.attrs["Image"])
        history = stack.client.api.history(container.attrs["Image"])
        shown[service] = json.dumps([container.attrs, image, history]) + stack.logs(service)
    for role in ROLES:
        assert [service for service in SERVICES if stack.token(role) in shown[service]] == [], role


def test_files_of_tokens(stack: Stack) -> None:
    folder = stack.folder / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    of_chat = ["chat-hook.token", "chat-notices.secret", "chat.token"]
    assert [path.name for path in files] == [*of_chat, "head.token", "left-claw.token", "right-claw.token"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o444] * 6
    before = [path.read_text() for path in files]
    assert len(set(before)) == 6
    assert stack.make_tokens() == ""
    assert [path.read_text() for path in files] == before
