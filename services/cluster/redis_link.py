"""The line to Redis: its connections, what is called again after one was lost, and its errors in the cluster's words.

Calls and waits have clients of their own: whoever waits must not be cut off by the time-out that bounds a call.
"""

import os
import re
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any, NoReturn, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from cluster.backend import STREAM_MOST, Away, ClusterError, NotMember, Refused, Replaced, StaleToken
from cluster.keys import BEATS_MOST, DONE, ELECTIONS_MOST, HEARTBEAT, KEYS
from cluster.redis_address import RedisAddress

CALL_SECONDS = 5.0
CONNECT_SECONDS = 2.0
"""At most, and half of what a call may take; what Sentinels may take together to name the primary is the same."""
SLICE_SECONDS = 1.0
"""A wait is cut into pieces, after each of which it is seen whether the link is closed or the server another one."""
TRIES = 3
"""Connections that were lost while nobody looked are found one by one."""
_DONE_MS = 60_000
_KEEPS_ALL = "noeviction"
_NAMES = tuple(key.name for key in KEYS)
_OURS = {
    "STALETOKEN": (StaleToken, "this grant is over: another node leads, or nobody"),
    "NOTMEMBER": (NotMember, "the store has no such member: join"),
    "REPLACED": (Replaced, "another process has joined under this node id"),
}
_SEVERAL = (
    redis.exceptions.ClusterCrossSlotError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.AskError,  # and MovedError
)
_IN_SCRIPT = re.compile(r"\.? script: [0-9a-f]{40}, on @\w+:\d+\.?$")
"""Where a script of ours was when it failed: of no use to whoever reads of it."""
_LATER = re.compile(r"\b(READONLY|LOADING|MASTERDOWN|NOREPLICAS|MISCONF|OOM|BUSY)\b")
"""What a server says that cannot write now. Before Redis 7 such a word stands inside the text of a script's error."""

# The first two are ConnectionErrors too, which no repetition helps.
_UNWELCOME = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)

T = TypeVar("T")


class RedisLink:
    """Connections to one Redis, or to whichever its Sentinels call the primary. Safe for several threads.

    Raises:
        Refused: a certificate or key that the address names cannot be read.
    """

    def __init__(self, address: RedisAddress, call_seconds: float = CALL_SECONDS) -> None:
        for option, path in address.paths.items():
            # redis would say so at each call, as of a server that is not there.
            if not os.access(path, os.R_OK):
                raise Refused(f"{option}: {path} is not there, or may not be read")
        self._shown = address.shown
        self._calls = _client(address, call_seconds)
        self._waits = _client(address, call_seconds, SLICE_SECONDS)
        self._scripts: dict[str, Any] = {}
        self._closed = threading.Event()

    def run(self, name: str, *arguments: str | int) -> Any:
        """Run a script of `lua/`: one step of the server's, or nothing.

        Raises:
            Away, Refused, StaleToken, NotMember, Replaced
        """
        if name not in self._scripts:
            self._scripts[name] = self._calls.register_script(script(name))
        call = self._scripts[name]
        return self._attempt(lambda: call(_NAMES, arguments))

    def await_entry(self, stream: str, cursor: str, seconds: float) -> None:
        """Wait until a stream has an entry after a cursor, for at most so long (a slice): whether it has is asked anew.

        Raises:
            Away, Refused
        """
        ms = max(1, int(min(seconds, SLICE_SECONDS) * 1000))
        self._attempt(lambda: self._waits.xread({stream: cursor}, count=1, block=ms))

    def read(self, key: str, begin: int, end: int) -> list[tuple[str, float]]:
        """Return members of a sorted set with their scores, the greatest first, from a place to another.

        Raises:
            Away, Refused
        """
        found: list[tuple[str, float]] = self._attempt(lambda: self._calls.zrevrange(key, begin, end, withscores=True))
        return found

    def eviction(self) -> str | None:
        """Return the policy by which the server may drop keys to make room; None: it drops none, or does not tell."""
        try:
            found = self._attempt(lambda: self._calls.info("memory"))
        except ClusterError:
            return None
        policy = str(found.get("maxmemory_policy", _KEEPS_ALL))
        return policy if found.get("maxmemory") and policy != _KEEPS_ALL else None

    def close(self) -> None:
        """Let go of all connections; who waits ends with Away, within a slice, and lets go of its own."""
        self._closed.set()
        self._hang_up()

    def _hang_up(self) -> None:
        # Not of those in use: another thread reads from them.
        for client in (self._calls, self._waits):
            client.connection_pool.disconnect(inuse_connections=False)

    def _attempt(self, call: Callable[[], T]) -> T:
        for left in reversed(range(TRIES)):
            if self._closed.is_set():
                raise Away("the connection to Redis is closed")
            try:
                return call()
            except redis.RedisError as e:
                self._judge(e, left)
            finally:
                if self._closed.is_set():
                    self._hang_up()
        raise AssertionError("the last try raises")

    def _judge(self, e: redis.RedisError, left: int) -> None:
        """Raise what an error means, unless the call may be tried again at once.

        Raises:
            Away, Refused, StaleToken, NotMember, Replaced
        """
        word, _, rest = str(e).partition(" ")
        told = _IN_SCRIPT.sub("", str(e)).rstrip(".")
        said = f"{getattr(e, 'status_code', None) or ''} {e}"  # redis takes the words that it knows off the text
        # Who has no password does not get as far as to be told so: a script has too many words for a stranger.
        if "unauthenticated" in said:
            told = "it asks for a password"
        if isinstance(e, _UNWELCOME) or "unauthenticated" in said or "user executing the script can't" in said:
            raise Refused(f"Redis at {self._shown} does not let us in: {told}; see user, password and ACL") from e
        if isinstance(e, MasterNotFoundError):
            # All were asked. The rest of redis's text is how each of its clients was made.
            why = ", ".join(sorted(set(re.findall(r"- \w+:(\w+)", str(e))))) or "they do not know it, or it is down"
            raise Away(f"no Sentinel at {self._shown} names the primary: {why}") from e
        if isinstance(e, redis.ConnectionError | redis.exceptions.NoScriptError) and left:
            return
        if isinstance(e, redis.ConnectionError | redis.TimeoutError):
            raise Away(f"Redis at {self._shown} cannot be reached: {e}") from e
        if word in _OURS:
            kind, means = _OURS[word]
            raise kind(means) from e
        if word == "WRONGKEY":
            _wrong_key(*rest.split(" "))
        if _LATER.search(said):
            # Another server may be the primary by now.
            self._hang_up()
            raise Away(f"Redis at {self._shown} takes nothing now: {told}") from e
        if isinstance(e, _SEVERAL):
            fix = "where a script cannot reach all keys: name a single server, or Sentinels"
            raise Refused(f"Redis at {self._shown} is a Redis Cluster, {fix}") from e
        raise Refused(f"Redis at {self._shown} refuses: {told}") from e


def _wrong_key(key: str, found: str, wanted: str) -> NoReturn:
    raise Refused(
        f"the key {key} holds a {found} where a {wanted} belongs: another program writes it. End that program, then set"
        f" the key aside: `redis-cli RENAME {key} {key}:old`"
    )


def script(name: str) -> str:
    """Return a script as the server gets it: the names of the keys, what all scripts share, and its own part."""
    kinds = ", ".join(f"'{key.kind}'" for key in KEYS)
    head = (
        f"local {', '.join(key.lua for key in KEYS)} = unpack(KEYS)\nlocal KINDS = {{{kinds}}}\n"
        f"local HEARTBEAT, DONE, DONE_MS = '{HEARTBEAT}', '{DONE}', {_DONE_MS}\n"
        f"local STREAM_MOST, ELECTIONS_MOST, BEATS_MOST = {STREAM_MOST}, {ELECTIONS_MOST}, {BEATS_MOST}\n"
    )
    return head + _lua("common") + _lua(name)


def _lua(name: str) -> str:
    return (resources.files("cluster") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def _client(address: RedisAddress, call_seconds: float, wait_seconds: float = 0.0) -> Any:
    """Make a client whose answers come within so many seconds, or after a wait, and which repeats nothing by itself."""
    connect_seconds = min(CONNECT_SECONDS, call_seconds / 2)
    common: dict[str, Any] = {
        # RESP2: what older servers speak too. Old nodes have left texts that were cut within a character.
        "protocol": 2, "decode_responses": True, "encoding_errors": "replace",
        "socket_timeout": wait_seconds + call_seconds, "socket_connect_timeout": connect_seconds,
        "socket_keepalive": True, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip
    tls: dict[str, Any] = {"ssl": True, **address.paths} if address.tls else {}
    login: dict[str, Any] = {"username": address.username, "password": address.password, "db": address.db}
    if address.service is None:
        host, port = address.hosts[0]
        return redis.Redis(host=host, port=port, **login, **tls, **common)
    each = connect_seconds / len(address.hosts)
    asking = {
        **common, **tls, "username": address.sentinel_username, "password": address.sentinel_password,
        "socket_timeout": each, "socket_connect_timeout": each,
    }  # fmt: skip
    sentinels = Sentinel(list(address.hosts), sentinel_kwargs=asking)
    return sentinels.master_for(address.service, **login, **tls, **common)
