"""The tools that an agent is given, as one asynchronous object: `from cluster.tools import distributed`.

    await distributed.join_cluster("node-1")
    await distributed.sync_messages([message])
    state = await distributed.get_cluster_state()
    if state.leader_id == "node-1": ...

Where it is and whose node it is say the settings (environment, files, defaults). A joined node beats and stands for
election in threads of this process until it leaves. No call blocks the event loop.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import structlog

from cluster import log
from cluster.backend import Backend, ClusterError, Message, NodeState
from cluster.node import ClusterNode
from cluster.settings import Settings, from_env
from cluster.stores import make_node, open_store
from contract.clock import since_boot

T = TypeVar("T")
_ELECT_SECONDS = 2.0
"""Beyond a lease: within both there is a leader."""


class NotJoined(ClusterError):
    """This process has not joined a cluster: call join_cluster first."""


class ClusterState(NamedTuple):
    """The cluster as its store sees it. `leader_id` None: nobody leads now. `node_id`: the one that this process is."""

    leader_id: str | None
    token: int | None
    nodes: list[NodeState]
    node_id: str | None
    is_leader: bool


class Sync(NamedTuple):
    """What a sync came to. `received` has the node's own messages too; `gap`: some before these are kept no more."""

    sent: int
    received: list[Message]
    gap: bool


class Distributed:
    """The five tools.

    Args:
        settings: read from the environment when they are first needed.
    """

    def __init__(self, settings: Callable[..., Settings] = from_env) -> None:
        self._settings = settings
        self._node: ClusterNode | None = None
        self._lock = threading.Lock()

    async def join_cluster(self, node_id: str | None = None) -> ClusterState:
        """Join as a node; without an id as the one of the settings. Twice under one id is once.

        Raises:
            SettingsError, Refused, ClusterError: it has joined under another id.
        """
        return await asyncio.to_thread(self._join, node_id)

    async def leave_cluster(self) -> None:
        """Leave; a leader hands over at once. Twice is once."""
        await asyncio.to_thread(self._leave)

    async def get_cluster_state(self) -> ClusterState:
        """Return who leads and who is there. Needs no membership.

        Raises:
            SettingsError, Away
        """
        return await asyncio.to_thread(self._look)

    async def elect_leader(self) -> ClusterState:
        """See that somebody leads: stand for election now, and wait for whoever wins.

        Raises:
            NotJoined, Away
        """
        return await asyncio.to_thread(self._elect)

    async def sync_messages(self, messages: Iterable[Any] = ()) -> Sync:
        """Send JSON values to every node, and return what has come since the last sync, oldest first.

        Raises:
            NotJoined, Away, Refused
        """
        return await asyncio.to_thread(self._sync, list(messages))

    # --- in a thread -----------------------------------------------------------------------------------------------

    def _join(self, node_id: str | None) -> ClusterState:
        with self._lock:
            node = self._node
            if node is not None and not node.stopping.is_set():
                if node_id not in (None, node.node_id):
                    raise ClusterError(f"this process has joined as {node.node_id}; leave before you join as {node_id}")
            else:
                if not structlog.is_configured():  # else it would print what it logs
                    log.use_logging()
                settings = self._settings(node_id=node_id)
                backend = open_store(settings)
                node = make_node(settings, backend)
                try:
                    node.start()
                except ClusterError:
                    backend.close()
                    raise
                self._node = node
        return _state(node.backend, node)

    def _leave(self) -> None:
        with self._lock:
            node, self._node = self._node, None
        if node is not None:
            node.stop()

    def _look(self) -> ClusterState:
        node = self._node
        if node is not None and not node.stopping.is_set():
            return _state(node.backend, node)
        backend = open_store(self._settings())
        try:
            return _state(backend, None)
        finally:
            backend.close()

    def _elect(self) -> ClusterState:
        node = self._joined()
        until = since_boot() + node.lease_seconds + _ELECT_SECONDS
        while True:
            node.election.seek()
            node.election.elected.wait(max(0.0, until - since_boot()))
            state = _state(node.backend, node)
            if state.leader_id is not None or since_boot() >= until:
                return state

    def _sync(self, messages: list[Any]) -> Sync:
        done = self._joined().sync(messages)
        return Sync(len(done.sent), done.received, done.gap)

    def _joined(self) -> ClusterNode:
        node = self._node
        if node is None or node.stopping.is_set():
            raise NotJoined("this process has not joined a cluster: call join_cluster first")
        return node


def _state(backend: Backend, node: ClusterNode | None) -> ClusterState:
    leader = backend.leader()
    return ClusterState(
        leader_id=None if leader is None else leader.node_id,
        token=None if leader is None else leader.token,
        nodes=backend.nodes(),
        node_id=None if node is None else node.node_id,
        is_leader=node is not None and node.is_leader(),
    )


distributed = Distributed()
sync_messages = distributed.sync_messages
get_cluster_state = distributed.get_cluster_state
elect_leader = distributed.elect_leader
join_cluster = distributed.join_cluster
leave_cluster = distributed.leave_cluster
