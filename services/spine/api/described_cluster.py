"""The calls of the cluster, for the table of routes."""

from contract import errors, wire
from spine.api.calls import ALL, CURSOR, KEY, REPLAYED, WORKERS, Call, Route, number, query

_WAIT = query("wait", number(0, wire.CLUSTER_WAIT_MOST, 0), "Seconds to wait for the first one.")
_LIMIT = query("limit", number(1, wire.CLUSTER_PAGE_MOST, wire.CLUSTER_PAGE_MOST), "At most so many.")


def _verb(
    name: str,
    text: str,
    takes: type[wire.Request],
    gives: type[wire.Record],
    *special: type[errors.SpineError],
    made: bool = False,
) -> tuple[Call]:
    keyed, told = ((KEY,), (REPLAYED,)) if made else ((), ())
    return (Call("POST", name, WORKERS, text, {201 if made else 200: (gives,)}, takes, special, keyed, told),)


CLUSTER = (
    Route(
        "/cluster",
        "cluster",
        "",
        "heads, claws",
        (
            Call(
                "GET",
                "readCluster",
                ALL,
                "Who leads, and who is a member.",
                {200: (wire.ClusterState,)},
                params=(query("nodes", number(0, 1, 1), "0: without the nodes."),),
            ),
        ),
    ),
    Route(
        "/cluster/nodes/{node_id}/join",
        "cluster",
        "join",
        "heads, the claw whose node it is",
        _verb(
            "joinCluster",
            "Make a node a member that is online; another process under its id is replaced.",
            wire.JoinCluster,
            wire.ClusterState,
            errors.Forbidden,
        ),
    ),
    Route(
        "/cluster/nodes/{node_id}/beat",
        "cluster",
        "beat",
        "heads, the claw whose node it is",
        _verb(
            "beatCluster",
            "Say that a node is alive.",
            wire.BeatCluster,
            wire.ClusterState,
            errors.NotFound,
            errors.NotOwner,
            errors.Forbidden,
        ),
    ),
    Route(
        "/cluster/nodes/{node_id}/leave",
        "cluster",
        "leave",
        "heads, the claw whose node it is",
        _verb(
            "leaveCluster", "End a membership. Twice is once.", wire.LeaveCluster, wire.ClusterState, errors.Forbidden
        ),
    ),
    Route(
        "/cluster/nodes/{node_id}/messages",
        "cluster",
        "inbox",
        "heads, claws",
        (
            Call(
                "GET",
                "receiveCluster",
                ALL,
                "What a node has not acknowledged yet, oldest first.",
                {200: (wire.ClusterMessages,)},
                errors=(errors.NotFound, errors.RateLimited),
                params=(_LIMIT, _WAIT),
            ),
        ),
    ),
    Route(
        "/cluster/nodes/{node_id}/ack",
        "cluster",
        "ack",
        "heads, the claw whose node it is",
        _verb(
            "acknowledgeCluster",
            "Say that a node has dealt with all messages up to a cursor. An older one changes nothing.",
            wire.AckCluster,
            wire.ClusterState,
            errors.NotFound,
            errors.Forbidden,
        ),
    ),
    Route(
        "/cluster/sweep",
        "cluster",
        "sweep",
        "heads, claws",
        _verb(
            "sweepCluster",
            "Mark the nodes that are silent as offline. Only the leader may.",
            wire.SweepCluster,
            wire.ClusterSwept,
            errors.StaleFence,
        ),
    ),
    Route(
        "/cluster/events",
        "cluster",
        "events",
        "heads, claws",
        (
            Call(
                "GET",
                "readClusterEvents",
                ALL,
                "Events of the cluster after a cursor; without one, none and the cursor of now.",
                {200: (wire.ClusterEvents,)},
                errors=(errors.RateLimited,),
                params=(CURSOR, _LIMIT, _WAIT),
            ),
            *_verb(
                "emitClusterEvent",
                "Write an event.",
                wire.EmitCluster,
                wire.ClusterEvent,
                made=True,
            ),
        ),
    ),
    Route(
        "/cluster/messages",
        "cluster",
        "messages",
        "heads, claws",
        _verb(
            "sendCluster",
            "Broadcast messages to every node, all or none, in order.",
            wire.SendCluster,
            wire.ClusterSent,
            errors.Forbidden,
            made=True,
        ),
    ),
    Route(
        "/cluster/history",
        "cluster",
        "history",
        "heads, claws",
        (
            Call(
                "GET",
                "readClusterHistory",
                ALL,
                "Heartbeats, the newest first.",
                {200: (wire.ClusterHistory,)},
                params=(
                    query("node", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}, "Only of this."),
                    query("limit", number(1, wire.CLUSTER_HISTORY_MOST, 100), "At most so many."),
                ),
            ),
        ),
    ),
    Route(
        "/cluster/history/forget",
        "cluster",
        "forget",
        "heads, claws",
        _verb(
            "forgetClusterHistory",
            "Delete old heartbeats, and nodes that are gone for as long. Only the leader may.",
            wire.ForgetCluster,
            wire.ClusterForgotten,
            errors.StaleFence,
        ),
    ),
)
