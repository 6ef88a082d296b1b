"""What tests of the cluster on Redis begin with: an emptied server, and backends to it."""

from collections.abc import Iterator

import pytest
from tests.support.redis_server import Connect, RedisServer

from cluster.redis_address import read_url
from cluster.redis_backend import RedisBackend


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """The session's server, without a key."""
    redis_server.empty()
    return redis_server


@pytest.fixture
def connect(server: RedisServer) -> Iterator[Connect]:
    """Make backends, of the server or of another URL; they are closed in the end."""
    made: list[RedisBackend] = []

    def make(url: str = server.url, call_seconds: float = 5.0) -> RedisBackend:
        made.append(RedisBackend(read_url(url), call_seconds))
        return made[-1]

    yield make
    for backend in made:
        backend.close()
