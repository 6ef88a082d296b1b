"""Filters that read the inventory, and write files of settings."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SPECIAL = re.compile(r'(["\\$`])')  # what has a meaning between double quotes


class FilterModule:
    """What templates and tasks may use."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "fleet_claw_names": claw_names,
            "fleet_node_names": node_names,
            "fleet_settings": settings,
            "fleet_spine_urls": spine_urls,
            "fleet_unshared": unshared,
        }


def claw_names(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the claws on these hosts: `claw_name`, or the host's name in the inventory."""
    return [str(hostvars[host].get("claw_name", host)) for host in hosts]


def node_names(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the ids of nodes on these hosts whose store is the spine: there each needs a token of that name.

    That is `cluster_node_id`, the name of the claw there, or the host's name in the inventory.
    """
    kept = [host for host in hosts if not hostvars[host].get("cluster_redis_url")]
    return [str(hostvars[host].get("cluster_node_id") or claw_names([host], hostvars)[0]) for host in kept]


def spine_urls(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], first: str = "") -> str:
    """Return where the spines on these hosts are reached, by commas: `spine_url`, or the host's address and the port.

    Machines begin with different ones: with that on their own host `first` when there is one, else by its name.
    """
    urls = {
        host: str(hostvars[host].get("spine_url") or f"http://{hostvars[host].get('ansible_host', host)}:36725")
        for host in hosts
    }
    names = list(urls)
    start = names.index(first) if first in urls else sum(first.encode()) % max(1, len(names))
    return ",".join(urls[name] for name in names[start:] + names[:start])


def unshared(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which of these hosts do not share a store with the others: jobs or blobs there would be its own.

    Addresses may differ, such as in the order of the database's hosts; the database's name and the bucket may not.
    """

    def store(host: str) -> tuple[str, str]:
        found = hostvars[host]
        address = str(found.get("spine_database_url") or "")
        name = address.partition("?")[0].rpartition("/")[2]
        return name, str((found.get("spine_settings") or {}).get("SPINE_BLOB_URL") or "").rstrip("/")

    stores = {host: store(host) for host in hosts}
    shared = next((found for found in stores.values() if all(found)), None)
    return [host for host, found in stores.items() if found != shared]


def settings(values: Mapping[str, Any]) -> str:
    """Write settings as lines that systemd's EnvironmentFile= and a POSIX shell read alike.

    Raises:
        ValueError: a name that is none, or a value of several lines.
    """
    lines = []
    for name, value in sorted(values.items()):
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{name!r} is no name of a setting: capitals, digits and underscores")
        if any(not character.isprintable() for character in text):
            raise ValueError(f"{name}: a setting is one line of printable characters")
        quoted = _SPECIAL.sub(r"\\\1", text)
        lines.append(f'{name}="{quoted}"')
    return "\n".join(lines)
