"""The cluster: the bodies and answers of /cluster."""

from typing import Annotated, Any

from msgspec import Meta, field

from contract.wire.records import Record
from contract.wire.requests import Capability, Fence, Request

CLUSTER_LEASE = "cluster-leader"
"""The named lease whose holder, `<node id>:<instance>`, leads the cluster."""
CLUSTER_PAGE_MOST = 100
CLUSTER_STREAM_MOST = 10_000
CLUSTER_WAIT_MOST = 25
CLUSTER_MESSAGE_MOST = 8 * 1024
CLUSTER_HISTORY_MOST = 1000

NodeId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Instance = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+\Z")]
_Seconds = Annotated[float, Meta(ge=0.1, le=86_400)]


class JoinCluster(Request):
    """Body of POST /cluster/nodes/:id/join. `ttlSeconds`: offline when no heartbeat came for so long."""

    instance: Instance
    name: Annotated[str, Meta(max_length=200)] = ""
    capabilities: Annotated[list[Capability], Meta(max_length=64)] = field(default_factory=list)
    endpoint: Annotated[str, Meta(max_length=500)] = ""
    ttl_seconds: _Seconds = 30.0


class BeatCluster(Request):
    """Body of POST /cluster/nodes/:id/beat. `leader`: the node that it takes for the leader."""

    instance: Instance
    is_leader: bool = False
    leader: NodeId | None = None


class LeaveCluster(Request):
    """Body of POST /cluster/nodes/:id/leave."""

    instance: Instance


class AckCluster(Request):
    """Body of POST /cluster/nodes/:id/ack: the `cursor` of the messages that were dealt with."""

    cursor: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class SweepCluster(Request):
    """Body of POST /cluster/sweep. `fence`: the leader's."""

    fence: Fence


class EmitCluster(Request):
    """Body of POST /cluster/events."""

    type: Annotated[str, Meta(min_length=9, max_length=64, pattern=r"^cluster\.[a-z0-9_]+\Z")]
    payload: dict[str, Any] = field(default_factory=dict)


class SendCluster(Request):
    """Body of POST /cluster/messages: JSON values for every node, all or none."""

    sender: NodeId
    messages: Annotated[list[Any], Meta(min_length=1, max_length=CLUSTER_PAGE_MOST)]


class ForgetCluster(Request):
    """Body of POST /cluster/history/forget. `fence`: the leader's."""

    fence: Fence
    older_than_seconds: Annotated[float, Meta(ge=0, le=315_360_000)]


class ClusterNode(Record):
    """A node as the store sees it now: `state` is online or offline."""

    node_id: str
    name: str
    state: str
    last_seen_ms: int
    age_seconds: float
    capabilities: list[str]
    endpoint: str
    joined_at_ms: int


class ClusterLeader(Record):
    """Who leads, by which token, and for how long unless it renews."""

    node_id: str
    token: int
    remaining_seconds: float


class ClusterState(Record):
    """Answer of GET /cluster; of what changes a member with this one alone."""

    leader: ClusterLeader | None
    nodes: list[ClusterNode]


class ClusterSwept(Record):
    """Answer of POST /cluster/sweep: the nodes that are offline from now on."""

    node_ids: list[str]


class ClusterEvent(Record):
    """Something that happened to the cluster."""

    cursor: str
    at_ms: int
    type: str
    payload: Any


class ClusterEvents(Record):
    """Answer of GET /cluster/events. `gap`: events after the cursor are kept no more."""

    events: list[ClusterEvent]
    cursor: str
    gap: bool


class ClusterMessage(Record):
    """A message of the broadcast."""

    cursor: int
    at_ms: int
    sender: str
    body: Any


class ClusterMessages(Record):
    """Answer of GET /cluster/nodes/:id/messages. `gap`: messages before these are kept no more."""

    messages: list[ClusterMessage]
    cursor: int
    gap: bool


class ClusterSent(Record):
    """Answer of POST /cluster/messages, in the order in which they were given."""

    cursors: list[int]


class ClusterBeat(Record):
    """A heartbeat of the history."""

    at_ms: int
    node_id: str
    is_leader: bool
    leader: str | None


class ClusterHistory(Record):
    """Answer of GET /cluster/history, the newest first."""

    beats: list[ClusterBeat]


class ClusterForgotten(Record):
    """Answer of POST /cluster/history/forget: how many heartbeats went."""

    beats: int
