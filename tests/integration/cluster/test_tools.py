"""The agents' tools on each store, two agents in one process."""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
import structlog
from tests.support.cluster_world import CONFIG, World

from cluster.backend import Backend, ClusterError
from cluster.settings import from_env
from cluster.tools import Distributed, NotJoined

T = TypeVar("T")
Agent = Callable[[], Distributed]


@pytest.fixture
def agent(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """Make agents; they leave in the end."""
    (world.folder / "config").mkdir()
    (world.folder / "config" / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(world.folder)
    made: list[Distributed] = []

    def make() -> Distributed:
        made.append(Distributed(functools.partial(from_env, world.env())))
        return made[-1]

    yield make
    for one in made:
        run(one.leave_cluster())
    structlog.reset_defaults()


def run(work: Awaitable[T]) -> T:
    async def waited() -> T:
        return await work

    return asyncio.run(waited())


def test_joining_twice_is_once_and_under_one_id(agent: Agent, backend: Backend) -> None:
    one = agent()
    state = run(one.join_cluster("n1"))
    assert (state.node_id, [node.node_id for node in state.nodes]) == ("n1", ["n1"])
    assert run(one.join_cluster("n1")).node_id == "n1"
    assert run(one.join_cluster()).node_id == "n1"
    with pytest.raises(ClusterError, match="has joined as n1"):
        run(one.join_cluster("n2"))
    run(one.leave_cluster())
    run(one.leave_cluster())
    assert backend.nodes() == []
    assert run(one.join_cluster("n2")).node_id == "n2"


def test_who_has_not_joined_looks_and_does_no_more(agent: Agent) -> None:
    one = agent()
    assert run(one.get_cluster_state()) == (None, None, [], None, False)
    for call in (lambda: one.sync_messages(["x"]), one.elect_leader):
        with pytest.raises(NotJoined, match="call join_cluster first"):
            run(call())


def test_one_of_two_leads_and_the_other_knows(agent: Agent) -> None:
    one, two = agent(), agent()
    run(one.join_cluster("n1"))
    assert run(one.elect_leader()).is_leader
    run(two.join_cluster("n2"))
    state = run(two.elect_leader())
    assert (state.leader_id, state.is_leader, len(state.nodes)) == ("n1", False, 2)
    run(one.leave_cluster())
    state = run(two.elect_leader())
    assert state.leader_id == "n2", "whoever led at the last look is not an answer"
    assert state.is_leader


def test_messages_of_two_agents_meet_in_one_order(agent: Agent) -> None:
    one, two = agent(), agent()
    run(one.join_cluster("n1"))
    run(two.join_cluster("n2"))
    many: list[Any] = [{"n": n} for n in range(250)]
    sent = run(one.sync_messages(many))
    assert (sent.sent, [message.body for message in sent.received], sent.gap) == (250, many, False)
    answered = run(two.sync_messages(["hello"]))
    assert [message.body for message in answered.received] == [*many, "hello"]
    assert [(message.sender, message.body) for message in run(one.sync_messages()).received] == [("n2", "hello")]
    assert run(one.sync_messages()).received == []
