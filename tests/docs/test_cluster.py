"""docs/reference/cluster.md says what the code of the cluster says."""

import inspect
import re

from tests.docs.pages import reference, section, table

from cluster import backend, election, node, settings
from cluster.tools import ClusterState, Distributed, Sync

PAGE = reference("cluster.md")


def test_the_times_of_nodes_and_leases_are_those_of_the_code() -> None:
    terms = section(PAGE, "Terms")
    assert f"sends a heartbeat every {backend.BEAT_SECONDS:g} s" in terms
    assert (backend.MISSES, election._RENEWALS) == (3, 3)
    assert f"three heartbeats ({backend.MISSES * backend.BEAT_SECONDS:g} s)" in terms
    assert f"{election.LEASE_SECONDS:g} s from the last renewal. It is renewed three times" in terms
    window = section(PAGE, "The lease and the trust window")
    assert f"stops at {election._SAFE:.0%} of the lease".replace("%", " %") in window
    assert f"{election._SAFE * election.LEASE_SECONDS:g} s" in window
    assert node.HISTORY_SECONDS == 7 * 86_400
    assert "deletes heartbeats and long-gone nodes after seven days" in section(PAGE, "What only the leader does")


def test_the_bounds_of_events_and_messages_are_those_of_the_code() -> None:
    assert f"The newest {backend.STREAM_MOST:,} are kept" in section(PAGE, "Events")
    messages = section(PAGE, "Messages")
    assert f"The newest {backend.STREAM_MOST:,} are kept" in messages
    assert f"at most {backend.MESSAGE_BYTES // 1024} KiB; {backend.BATCH_MOST} are taken at once" in messages


def test_every_event_is_there() -> None:
    kinds = (backend.LEADER_ELECTED, backend.NODE_JOINED, backend.NODE_LEFT, backend.SYNC_COMPLETE)
    assert {row["event"] for row in table(PAGE, "Events")} == set(kinds)
    assert f"`{node.ELECTION_WANTED}`" in section(PAGE, "Events")


def test_every_tool_is_there_with_what_it_takes_and_gives() -> None:
    rows = {row["tool"]: row["gives"] for row in table(PAGE, "From an agent")}
    public = {
        name: [argument for argument in inspect.signature(tool).parameters if argument != "self"]
        for name, tool in inspect.getmembers(Distributed, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert set(rows) == {f"{name}({', '.join(arguments)})" for name, arguments in public.items()}
    assert set(ClusterState._fields) <= set(re.findall(r"`(\w+)`", rows["get_cluster_state()"]))
    assert set(Sync._fields) <= set(re.findall(r"`(\w+)`", rows["sync_messages(messages)"]))


def test_the_defaults_of_the_settings_are_those_of_the_code() -> None:
    rows = {row["member"]: row["default"] for row in table(PAGE, "Settings")}
    assert rows["node.heartbeat_interval"] == f"{backend.BEAT_SECONDS:g} s"
    assert rows["`election.lock_ttl` (or `node.leader_ttl`)"] == f"{election.LEASE_SECONDS:g} s"
    assert rows["`logging.level`, `logging.max_bytes`, `logging.backup_count`"] == (
        f"`INFO`, {settings.LOG_BYTES}, {settings.LOG_FILES}"
    )
