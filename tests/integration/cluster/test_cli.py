"""`spine-cluster` against a store: what it prints for people and for programs."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from click.testing import CliRunner
from tests.support.cluster_world import CONFIG, World
from tests.support.eventually import eventually

from cluster import cli as command
from cluster.backend import Backend, Holder, Node


class Cli:
    """Runs the command in this process, in a folder with a configuration."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(command.cli, words, env=self._world.env())
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.stdout or done.stderr


@pytest.fixture
def cli(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    (world.folder / "config").mkdir()
    (world.folder / "config" / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(world.folder)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Cli(world)
    structlog.reset_defaults()
    for handler in [one for one in root.handlers if one not in handlers]:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_status_and_nodes(cli: Cli, backend: Backend) -> None:
    backend.join(Node("n1", "i1", "one\x1b[31m", ("gpu",)), 60)
    grant = backend.take(Holder("n1", "i1"), 60)
    assert grant is not None
    status = json.loads(cli("status", "--json"))
    assert (status["leader"]["node_id"], status["online"], status["offline"]) == ("n1", 1, 0)
    assert f"leader     n1 (token {grant.token}, " in cli("status")
    (node,) = json.loads(cli("nodes", "--json"))
    assert (node["node_id"], node["state"], node["capabilities"]) == ("n1", "online", ["gpu"])
    head, row = cli("nodes").splitlines()
    assert head.split() == ["NODE", "STATE", "ROLE", "LAST", "HEARD", "NAME", "CAPABILITIES"]
    assert row.split()[:3] == ["n1", "online", "leader"]
    assert "\x1b" not in row
    assert cli("elect") == f"n1 leads (token {grant.token})\n"


def test_a_node_that_a_cron_keeps(cli: Cli, backend: Backend) -> None:
    assert cli("join", "n1") == "n1 has joined\n"
    cli("heartbeat", "n1", "--once")
    assert [(beat.node_id, beat.is_leader) for beat in backend.history(10)] == [("n1", False)] * 2
    assert cli("leave", "n1") == "n1 has left\n"
    assert backend.nodes() == []
    backend.join(Node("n1", "another"), 60)
    assert "another process" in cli("heartbeat", "n1", "--once", code=75)
    assert "end it with SIGTERM" in cli("leave", "n1", code=1)
    backend.join(Node("n1", "another"), 0.5)
    # By its own time, not by the ten seconds of others.
    eventually(lambda: [node.state for node in backend.nodes()] == ["offline"], 9)
    assert "to take it off now: join, then leave" in cli("leave", "n1", code=1)
    cli("join", "n1")
    cli("leave", "n1")
    assert backend.nodes() == []
