"""A project that cannot start: `up --wait` fails soon, and the message or the log says what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.support.eventually import eventually
from tests.support.stack import ComposeFailed, Stack

pytestmark = pytest.mark.docker


@pytest.fixture
def bad(engine: docker.DockerClient, image_tag: str, tmp_path: Path) -> Iterator[Stack]:
    """A project of its own, with tokens, that a test spoils before it starts it."""
    stack = Stack(engine, tmp_path, image_tag)
    stack.make_tokens()
    try:
        yield stack
    finally:
        stack.remove()


def fails(stack: Stack) -> str:
    """Start a project that cannot be started; return what was said."""
    with pytest.raises(ComposeFailed) as failed:
        stack.up()
    return str(failed.value)


def test_every_fault_of_the_spine_is_in_its_log(bad: Stack) -> None:
    file = bad.folder / "secrets" / "right-claw.token"
    file.chmod(0o644)
    file.write_text(bad.token("left-claw"))
    bad.configure({"LEASE_SECONDS": "soon"})
    assert "spine-1 is unhealthy" in fails(bad)
    said = [
        "spine: RIGHT_CLAW_TOKEN: the same token is in LEFT_CLAW_TOKEN for left-claw; give each role its own",
        "spine: LEASE_SECONDS: 'soon' is not a whole number; give one from 1 to 86400",
    ]
    eventually(lambda: set(said) <= set(bad.logs("spine").splitlines()), 10, what="both faults")
    assert bad.token("left-claw") not in bad.logs("spine")


def test_a_token_that_was_not_made_is_named(bad: Stack) -> None:
    file = bad.folder / "secrets" / "head.token"
    file.unlink()
    said = fails(bad)
    assert "bind source path does not exist" in said
    assert str(file) in said


def test_a_port_that_is_none_is_named(bad: Stack) -> None:
    bad.configure({"SPINE_PUBLISH": "nonsense"})
    assert "nonsense" in fails(bad)
