"""The parts of a server put together: in which order they end."""

import asyncio
import threading
from pathlib import Path

import pytest

from spine.app import Server
from spine.settings import Settings
from spine.store import notices


def test_a_server_that_ends_waits_for_no_more_than_a_batch_of_old_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(Settings(principals={}, data_dir=tmp_path))
    begun, batches = threading.Event(), list[int]()

    def many(*_: object) -> int:
        batches.append(500)
        begun.set()
        return 500 if len(batches) < 50 else 0  # with what lies between them ten seconds

    monkeypatch.setattr(notices, "prune", many)
    server.keeper.every(0.05, server.sender.prune, "often")

    async def live() -> None:
        await server.process_startup({}, {})
        assert await asyncio.to_thread(begun.wait, 10)
        await server.process_shutdown({}, {})

    asyncio.run(live())
    assert 0 < len(batches) < 20
