"""What the front asks the spine for, in which words."""

import asyncio
from types import SimpleNamespace
from typing import Any

from chat.spine import Spine

NOON = 1_800_000_000_000  # 2027-01-15T08:00:00Z


def ask(*created: str) -> tuple[bool, list[dict[str, Any]]]:
    """Ask whether a job was created within 30 s of a spine that has these; return its word and what it was asked."""
    asked: list[dict[str, Any]] = []

    def jobs(**query: Any) -> SimpleNamespace:
        asked.append(query)
        return SimpleNamespace(jobs=[SimpleNamespace(created_at=at) for at in created])

    spine = Spine(["http://127.0.0.1:1"], "a-token", lambda _: None, lambda _: None)
    spine.client = SimpleNamespace(jobs=jobs, time=SimpleNamespace(now=lambda: NOON))  # type: ignore[assignment]
    return asyncio.run(spine.started_within("discord:1", 30)), asked


def test_a_pause_looks_at_the_newest_job_alone() -> None:
    """`since` would go through all that a person ever asked for: a quarter of a second with 100,000 jobs."""
    _, asked = ask()
    assert asked == [{"order": "newest", "limit": 2, "label": "discord:1"}]


def test_whether_the_newest_job_is_that_new() -> None:
    assert ask("2027-01-15T07:59:30.000Z")[0] is True
    assert ask("2027-01-15T07:59:29.999Z", "2027-01-15T07:59:20.000Z")[0] is False
    assert ask()[0] is False
