"""From settings to a store: the spine, or Redis, whose package is imported only then."""

from cluster.backend import Backend, Refused
from cluster.node import ClusterNode
from cluster.redis_address import RedisAddress
from cluster.settings import Settings
from cluster.spine_backend import SpineBackend


def open_store(settings: Settings) -> Backend:
    """Return the store that the settings name. Nothing is connected yet.

    Raises:
        Refused: it is Redis, and the extra is not installed.
    """
    store, seconds = settings.store, settings.rhythm.call_seconds
    if not isinstance(store, RedisAddress):
        return SpineBackend(store.urls, store.token, seconds, store.newer_token)
    try:
        from cluster.redis_backend import RedisBackend  # an extra brings what it needs
    except ModuleNotFoundError as e:
        raise Refused("the store is Redis, which needs the extra: pip install 'spinal-cord[cluster]'") from e
    return RedisBackend(store, seconds)


def shown(settings: Settings) -> str:
    """Return where the store is, without a login."""
    store = settings.store
    return store.shown if isinstance(store, RedisAddress) else ", ".join(store.urls)


def make_node(settings: Settings, backend: Backend, **more: object) -> ClusterNode:
    """Return the node that the settings describe, not begun. `more`: what it calls (see `ClusterNode`)."""
    return ClusterNode(
        backend,
        settings.node_id,
        name=settings.name,
        capabilities=settings.capabilities,
        endpoint=settings.endpoint,
        lease_seconds=settings.lease_seconds,
        rhythm=settings.rhythm,
        **more,  # type: ignore[arg-type]
    )
