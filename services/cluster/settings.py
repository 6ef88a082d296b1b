"""A node's settings: environment before files before defaults, as clawster has it. No other module reads either."""

import dataclasses
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cluster import configfiles
from cluster.backend import BEAT_SECONDS, MISSES
from cluster.election import LEASE_SECONDS
from cluster.member import Rhythm
from cluster.redis_address import PORT, RedisAddress, read_url
from contract.env import EnvReader, Secret, Setting, base_urls, newer_token

DEFAULT_URL = "http://127.0.0.1:36725"
BACKENDS = ("spine", "redis")
NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 5

SETTINGS: tuple[Setting, ...] = (
    Setting("CLUSTER_BACKEND", "", "`spine` or `redis`; without it Redis where a Redis is named, else the spine"),
    Setting("SPINE_BASE_URL", DEFAULT_URL, "where the spine is; several, separated by commas, fail over"),
    Setting("SPINE_TOKEN", "", "needed on a spine: a head's token, or a claw's for its own node"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which other programs may show"),
    Setting("REDIS_URL", "", "where the Redis is, or its Sentinels; wins over host, port and database"),
    Setting("REDIS_HOST", "", "host of the Redis"),
    Setting("REDIS_PORT", "6379", "its port"),
    Setting("REDIS_PASSWORD", "", "its password, also where REDIS_URL names none"),
    Setting("REDIS_PASSWORD_FILE", "", "a file with the password"),
    Setting("REDIS_DB", "0", "its database"),
    Setting("OPENCLAW_NODE_ID", "", "the node's id; `node-` and the host's name where nothing names one"),
    Setting("CLAWSTER_CONFIG_DIR", "config", "folder of config.json and secrets.json; neither need be there"),
    Setting("CLUSTER_LOG_FILE", "", "where to log to; `logs/heartbeat.log` beside a folder `config` that is there"),
)


class SpineStore(msgspec.Struct, frozen=True, kw_only=True):
    """The store is a spine."""

    urls: tuple[str, ...]
    token: Secret
    token_file: Path | None = None

    def newer_token(self, used: str) -> str | None:
        """Return the token that the file holds now, when it is not the one that was used. It may wait 1 s."""
        return newer_token(used, [self.token_file])


class Logging(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node logs to. `path` None: no file."""

    level: str
    path: Path | None
    max_bytes: int
    backup_count: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`notes`: what a person should be told of the files."""

    node_id: str
    name: str
    capabilities: tuple[str, ...]
    endpoint: str
    store: SpineStore | RedisAddress
    rhythm: Rhythm
    lease_seconds: float
    logging: Logging
    notes: list[str]


def from_env(
    environ: Mapping[str, str] | None = None, node_id: str | None = None, config: Path | None = None
) -> Settings:
    """Build the settings.

    Args:
        node_id: wins over the environment and the file.
        config: a file in the place of config.json, which must be there.

    Raises:
        SettingsError: naming every variable and member that cannot be used, and its fix.
    """
    environ = os.environ if environ is None else environ
    env = EnvReader(environ)
    folder = _path(env, "CLAWSTER_CONFIG_DIR") or Path("config")
    if config is not None and not env.optional("CLAWSTER_CONFIG_DIR"):
        folder = config.parent
    files = configfiles.read(folder, config, environ, env.faults)
    said = files.config
    store = _store(env, files.redis)
    level = str(said.get("logging.level", "INFO")).upper()
    if level not in LEVELS:
        env.faults.append(f"logging.level: {level!r} is not one of {', '.join(LEVELS)}")
    log_file = _path(env, "CLUSTER_LOG_FILE")
    if log_file is None and folder.is_dir() and folder.absolute().name == "config":
        log_file = folder.absolute().parent / "logs" / "heartbeat.log"
    beat = float(said.get("node.heartbeat_interval", BEAT_SECONDS))
    rhythm = Rhythm(
        beat_seconds=beat,
        ttl_seconds=float(said.get("node.heartbeat_ttl", beat * MISSES)),
        tries=int(said.get("node.retry_count", 3)),
        pause_seconds=float(said.get("node.retry_delay", 1.0)),
    )
    lease = said.get("election.lock_ttl", said.get("node.leader_ttl", LEASE_SECONDS))
    if rhythm.ttl_seconds <= beat:
        env.faults.append(f"node.heartbeat_ttl: {rhythm.ttl_seconds:g} is not more than the interval, {beat:g}")
    if (rhythm.tries - 1) * rhythm.pause_seconds >= beat:
        env.faults.append(
            f"node.retry_delay: {rhythm.tries} tries {rhythm.pause_seconds:g} s apart are longer than the interval of "
            f"{beat:g} s; lower it, or node.retry_count"
        )
    own = _node_id(env, node_id, said.get("node.id"))
    env.finish()
    return Settings(
        node_id=own,
        name=str(said.get("node.name", "")),
        capabilities=said.get("node.capabilities", ()),
        endpoint=str(said.get("node.endpoint", "")),
        store=store,
        rhythm=rhythm,
        lease_seconds=float(lease),
        logging=Logging(
            level=level,
            path=log_file,
            max_bytes=int(said.get("logging.max_bytes", LOG_BYTES)),
            backup_count=int(said.get("logging.backup_count", LOG_FILES)),
        ),
        notes=files.notes,
    )


def _path(env: EnvReader, name: str) -> Path | None:
    text = env.optional(name)
    try:
        return Path(text).expanduser() if text else None
    except RuntimeError:
        env.faults.append(f"{name}: {text}: there is no such home; name the whole path")
        return None


def config_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of the files as a whole path; None where there is none, and none is named.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ if environ is None else environ)
    named = _path(env, "CLAWSTER_CONFIG_DIR")
    env.finish()
    folder = named or Path("config")
    return folder.absolute() if named or folder.is_dir() else None


def _store(env: EnvReader, login: dict[str, str | int]) -> SpineStore | RedisAddress:
    url = env.optional("REDIS_URL")
    host = env.optional("REDIS_HOST") or login.get("host")
    backend = env.choice("CLUSTER_BACKEND", "redis" if url or host else "spine", BACKENDS)
    port, db = env.integer("REDIS_PORT", PORT, 1, 65535), env.integer("REDIS_DB", 0, 0, 65535)
    if not env.optional("REDIS_PORT"):
        port = int(login.get("port", port))
    if not env.optional("REDIS_DB"):
        db = int(login.get("db", db))
    password = env.secret("REDIS_PASSWORD")
    address = env.custom("REDIS_URL", read_url, None)
    default: tuple[str, ...] = (DEFAULT_URL,)
    urls = env.custom("SPINE_BASE_URL", base_urls, default)
    token = env.secret("SPINE_TOKEN")
    if backend == "spine":
        if token is None and not env.faults:
            told = "a head's or a claw's token in it, or the name of its file in SPINE_TOKEN_FILE"
            env.faults.append(f"SPINE_TOKEN: missing; give {told}; or name a Redis by REDIS_HOST")
        return SpineStore(urls=urls, token=token or Secret(""), token_file=env.secret_file("SPINE_TOKEN"))
    if address is not None:
        return address if address.password else dataclasses.replace(address, password=password)
    if not host and not url:
        env.faults.append("REDIS_HOST: missing; give it, REDIS_URL, or redis.host in secrets.json")
    secret = password or (Secret(str(login["password"])) if login.get("password") else None)
    return RedisAddress(hosts=((str(host), port),), db=db, password=secret)


def _node_id(env: EnvReader, given: str | None, filed: str | None) -> str:
    named = env.optional("OPENCLAW_NODE_ID")
    for source, value in (("NODE_ID", given), ("OPENCLAW_NODE_ID", named), ("node.id", filed)):
        if value:
            if not NODE_ID.fullmatch(value):
                told = "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
                env.faults.append(f"{source}: {value[:80]!r} is no node id; use {told}")
            return value
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())
    return f"node-{host}"[:64]
