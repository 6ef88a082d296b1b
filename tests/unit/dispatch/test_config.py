"""config.json of OpenClaw's dispatch (contract: scheduler, 2.1): where it is looked for, its keys, and broken ones."""

import json
import socket
from pathlib import Path

import pytest

from contract.env import SettingsError
from dispatch.config import Config, load
from dispatch.settings import from_env

ALL = {
    "name": "acme",
    "agents": {"ada": {"name": "Ada"}},
    "startupGraceMs": 90_000,
    "deliver_watcher_ttl_hours": 12,
    "watchdogIntervalCron": "*/5 * * * *",
    "watchdogTimeoutMin": 10,
    "deliverTo": "77",
    "deliveryChannel": "slack",
    "of another program": [1],
}


def test_every_key_is_taken_and_others_are_left(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(ALL))
    found = load([tmp_path])
    assert found == Config(
        name="acme",
        agents={"ada": {"name": "Ada"}},
        startup_grace_ms=90_000,
        watcher_hours=12,
        watchdog_interval_cron="*/5 * * * *",
        watchdog_timeout_min=10,
        deliver_to="77",
        delivery_channel="slack",
    )
    assert [found.agent_name(agent) for agent in ("ada", "main")] == ["Ada", "main"]


def test_defaults() -> None:
    assert load([]) == Config(
        name="spine-dispatch",
        agents={},
        startup_grace_ms=300_000,
        watcher_hours=48,
        watchdog_interval_cron="*/15 * * * *",
        watchdog_timeout_min=60,
        deliver_to=None,
        delivery_channel=None,
    )


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"name": 5}', '{"startupGraceMs": "soon"}', "\xff"])
def test_one_that_cannot_be_read_counts_as_empty(tmp_path: Path, broken: str) -> None:
    (tmp_path / "config.json").write_bytes(broken.encode("latin-1"))
    assert load([tmp_path]) == Config()


def test_a_folder_counts_as_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert load([tmp_path]) == Config()


def test_where_the_ledger_is_and_what_this_machine_is_called(tmp_path: Path) -> None:
    environ = {"SPINE_DISPATCH_HOME": str(tmp_path), "OPENCLAW_HOME": str(tmp_path)}
    found = from_env(environ)
    assert (found.labels_path, found.host) == (tmp_path / "labels.json", socket.gethostname())
    found = from_env({**environ, "DISPATCH_LABELS_PATH": "/var/lib/x/labels.json", "DISPATCH_HOST": "left"})
    assert (found.labels_path, found.host) == (Path("/var/lib/x/labels.json"), "left")
    with pytest.raises(SettingsError, match="DISPATCH_LABELS_PATH"):
        from_env({**environ, "DISPATCH_LABELS_PATH": "labels.json"})


def test_the_first_folder_that_has_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, here, home = (tmp_path / name for name in ("named", "here", "home"))
    for folder in (named, here, home):
        folder.mkdir()
    monkeypatch.chdir(here)
    environ = {"SPINE_DISPATCH_HOME": str(home), "OPENCLAW_HOME": str(tmp_path)}
    assert from_env({**environ, "DISPATCH_CONFIG_DIR": str(named)}).config_folders == (named,)
    (home / "config.json").write_text('{"name": "home"}')
    assert load(from_env(environ).config_folders).name == "home"
    (here / "config.json").write_text('{"name": "here"}')
    assert load(from_env(environ).config_folders).name == "here"
    (named / "config.json").write_text('{"name": "named"}')
    assert load(from_env({**environ, "DISPATCH_CONFIG_DIR": str(named)}).config_folders).name == "named"
