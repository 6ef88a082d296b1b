"""Figures of a server, read from its metrics."""

from tests.support.eventually import eventually
from tests.support.raw_http import Api


def figure(api: Api, name: str) -> float:
    """Return a figure, summed over its labels."""
    lines = api.get("/metrics").body.decode().splitlines()
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name]
    assert found, f"no {name} in the metrics"
    return sum(found)


def until_waiting(api: Api, count: int) -> None:
    """Wait until so many claims wait at the server; not as long as any test lets one wait, so that none has ended."""
    eventually(lambda: figure(api, "spine_waiting_claims") == count, 15, what=f"{count} waiting claims")
