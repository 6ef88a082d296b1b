"""What a store of a cluster does, whichever it is: the one interface between a node and the spine or Redis.

Every call is synchronous, may be made from several threads at once and ends within a time-out of the backend's own.
Moments are ms on the store's clock. A call that a backend repeats after a lost answer has its effect once.
"""

from typing import Any, NamedTuple, Protocol

BEAT_SECONDS = 10.0
MISSES = 3
"""A node is offline when the store has not heard of it for so many intervals: the one definition there is."""
STREAM_MOST = 10_000
"""Events, and messages, that a store keeps; the oldest go first, and a reader that has not had them is told."""
BATCH_MOST = 100
"""Messages of one `send`, and at most so many of one `receive` or events of one `events`."""
MESSAGE_BYTES = 8 * 1024
"""The longest message, as JSON in UTF-8."""
WAIT_MOST_SECONDS = 25.0

NODE_JOINED = "cluster.node_joined"
NODE_LEFT = "cluster.node_left"
LEADER_ELECTED = "cluster.leader_elected"
SYNC_COMPLETE = "cluster.sync_complete"
"""The store writes the first three itself, in the step that they tell of; a node writes the last one. Payloads:

node_joined: `node_id`, `name`, `capabilities`, `endpoint`, `rejoined` (it had gone offline without leaving).
node_left: `node_id`, `reason` (`left` or `missed_heartbeats`), `last_seen_ms`.
leader_elected: `node_id`, `token`.
sync_complete: `node_id`, `sent`, `received` (how many), `cursor`.
"""
EVENT_TYPES = (NODE_JOINED, NODE_LEFT, LEADER_ELECTED, SYNC_COMPLETE)
OWN_TYPES = EVENT_TYPES[:3]
"""Nobody else can write these."""


class ClusterError(Exception):
    """The store did not do what was asked; the text is for people."""


class Away(ClusterError):
    """The store cannot be reached, or does not answer in time. What was asked may or may not have happened."""


class Refused(ClusterError):
    """The store does not take what was given, or does not let this node in; the text names the field and the fix."""


class StaleToken(ClusterError):
    """The grant is over or another's: its holder does not lead, and nothing was changed."""


class NotMember(ClusterError):
    """The store does not know the node, or has marked it offline: join (again)."""


class Replaced(ClusterError):
    """Another process has joined under this node id since: this one is to stop."""


class Holder(NamedTuple):
    """Who asks for leadership. `instance` tells two processes with one node id apart; no ':' in either."""

    node_id: str
    instance: str


class Grant(NamedTuple):
    """Leadership for a while. `token` is greater than that of every grant of another holder before.

    `started` is this machine's `contract.clock.since_boot()` in s, read BEFORE the request went out, so that the lease
    never ends in the store before `started + ttl_seconds` has come here.
    """

    holder: Holder
    token: int
    ttl_seconds: float
    started: float


FOR_EVER_SECONDS = 1e9
"""What remains of a lock without an end: an old node of clawster can hold one."""


class Leader(NamedTuple):
    """Who leads by the store's clock, and for how long unless the lease is renewed. An old node has the token 0."""

    node_id: str
    token: int
    remaining_seconds: float


class Node(NamedTuple):
    """What a node says of itself. `endpoint` is a text for other nodes; the cluster opens no connection to it."""

    node_id: str
    instance: str
    name: str = ""
    capabilities: tuple[str, ...] = ()
    endpoint: str = ""


class NodeState(NamedTuple):
    """A node as the store sees it now. `state` is online or offline; `joined_at` in ms."""

    node_id: str
    name: str
    state: str
    last_seen_ms: int
    age_seconds: float
    capabilities: tuple[str, ...]
    endpoint: str
    joined_at: int


class Beat(NamedTuple):
    """A heartbeat. `leader` is the node id that the node takes for the leader."""

    node_id: str
    instance: str
    is_leader: bool
    leader: str | None


class PastBeat(NamedTuple):
    """A heartbeat of the history."""

    at_ms: int
    node_id: str
    is_leader: bool
    leader: str | None


class Event(NamedTuple):
    """Something that happened to the cluster; the payloads stand in docs/reference/cluster.md."""

    cursor: str
    at_ms: int
    type: str
    payload: dict[str, Any]


class Events(NamedTuple):
    """A page of events. `cursor` is where the next one begins; `gap`: some in between are kept no more."""

    events: list[Event]
    cursor: str
    gap: bool


class Message(NamedTuple):
    """A message of the broadcast: any JSON value."""

    cursor: str
    at_ms: int
    sender: str
    body: Any


class Received(NamedTuple):
    """What a node has not acknowledged yet, oldest first.

    `cursor` is what to acknowledge; `gap`: the node fell behind the bound, and messages before these are kept no more.
    """

    messages: list[Message]
    cursor: str
    gap: bool


class Backend(Protocol):
    """A store. Every method may raise Away; those that take a node, an event or messages may raise Refused."""

    # --- leadership ------------------------------------------------------------------------------------------------

    def take(self, holder: Holder, ttl_seconds: float) -> Grant | None:
        """Take the free lease with a new token, and write cluster.leader_elected in the same step; None: it is held.

        Whoever takes what it holds itself renews it, with the token that it has.
        """

    def renew(self, grant: Grant) -> Grant | None:
        """Extend the lease by the grant's ttl from now; None when it is over or another's, for good."""

    def release(self, grant: Grant) -> None:
        """Give the lease up at once. One that is over or another's is left as it is."""

    def leader(self) -> Leader | None:
        """Return who leads; None when nobody does."""

    # --- membership ------------------------------------------------------------------------------------------------

    def join(self, node: Node, ttl_seconds: float) -> None:
        """Make a node a member that is online, and write cluster.node_joined if it was not.

        It is offline when no heartbeat has come for `ttl_seconds`. Another instance under the id is replaced. A node
        that is new reads messages from now on; one that was there before goes on at its cursor.
        """

    def beat(self, beat: Beat) -> None:
        """Note that a node is alive, and add it to the history.

        Raises:
            NotMember: it is not online now. Replaced: another instance is.
        """

    def leave(self, node_id: str, instance: str) -> None:
        """End a membership, and write cluster.node_left once. The cursor stays. An unknown or replaced one is nobody.

        The lease is not touched: a leader releases it first.
        """

    def nodes(self) -> list[NodeState]:
        """Return the members and those that went offline without leaving, by node id."""

    def sweep(self, grant: Grant) -> list[str]:
        """Mark the nodes whose time is over as offline, and write cluster.node_left once for each; return their ids.

        Raises:
            StaleToken
        """

    # --- events ----------------------------------------------------------------------------------------------------

    def emit(self, kind: str, payload: dict[str, Any], grant: Grant | None) -> str:
        """Write an event whose type begins with `cluster.`; return its cursor. With a grant only while it is valid.

        Raises:
            StaleToken
        """

    def events(self, cursor: str | None, limit: int, wait_seconds: float) -> Events:
        """Return events after a cursor, oldest first, waiting for the first of them; None begins at the end of now."""

    # --- messages --------------------------------------------------------------------------------------------------

    def send(self, sender: str, messages: list[Any]) -> list[str]:
        """Broadcast up to BATCH_MOST JSON values to every member, all or none, in order; return their cursors."""

    def receive(self, node_id: str, limit: int, wait_seconds: float) -> Received:
        """Return messages after the node's cursor (its own too), the same ones until they are acknowledged.

        Raises:
            NotMember: it never joined.
        """

    def acknowledge(self, node_id: str, cursor: str) -> None:
        """Move the node's cursor forward; an older one changes nothing.

        Raises:
            NotMember: it never joined.
        """

    # --- history ---------------------------------------------------------------------------------------------------

    def history(self, limit: int, node_id: str | None = None) -> list[PastBeat]:
        """Return heartbeats, the newest first."""

    def forget_history(self, grant: Grant, older_than_seconds: float) -> int:
        """Delete heartbeats that are older, and nodes not seen since that are no members; return how many heartbeats.

        Raises:
            StaleToken
        """

    def close(self) -> None:
        """Let go of connections. Calls that wait in other threads end with Away."""
