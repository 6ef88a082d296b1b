"""Settings: environment before secrets.json before defaults, and every fault with its place and its fix."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.redis_address import RedisAddress
from cluster.settings import SpineStore, from_env
from contract.env import SettingsError

TOKEN = {"SPINE_TOKEN": "token-0001"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, value: Any) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    path.chmod(0o600)
    return path


def faults(environ: dict[str, str] | None = None, **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        from_env(environ or {}, **more)
    return caught.value.faults


def test_without_anything_it_is_the_spine_which_needs_a_token() -> None:
    assert faults() == [
        "SPINE_TOKEN: missing; give a head's or a claw's token in it, or the name of its file in SPINE_TOKEN_FILE; "
        "or name a Redis by REDIS_HOST"
    ]
    found = from_env(TOKEN)
    assert found.store == SpineStore(urls=("http://127.0.0.1:36725",), token="token-0001")
    assert (found.lease_seconds, found.rhythm, found.logging.path) == (10, (10, 30, 3, 1), None)
    assert found.node_id.startswith("node-")


def test_the_environment_wins_over_secrets_and_these_over_defaults() -> None:
    write("config/secrets.json", {"redis": {"host": "filed", "port": 11877, "password": "sesame", "db": 2}})
    found = from_env({}).store
    assert found == RedisAddress(hosts=(("filed", 11877),), db=2, password="sesame")
    environ = {"REDIS_HOST": "named", "REDIS_PORT": "7000", "REDIS_PASSWORD": "other", "REDIS_DB": "3"}
    assert from_env(environ).store == RedisAddress(hosts=(("named", 7000),), db=3, password="other")
    assert from_env({"REDIS_HOST": "named"}).store.hosts == (("named", 11877),)
    write("config/secrets.json", {})
    assert from_env({"REDIS_HOST": "named"}).store == RedisAddress(hosts=(("named", 6379),), db=0)


def test_a_redis_without_a_password_can_be_used() -> None:
    write("config/secrets.json", {"redis": {"host": "h", "password": None}})
    assert from_env({}).store.password is None


def test_sentinels_are_named_by_a_url() -> None:
    found = from_env({"REDIS_URL": "redis+sentinel://a,b/mymaster", "REDIS_HOST": "passed-over"}).store
    assert (found.hosts, found.service) == ((("a", 26379), ("b", 26379)), "mymaster")


def test_a_password_need_not_stand_in_the_url() -> None:
    found = from_env({"REDIS_URL": "rediss://node@a", "REDIS_PASSWORD": "sesame"}).store
    assert (found.username, found.password) == ("node", "sesame")
    assert from_env({"REDIS_URL": "redis://:own@a", "REDIS_PASSWORD": "sesame"}).store.password == "own"


def test_the_backend_can_be_said() -> None:
    environ = TOKEN | {"REDIS_HOST": "h", "CLUSTER_BACKEND": "spine"}
    assert isinstance(from_env(environ).store, SpineStore)
    assert faults({"CLUSTER_BACKEND": "redis"}) == [
        "REDIS_HOST: missing; give it, REDIS_URL, or redis.host in secrets.json"
    ]
    assert faults(TOKEN | {"CLUSTER_BACKEND": "mongo"}) == ["CLUSTER_BACKEND: 'mongo' is not one of spine, redis"]


def test_a_login_may_stand_for_variables() -> None:
    write("config/secrets.json", {"redis": {"host": "${WHERE}", "password": "${SESAME}", "port": "${PORT}"}})
    assert from_env({"WHERE": "h", "SESAME": "s", "PORT": "7"}).store == RedisAddress(hosts=(("h", 7),), password="s")
    assert faults({"WHERE": "h", "PORT": "7"}) == [
        "config/secrets.json: redis.password: ${SESAME} is not set; set it, or write the value here"
    ]


def test_a_password_is_in_no_repr() -> None:
    write("config/secrets.json", {"redis": {"host": "h", "password": "sesame"}})
    assert "sesame" not in repr(from_env({}))


def test_the_node_id_is_given_or_named_or_filed() -> None:
    write("config/config.json", {"node": {"id": "filed"}})
    assert from_env(TOKEN).node_id == "filed"
    assert from_env(TOKEN | {"OPENCLAW_NODE_ID": "named"}).node_id == "named"
    assert from_env(TOKEN | {"OPENCLAW_NODE_ID": "named"}, node_id="given").node_id == "given"
    assert faults(TOKEN, node_id="a:b") == [
        "NODE_ID: 'a:b' is no node id; use 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
    ]


def test_the_file_of_the_skill_is_understood() -> None:
    node = {"id": "main-node", "heartbeat_interval": 10, "heartbeat_ttl": 30, "retry_count": 3, "retry_delay": 1}
    logging = {"level": "INFO", "max_bytes": 10485760, "backup_count": 5}
    write("config/config.json", {"node": node, "logging": logging})
    found = from_env(TOKEN)
    assert (found.node_id, found.rhythm, found.notes) == ("main-node", (10, 30, 3, 1), [])
    assert found.logging.path == Path("logs/heartbeat.log").absolute()
    assert (found.logging.max_bytes, found.logging.backup_count) == (10485760, 5)


def test_the_old_file_is_understood_too() -> None:
    old = {
        "enabled": True,
        "node_id": "node-001",
        "node_name": "openclaw-node-001",
        "redis": {"host": "localhost", "port": 6379, "password": None, "db": 0},
        "heartbeat": {"interval_ms": 5000, "timeout_ms": 15000},
        "election": {"timeout_ms": 10000, "renewal_interval_ms": 5000},
        "sync": {"batch_size": 100, "max_stream_length": 10000},
    }
    found = from_env({}, config=write("old.json", {"cluster": old}))
    assert (found.node_id, found.name, found.rhythm.beat_seconds) == ("node-001", "openclaw-node-001", 5)
    assert (found.rhythm.ttl_seconds, found.lease_seconds, found.notes) == (15, 10, [])
    assert found.store == RedisAddress(hosts=(("localhost", 6379),), db=0)


def test_a_file_that_was_named_must_be_there_and_its_folder_has_the_secrets() -> None:
    assert faults(TOKEN, config=Path("gone.json")) == [
        "gone.json: there is no such file; name a config.json, or leave it out"
    ]
    write("there/secrets.json", {"redis": {"host": "h"}})
    assert from_env({}, config=write("there/config.json", {})).store == RedisAddress(hosts=(("h", 6379),))
    assert from_env({"CLAWSTER_CONFIG_DIR": "there"}).store == RedisAddress(hosts=(("h", 6379),))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nothing", "config/config.json: not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "config/config.json: not a JSON object"),
        ('{"node": {"id": 7}}', "config/config.json: node.id: 7 is not a text; put it in quotes"),
        (
            '{"node": {"heartbeat_interval": "10"}}',
            "config/config.json: node.heartbeat_interval: '10' is not a number from 0.2 to 3600",
        ),
        ('{"election": {"lock_ttl": 0}}', "config/config.json: election.lock_ttl: 0 is not a number from 0.5 to 3600"),
        ('{"logging": {"level": "loud"}}', "logging.level: 'LOUD' is not one of DEBUG, INFO, WARNING, ERROR"),
        (
            '{"node": {"heartbeat_interval": 2}}',
            "node.retry_delay: 3 tries 1 s apart are longer than the interval of 2 s; lower it, or node.retry_count",
        ),
        ('{"node": {"heartbeat_ttl": 9}}', "node.heartbeat_ttl: 9 is not more than the interval, 10"),
        ('{"redis": {"port": "x", "host": "h"}}', "config/config.json: redis.port: 'x' is not a whole number"),
        ('{"redis": {"port": 70000}}', "config/config.json: redis.port: 70000 is not from 1 to 65535"),
        ('{"redis": {"port": "0"}}', "config/config.json: redis.port: 0 is not from 1 to 65535"),
        ("[" * 100_000, "config/config.json: not JSON: it is nested too deep"),
    ],
)  # fmt: skip
def test_a_fault_names_the_file_the_member_and_the_fix(text: str, fault: str) -> None:
    write("config/config.json", text)
    assert faults(TOKEN) == [fault]


def test_what_is_not_known_is_told_of_and_a_file_that_others_may_read() -> None:
    write("config/config.json", {"node": {"colour": "red"}, "cluster_size": 3})
    write("config/secrets.json", {"redis": {}, "x": 1}).chmod(0o644)
    assert from_env(TOKEN).notes == [
        "config/config.json: node.colour is not known, and passed over",
        "config/config.json: cluster_size is not known, and passed over",
        "config/secrets.json: others may read it; chmod 600 config/secrets.json",
    ]


def test_an_old_file_with_a_password_that_others_may_read_is_told_of() -> None:
    path = write("old.json", {"cluster": {"redis": {"host": "h", "password": "p"}}})
    assert from_env({}, config=path).notes == []
    path.chmod(0o644)
    assert from_env({}, config=path).notes == ["old.json: others may read it; chmod 600 old.json"]
    write("old.json", {"cluster": {"redis": {"host": "h", "password": "${REDIS_PASSWORD}"}}}).chmod(0o644)
    assert from_env({"REDIS_PASSWORD": "p"}, config=path).notes == []


@pytest.mark.parametrize("name", ["CLAWSTER_CONFIG_DIR", "CLUSTER_LOG_FILE"])
def test_a_home_that_is_nobodys_is_a_fault(name: str) -> None:
    (fault,) = faults(TOKEN | {name: "~no-such-person/x"})
    assert fault == f"{name}: ~no-such-person/x: there is no such home; name the whole path"


def test_a_url_that_cannot_be_used_is_one_fault() -> None:
    assert len(faults({"REDIS_URL": "redis://"})) == 1


def test_it_logs_beside_a_folder_that_is_named_config_and_nowhere_else_unless_told() -> None:
    path = write("etc/node.json", {})
    assert from_env(TOKEN, config=path).logging.path is None
    assert from_env(TOKEN | {"CLAWSTER_CONFIG_DIR": "etc"}).logging.path is None
    assert from_env(TOKEN | {"CLUSTER_LOG_FILE": "x.log"}, config=path).logging.path == Path("x.log")
    path = write("config/node.json", {})
    assert from_env(TOKEN, config=path).logging.path == Path("logs/heartbeat.log").absolute()
