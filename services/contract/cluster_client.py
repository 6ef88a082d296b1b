"""The cluster: the client of /cluster, for nodes and for whoever looks at them."""

import uuid
from typing import Any
from urllib.parse import quote

from contract import wire
from contract.answers import read as _read
from contract.lease_client import LeaseClient


class ClusterClient(LeaseClient):
    """Joins, beats, leaves; reads and writes the cluster's events and messages."""

    def cluster(self, nodes: bool = True) -> wire.ClusterState:
        """Return who leads, and who is a member, if that is asked for."""
        return self._get("/cluster", wire.ClusterState, params={} if nodes else {"nodes": 0})

    def join_cluster(self, node_id: str, fields: dict[str, Any]) -> wire.ClusterState:
        """Make a node a member; `fields` are the members of `wire.JoinCluster` in camelCase. Twice is once.

        Raises:
            InvalidField, Forbidden
        """
        return self._post(_node(node_id, "join"), fields, wire.ClusterState, keyed=False)

    def beat_cluster(self, node_id: str, instance: str, is_leader: bool, leader: str | None) -> wire.ClusterState:
        """Say that a node is alive.

        Raises:
            NotFound: it is to join. NotOwner: another process has joined under the id since.
        """
        body = {"instance": instance, "isLeader": is_leader, "leader": leader}
        return self._post(_node(node_id, "beat"), body, wire.ClusterState, keyed=False)

    def leave_cluster(self, node_id: str, instance: str) -> wire.ClusterState:
        """End a membership. Twice is once."""
        return self._post(_node(node_id, "leave"), {"instance": instance}, wire.ClusterState, keyed=False)

    def sweep_cluster(self, fence: int) -> wire.ClusterSwept:
        """Mark the silent nodes as offline, as the leader.

        Raises:
            StaleFence
        """
        return self._post("/cluster/sweep", {"fence": fence}, wire.ClusterSwept, keyed=False)

    def emit_cluster(self, kind: str, payload: dict[str, Any], fence: int | None = None) -> wire.ClusterEvent:
        """Write an event; with a fence under the leader's lease.

        Raises:
            StaleFence, InvalidField, TooLarge
        """
        under = {} if fence is None else {"X-Spine-Lease": f"{wire.CLUSTER_LEASE};{fence}"}
        body = {"type": kind, "payload": payload}
        return _read(
            self._call("POST", "/cluster/events", body=body, headers=under, key=uuid.uuid4().hex), wire.ClusterEvent
        )

    def cluster_events(self, cursor: str | None, limit: int = 100, wait: int = 0) -> wire.ClusterEvents:
        """Return events after a cursor, waiting for the first one up to `wait` seconds (25 at most)."""
        params = {"limit": limit, "wait": wait} | ({} if cursor is None else {"cursor": cursor})
        answer = self._call("GET", "/cluster/events", params=params, extra_seconds=wait)
        return _read(answer, wire.ClusterEvents)

    def send_cluster(self, sender: str, messages: list[Any]) -> wire.ClusterSent:
        """Broadcast up to 100 messages, all or none.

        Raises:
            InvalidField, TooLarge, Forbidden
        """
        return self._post("/cluster/messages", {"sender": sender, "messages": messages}, wire.ClusterSent)

    def receive_cluster(self, node_id: str, limit: int = 100, wait: int = 0) -> wire.ClusterMessages:
        """Return what a node has not acknowledged, waiting for the first one up to `wait` seconds (25 at most).

        Raises:
            NotFound: it never joined.
        """
        params = {"limit": limit, "wait": wait}
        answer = self._call("GET", _node(node_id, "messages"), params=params, extra_seconds=wait)
        return _read(answer, wire.ClusterMessages)

    def acknowledge_cluster(self, node_id: str, cursor: int) -> None:
        """Say that a node has dealt with all messages up to a cursor.

        Raises:
            NotFound, InvalidField
        """
        self._post(_node(node_id, "ack"), {"cursor": cursor}, wire.ClusterState, keyed=False)

    def cluster_history(self, limit: int = 100, node_id: str | None = None) -> wire.ClusterHistory:
        """Return heartbeats, the newest first."""
        params = {"limit": limit} | ({} if node_id is None else {"node": node_id})
        return self._get("/cluster/history", wire.ClusterHistory, params=params)

    def forget_cluster_history(self, fence: int, older_than_seconds: float) -> wire.ClusterForgotten:
        """Delete heartbeats that are older, up to 5,000 of them, as the leader.

        Raises:
            StaleFence
        """
        body = {"fence": fence, "olderThanSeconds": older_than_seconds}
        return self._post("/cluster/history/forget", body, wire.ClusterForgotten, keyed=False)


def _node(node_id: str, verb: str) -> str:
    return f"/cluster/nodes/{quote(node_id, safe='')}/{verb}"
