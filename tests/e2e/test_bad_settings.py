"""A project that cannot start: `up --wait` fails soon, and the message or the log says what is wrong."""

from collections.abc import Iterator

import docker
import pytest
from tests.support.eventually import eventually
from tests.support.stack import LEASE_SECONDS, ROLES, ComposeFailed, Stack

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def prepared(
    engine: docker.DockerClient, image_tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, dict[str, str]]]:
    """A project of its own that has its tokens and was never started."""
    stack = Stack(engine, tmp_path_factory.mktemp("bad"), image_tag)
    stack.make_tokens()
    yield stack, {role: stack.token(role) for role in ROLES}
    stack.remove()


@pytest.fixture
def bad(prepared: tuple[Stack, dict[str, str]]) -> Iterator[Stack]:
    """The project, for a test to spoil before it starts it; whole again afterwards."""
    stack, tokens = prepared
    yield stack
    mend(stack, tokens)
    stack.remove()


def mend(stack: Stack, tokens: dict[str, str]) -> None:
    """Put back what a test has changed."""
    for role, token in tokens.items():
        path = stack.folder / "secrets" / f"{role}.token"
        path.unlink(missing_ok=True)
        path.write_text(token)
    stack.configure({"LEASE_SECONDS": str(LEASE_SECONDS), "SPINE_PUBLISH": f"127.0.0.1:{stack.port}"})


def fails(stack: Stack) -> str:
    """Start a project that cannot be started; return what was said."""
    with pytest.raises(ComposeFailed) as failed:
        stack.up()
    return str(failed.value)


def test_every_fault_of_the_spine_is_in_its_log_and_can_be_mended(
    bad: Stack, prepared: tuple[Stack, dict[str, str]]
) -> None:
    file = bad.folder / "secrets" / "right-claw.token"
    file.write_text(bad.token("left-claw"))
    bad.configure({"LEASE_SECONDS": "soon"})
    up = bad.make("up")
    assert up.returncode != 0
    assert "spine-1 is unhealthy" in up.stderr
    said = [
        "spine: RIGHT_CLAW_TOKEN: the same token is in LEFT_CLAW_TOKEN for left-claw; give each role its own",
        "spine: LEASE_SECONDS: 'soon' is not a whole number; give one from 1 to 86400",
    ]
    shown = {line.partition("| ")[2].strip() for line in up.stdout.splitlines()}
    assert set(said) <= shown
    assert bad.token("left-claw") not in up.stdout + up.stderr
    mend(*prepared)
    bad.run("up", "--detach", "--no-build", "spine")
    eventually(bad.serving, every=0.1, what="a spine that has been mended")


def test_a_token_that_was_not_made_is_named(bad: Stack) -> None:
    file = bad.folder / "secrets" / "head.token"
    file.unlink()
    said = fails(bad)
    assert "bind source path does not exist" in said
    assert str(file) in said


def test_a_port_that_is_none_is_named(bad: Stack) -> None:
    bad.configure({"SPINE_PUBLISH": "nonsense"})
    assert "nonsense" in fails(bad)
