"""Named leases: the client of /leases, for whoever must be the only one of something."""

from typing import Any
from urllib.parse import quote

from contract import wire
from contract.client import SpineClient


class LeaseClient(SpineClient):
    """Takes, renews, gives up and reads named leases. What is done under one carries its name and fence (`lease`)."""

    def take_lease(self, name: str, holder: str, ttl_seconds: float, data: Any = None) -> wire.NamedLease:
        """Take a free lease, or renew the one that this holder has; without `data` what is kept with it stays.

        Raises:
            LeaseHeld: with `holder` and `until`.
        """
        return self._post(_path(name, "take"), _asked(data, holder=holder, ttlSeconds=ttl_seconds), _LEASE, keyed=False)

    def renew_lease(self, name: str, fence: int, ttl_seconds: float, data: Any = None) -> wire.NamedLease:
        """Extend a lease from now on; without `data` what is kept with it stays.

        Raises:
            StaleFence: it is over, or another's. NotFound: nobody ever took it.
        """
        return self._post(_path(name, "renew"), _asked(data, fence=fence, ttlSeconds=ttl_seconds), _LEASE, keyed=False)

    def release_lease(self, name: str, fence: int) -> wire.NamedLease:
        """Give a lease up: it is free at once.

        Raises:
            StaleFence, NotFound
        """
        return self._post(_path(name, "release"), {"fence": fence}, _LEASE, keyed=False)

    def lease(self, name: str) -> wire.NamedLease:
        """Return a lease; `holder` is None when it is free.

        Raises:
            NotFound: nobody ever took it.
        """
        return self._get(f"/leases/{quote(name, safe='')}", _LEASE)


_LEASE = wire.NamedLease


def _asked(data: Any, **body: Any) -> dict[str, Any]:
    return body if data is None else body | {"data": data}


def _path(name: str, verb: str) -> str:
    return f"/leases/{quote(name, safe='')}/{verb}"
