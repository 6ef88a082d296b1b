"""What a spine is called among Skyclaw's coordinators: its own name where several share a store, one writer for all."""

from pathlib import Path

import msgspec
import pytest

from contract.env import Secret
from spine.dialect_settings import Dialect
from spine.facades.nodes import Node, node_of
from spine.settings import Settings

ALONE = Settings(principals={}, data_dir=Path("/data"), port=1)
SHARING = msgspec.structs.replace(ALONE, database_url=Secret("postgresql://db/spine"))
UNNAMED = Dialect(tokens={}, lease_ms=1, timeout_ms=1, host="", port=0)
NAMED = msgspec.structs.replace(UNNAMED, node_id="node-1")


def test_one_alone_is_called_as_it_is_told_or_by_its_store() -> None:
    assert node_of(ALONE, NAMED, "abc") == Node("node-1", "node-1")
    assert node_of(ALONE, UNNAMED, "abc") == Node("node_abc", "node_abc")


def test_those_that_share_a_store_name_one_writer_and_each_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "one")
    assert node_of(SHARING, NAMED, "abc") == Node("node-1", "node_abc")
    first = node_of(SHARING, UNNAMED, "abc")
    assert first == node_of(SHARING, UNNAMED, "abc")
    other_port = node_of(msgspec.structs.replace(SHARING, port=2), UNNAMED, "abc")
    monkeypatch.setattr("socket.gethostname", lambda: "two")
    other_host = node_of(SHARING, UNNAMED, "abc")
    assert len({first.id, other_port.id, other_host.id}) == 3
    assert {first.writer, other_port.writer, other_host.writer} == {"node_abc"}
    assert first.id.startswith("node_abc_")
