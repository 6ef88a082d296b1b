"""What nodes tell each other: events in order, and messages of which none is lost. Real processes, on each store."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.integration.cluster.conftest import StartNode
from tests.support.cluster_world import CONFIG, World, await_leader
from tests.support.eventually import eventually
from tests.support.spine_process import REPO

from cluster.backend import Backend, Node

MESSAGES = 1000


def test_three_subscribers_get_all_of_a_thousand_messages_in_order(backend: Backend, start_node: StartNode) -> None:
    readers = [start_node(name, messages=True) for name in ("n1", "n2", "n3")]
    for sender in ("a", "b"):
        backend.join(Node(sender, "test"), 60)

    def send(sender: str) -> None:
        for begin in range(0, MESSAGES // 2, 50):
            backend.send(sender, [{"text": "größer", "number": n} for n in range(begin, begin + 50)])

    with ThreadPoolExecutor(2) as pool:
        sending = [pool.submit(send, sender) for sender in ("a", "b")]
        readers[0].kill9()
        readers[0].start()
        for one in sending:
            one.result()
    wanted = list(range(MESSAGES // 2))
    for reader in readers:
        eventually(lambda reader=reader: len({m["cursor"] for m in reader.messages()}) == MESSAGES, 30)
        seen = list({m["cursor"]: m for m in reader.messages()}.values())
        for sender in ("a", "b"):
            assert [m["body"]["number"] for m in seen if m["sender"] == sender] == wanted
        assert {m["body"]["text"] for m in seen} == {"größer"}
    for reader in readers[1:]:
        assert len(reader.messages()) == MESSAGES, "who was not killed got each once"


def test_a_node_that_is_cut_off_has_left_and_comes_back(world: World, backend: Backend, start_node: StartNode) -> None:
    cursor = backend.events(None, 1, 0).cursor
    start_node("n1")
    await_leader(backend)
    with world.proxy() as proxy:
        node = start_node("n2", proxy=proxy)
        with proxy.away():
            eventually(lambda: ("cluster.node_left", "n2") in told(backend, cursor), 15)
            assert [n.state for n in backend.nodes() if n.node_id == "n2"] == ["offline"]
        eventually(lambda: told(backend, cursor).count(("cluster.node_joined", "n2")) == 2, 15)
        back = ("events.back", "election.back")
        eventually(lambda: all(word in node.log() for word in back), what="the word that it is back")
        assert [node.log().count(word) for word in ("events.away", "election.away", *back)] == [1] * 4
    page = backend.events(cursor, 100, 0)
    of_n2 = [(event.type, event.payload) for event in page.events if event.payload["node_id"] == "n2"]
    assert [kind for kind, _ in of_n2] == ["cluster.node_joined", "cluster.node_left", "cluster.node_joined"]
    assert [payload.get("rejoined") for _, payload in of_n2] == [False, None, True]
    assert of_n2[1][1]["reason"] == "missed_heartbeats"
    assert [n.state for n in backend.nodes()] == ["online", "online"]


def told(backend: Backend, cursor: str) -> list[tuple[str, str]]:
    return [(event.type, event.payload["node_id"]) for event in backend.events(cursor, 100, 0).events]


def test_every_node_hears_of_the_others_in_the_same_order(backend: Backend, start_node: StartNode) -> None:
    first, second = start_node("n1"), start_node("n2")
    leader = await_leader(backend)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    eventually(lambda: "cluster.node_left node_id='n2' reason='left'" in first.log())
    heard = [line.split(" INFO ")[1].split(" name=")[0] for line in first.log().splitlines() if " cluster." in line]
    assert heard[:2] == [
        "cluster.node_joined node_id='n1'",
        f"cluster.leader_elected node_id='n1' token={leader.token}",
    ]
    assert heard[2] == "cluster.node_joined node_id='n2'"


EXAMPLE = """
import asyncio, json
from cluster.tools import distributed


class config:
    node_id = "agent-1"


async def handle_message(msg):
    # Sync to cluster
    await distributed.sync_messages([msg])
    # Check if this node is leader
    state = await distributed.get_cluster_state()
    return state.leader_id == config.node_id


async def main():
    await distributed.join_cluster(config.node_id)
    elected = await distributed.elect_leader()
    leads = await handle_message({"text": "hello"})
    more = await distributed.sync_messages()
    await distributed.leave_cluster()
    left = await distributed.get_cluster_state()
    print(json.dumps([elected.leader_id, leads, len(more.received), left.leader_id, len(left.nodes)]))


asyncio.run(main())
"""


def test_the_usage_example_of_the_skill_runs(world: World, backend: Backend) -> None:
    folder = world.folder / "agent"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.json").write_text(json.dumps(CONFIG))
    cursor = backend.events(None, 1, 0).cursor
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services"), **world.env()},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["agent-1", True, 0, None, 0]
    assert [kind for kind, _ in told(backend, cursor)] == [
        "cluster.node_joined",
        "cluster.leader_elected",
        "cluster.sync_complete",
        "cluster.node_left",
    ]
    synced = backend.events(cursor, 100, 0).events[2].payload
    assert (synced["node_id"], synced["sent"], synced["received"]) == ("agent-1", 1, 1)
