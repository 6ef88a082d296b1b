"""The file config.json of OpenClaw's dispatch: names and defaults. One that is missing or broken counts as empty."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

NAME = "spine-dispatch"
_GRACE_MS = 300_000
_INTERVAL = "*/15 * * * *"
_MINUTES = 60


class Config(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What dispatch takes from it. Times in the unit of their name."""

    name: str = NAME
    agents: dict[str, Any] = {}
    startup_grace_ms: int = _GRACE_MS
    watcher_hours: int = msgspec.field(default=48, name="deliver_watcher_ttl_hours")
    watchdog_interval_cron: str = _INTERVAL
    watchdog_timeout_min: int = _MINUTES
    deliver_to: str | None = None
    delivery_channel: str | None = None

    def agent_name(self, agent: str) -> str:
        """Return how an agent is called in texts for people."""
        found = self.agents.get(agent)
        name = found.get("name") if isinstance(found, dict) else None
        return name if isinstance(name, str) and name else agent


def load(folders: Iterable[Path]) -> Config:
    """Read the first config.json that is there."""
    for folder in folders:
        try:
            return msgspec.json.decode((folder / "config.json").read_bytes(), type=Config)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            break
    return Config()
