"""Which coordinator a spine is to Skyclaw: what it is called, and who is said to have written its records."""

import hashlib
import socket
from typing import NamedTuple

from spine.dialect_settings import Dialect
from spine.settings import Settings


class Node(NamedTuple):
    """`id`: what this spine is called, another one for each. `writer`: who wrote what it shows.

    Spines that share a store show the same records, so all of them name the same writer: to whoever compares records
    of two coordinators they must be equal, not one newer than the other.
    """

    id: str
    writer: str


def node_of(settings: Settings, dialect: Dialect, store_id: str) -> Node:
    """Return what a spine is called; the same after each start."""
    store = f"node_{store_id}"
    if settings.database_url is None:
        own = dialect.node_id or store
        return Node(own, own)
    place = hashlib.sha256(f"{socket.gethostname()}:{settings.port}".encode()).hexdigest()[:8]
    return Node(dialect.node_id or f"{store}_{place}", store)
