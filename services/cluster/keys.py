"""Every key that the cluster has in Redis, what kind it is, and whose: clawster's, spoken with its nodes, or our own.

The Lua files know the keys by the names in the first column. `hb:<node id>` (a string) is clawster's too.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A key: its name in Lua, in Redis, and the type that it has there."""

    lua: str
    name: str
    kind: str


OURS = "openclaw:cluster:spine:"
"""What begins so is written and read by us alone: clawster has one key as a list in one place, a stream in another."""

KEYS = (
    Key("LOCK", "openclaw:cluster:leader_lock", "string"),  # <node id>:<ms>
    Key("ELECTIONS", "openclaw:cluster:leader_history", "list"),
    Key("NODES", "openclaw:cluster:nodes", "hash"),  # for clawster's readers, and what its nodes say of themselves
    Key("LEASE", OURS + "lease", "hash"),  # whose the lock is, if it has this value
    Key("TOKEN", OURS + "token", "string"),  # the greatest that was given
    Key("MEMBERS", OURS + "members", "hash"),
    Key("EVENTS", OURS + "events", "stream"),
    Key("MESSAGES", OURS + "messages", "stream"),
    Key("CURSORS", OURS + "cursors", "hash"),  # by node id
    Key("BEATS", OURS + "beats", "zset"),  # the history of heartbeats, by ms and its thousandths
)
HEARTBEAT = "hb:"
DONE = OURS + "done:"
"""What a call answered, for a minute: one that is repeated after a lost answer is not done twice."""
ELECTIONS_MOST = 100
BEATS_MOST = 100_000
"""About 15 MB; the oldest go first, also before their time."""
