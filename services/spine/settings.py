"""The server's settings: read once from the environment, all faults reported together."""

import os
from collections.abc import Mapping, MutableMapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from contract import sdnotify
from contract.env import EnvReader, Secret, Setting
from contract.ids import token_digest
from contract.logs import FORMATS, LEVELS
from contract.outcall import check_url
from spine import backup_settings, bucket_settings, collector_settings, database_settings, dialect_settings
from spine.blobs.bucket import Bucket
from spine.collector_settings import Collector
from spine.dialect_settings import MIB, TOKEN_LEAST, Dialect
from spine.digests import is_name, not_for_a_claw, principal_of, read_digests
from spine.notices import aliases
from spine.queue.access import RESERVED, Principal

SETTINGS = (
    Setting("HEAD_TOKEN", "required", "token of heads; also `HEAD_TOKENS` (comma-separated); both merge"),
    Setting("HEAD_TOKENS", "", "further tokens of heads, comma-separated"),
    Setting("LEFT_CLAW_TOKEN", "required", "token of left-claw; also `LEFT_CLAW_TOKENS`"),
    Setting("LEFT_CLAW_TOKENS", "", "further tokens of left-claw, comma-separated"),
    Setting("RIGHT_CLAW_TOKEN", "required", "token of right-claw; also `RIGHT_CLAW_TOKENS`"),
    Setting("RIGHT_CLAW_TOKENS", "", "further tokens of right-claw, comma-separated"),
    Setting("VIEWER_TOKEN", "", "token of a role that sees all and changes nothing; also `VIEWER_TOKENS`"),
    Setting("VIEWER_TOKENS", "", "further tokens of viewers, comma-separated"),
    Setting("CHAT_TOKEN", "", "token of the chat front: submits, reads jobs, comments, decides; also `CHAT_TOKENS`"),
    Setting("CHAT_TOKENS", "", "further tokens of chat fronts, comma-separated"),
    Setting("CLAW_TOKENS", "", "further claws: `name=token,…`; a name may come twice, for rotation"),
    Setting(
        "SPINE_TOKEN_DIGESTS",
        "",
        "file of lines `name sha256`, for a spine that holds no tokens itself; read again when it changes",
    ),
    Setting("SPINE_HOST", "127.0.0.1", "address to listen on"),
    Setting("SPINE_PORT", "36725", "port to listen on; 0 takes a free one"),
    Setting("SPINE_DATA_DIR", "./data", "folder of the store and the blobs"),
    Setting(
        "SPINE_DATABASE_URL",
        "",
        "PostgreSQL database of the store, as `postgresql://user:password@host:port/name`; embedded when not set",
    ),
    Setting(
        "SPINE_RETENTION_DAYS", "0", "days after which ended jobs and blobs that none names are deleted; 0 keeps all"
    ),
    *bucket_settings.SETTINGS,
    *backup_settings.SETTINGS,
    Setting("LEASE_SECONDS", "300", "how long a claim holds without a heartbeat"),
    Setting("SPINE_ACCEPT_LEASE_SECONDS", "15", "how long a waiting claim holds before its first heartbeat or log"),
    Setting(
        "REAPER_INTERVAL_MS", "30000", "longest time between two passes of the reaper; it wakes earlier for a lease end"
    ),
    Setting("DEFAULT_MAX_ATTEMPTS", "5", "`maxAttempts` of a job that names none"),
    Setting("SPINE_SKILL_MD_PATH", "", "file served as /skill.md in place of the built-in document"),
    Setting("SPINE_BODY_MAX_BYTES", "1048576", "largest JSON body"),
    Setting("SPINE_FIELD_MAX_BYTES", "262144", "largest spec, meta, result, progress or error"),
    Setting("SPINE_COMMENT_MAX_BYTES", "16384", "largest comment"),
    Setting("SPINE_BLOB_MAX_BYTES", "268435456", "largest blob"),
    Setting("SPINE_LOG_MAX_BYTES", "67108864", "longest log of one attempt"),
    Setting("SPINE_BODY_SECONDS", "30", "how long a body may take to arrive, between two pieces for a blob"),
    Setting("SPINE_WAITERS_MAX", "10000", "waiting claims at once; over it 429"),
    Setting("SPINE_STREAMS_MAX", "1000", "open event and log streams at once; over it 429"),
    Setting("SPINE_SESSION_HOURS", "168", "how long a browser stays signed in at the dashboard"),
    Setting("SPINE_MCP", "0", "1: agents find the API as tools at `/mcp`; needs the extra `mcp`"),
    Setting("SPINE_BACKLOG", "2048", "connections that the kernel queues for the server"),
    Setting("SPINE_WORKERS", "1", "processes that serve; more than one needs a database"),
    Setting("SPINE_DRAIN_SECONDS", "30", "how long a stopping server waits for answers under way"),
    Setting("SPINE_LOG_LEVEL", "info", "debug, info, warning or error"),
    Setting("SPINE_LOG_FORMAT", "auto", "json, text, or auto: JSON unless a terminal shows it"),
    *collector_settings.SETTINGS,
    *dialect_settings.SETTINGS,
    Setting("SPINE_NOTICES_FILE", "", "JSON file of aliases for notices, mode 0600; read again when it changes"),
    Setting("SPINE_PUBLIC_URL", "", "the server's address as people reach it, for links in notices"),
    Setting("SPINE_NOTICE_TIMEOUT_SECONDS", "30", "how long one call to a receiver of notices may take in all"),
    Setting("SPINE_NOTICE_RETRY_SECONDS", "5", "first wait after a notice was not taken; it doubles, to an hour"),
    Setting("SPINE_NOTICE_GIVE_UP_HOURS", "24", "how long a notice is tried before it is given up"),
    Setting("SPINE_NOTICE_KEEP_DAYS", "30", "days after which a notice that was sent is deleted"),
    Setting("SPINE_KILL_POINT", "", "for tests: the named point at which the process freezes"),
    Setting("SPINE_KILL_POINT_FILE", "", "for tests: the file that gets the name of the point when it is reached"),
)

_ROLES = (
    ("HEAD", "head"),
    ("LEFT_CLAW", "left-claw"),
    ("RIGHT_CLAW", "right-claw"),
    ("VIEWER", "viewer"),
    ("CHAT", "chat"),
)
_OPTIONAL = frozenset({"viewer", "chat"})
_URL_MOST = 500


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in the unit of their name. `principals` maps a token's SHA-256 to whom it stands for.

    Those of the file `token_digests` are not among them: it changes while the server runs.
    """

    principals: dict[str, Principal]
    token_digests: Path | None = None
    host: str = "127.0.0.1"
    port: int = 36725
    data_dir: Path = Path("data")
    database_url: Secret | None = None
    retention_days: int = 0
    blob_place: Bucket | None = None
    backups: backup_settings.Plan | None = None
    lease_seconds: int = 300
    accept_lease_seconds: int = 15
    reaper_interval_ms: int = 30_000
    default_max_attempts: int = 5
    skill_md_path: Path | None = None
    body_max_bytes: int = MIB
    field_max_bytes: int = MIB // 4
    comment_max_bytes: int = 16 * 1024
    blob_max_bytes: int = 256 * MIB
    log_max_bytes: int = 64 * MIB
    body_seconds: int = 30
    waiters_max: int = 10_000
    streams_max: int = 1000
    session_hours: int = 168
    mcp: bool = False
    backlog: int = 2048
    workers: int = 1
    drain_seconds: int = 30
    log_level: str = "info"
    log_format: str = "auto"
    collector: Collector | None = None
    skyclaw: Dialect | None = None
    broker: Dialect | None = None
    notices_file: Path | None = None
    public_url: str | None = None
    notice_timeout_seconds: int = 30
    notice_retry_seconds: int = 5
    notice_give_up_hours: int = 24
    notice_keep_days: int = 30
    kill_point: str | None = None
    kill_point_file: str | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where to listen: the server's own address, and those of dialects that have one."""
        own = [(d.host, d.port) for d in (self.skyclaw, self.broker) if d is not None and d.port]
        return [(self.host, self.port), *own]

    @property
    def token_count(self) -> int:
        """How many tokens are known from settings; those of machines that joined are in the store."""
        return len(self.principals) + (len(read_digests(self.token_digests)) if self.token_digests else 0)


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings, from this process's environment unless told.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    environ = os.environ if environ is None else environ
    env = EnvReader(environ)
    skill = env.optional("SPINE_SKILL_MD_PATH")
    listed = env.optional("SPINE_TOKEN_DIGESTS")
    principals = _principals(env, Path(listed) if listed else None)
    port = env.integer("SPINE_PORT", 36725, 0, 65535)
    database = database_settings.read(env)
    settings = Settings(
        principals=principals,
        token_digests=Path(listed) if listed else None,
        host=env.text("SPINE_HOST", "127.0.0.1"),
        port=port,
        data_dir=store_folder(environ),
        database_url=database,
        retention_days=env.integer("SPINE_RETENTION_DAYS", 0, 0, 36_500),
        blob_place=(blobs := bucket_settings.of_blobs(env)),
        backups=backup_settings.read(env, store_folder(environ), blobs),
        lease_seconds=env.integer("LEASE_SECONDS", 300, 1, 86_400),
        accept_lease_seconds=env.integer("SPINE_ACCEPT_LEASE_SECONDS", 15, 1, 3600),
        reaper_interval_ms=env.integer("REAPER_INTERVAL_MS", 30_000, 50, 3_600_000),
        default_max_attempts=env.integer("DEFAULT_MAX_ATTEMPTS", 5, 1, 1000),
        skill_md_path=Path(skill) if skill else None,
        body_max_bytes=env.integer("SPINE_BODY_MAX_BYTES", MIB, 1024, 64 * MIB),
        field_max_bytes=env.integer("SPINE_FIELD_MAX_BYTES", MIB // 4, 256, 32 * MIB),
        comment_max_bytes=env.integer("SPINE_COMMENT_MAX_BYTES", 16 * 1024, 64, MIB),
        blob_max_bytes=env.integer("SPINE_BLOB_MAX_BYTES", 256 * MIB, 1024, 1024 * 1024 * MIB),
        log_max_bytes=env.integer("SPINE_LOG_MAX_BYTES", 64 * MIB, 1024, 1024 * MIB),
        body_seconds=env.integer("SPINE_BODY_SECONDS", 30, 1, 3600),
        waiters_max=env.integer("SPINE_WAITERS_MAX", 10_000, 1, 1_000_000),
        streams_max=env.integer("SPINE_STREAMS_MAX", 1000, 1, 100_000),
        session_hours=env.integer("SPINE_SESSION_HOURS", 168, 1, 8760),
        mcp=env.flag("SPINE_MCP", False),
        backlog=env.integer("SPINE_BACKLOG", 2048, 1, 65_535),
        workers=env.integer("SPINE_WORKERS", 1, 1, 64),
        drain_seconds=env.integer("SPINE_DRAIN_SECONDS", 30, 1, 3600),
        log_level=env.choice("SPINE_LOG_LEVEL", "info", LEVELS),
        log_format=env.choice("SPINE_LOG_FORMAT", "auto", FORMATS),
        collector=collector_settings.read(env),
        **dialect_settings.read(env, principals, port, shared=database is not None),
        notices_file=env.custom("SPINE_NOTICES_FILE", _aliases, None),
        public_url=env.custom("SPINE_PUBLIC_URL", _public_url, None),
        notice_timeout_seconds=env.integer("SPINE_NOTICE_TIMEOUT_SECONDS", 30, 1, 300),
        notice_retry_seconds=env.integer("SPINE_NOTICE_RETRY_SECONDS", 5, 1, 3600),
        notice_give_up_hours=env.integer("SPINE_NOTICE_GIVE_UP_HOURS", 24, 1, 720),
        notice_keep_days=env.integer("SPINE_NOTICE_KEEP_DAYS", 30, 1, 3650),
        kill_point=env.optional("SPINE_KILL_POINT"),
        kill_point_file=env.optional("SPINE_KILL_POINT_FILE"),
    )
    if settings.skill_md_path is not None and not settings.skill_md_path.is_file():
        env.faults.append(f"SPINE_SKILL_MD_PATH: {settings.skill_md_path} is not a file")
    if settings.mcp and find_spec("mcp") is None:
        env.faults.append("SPINE_MCP: mcp is not installed; pip install 'spinal-cord[mcp]'")
    if settings.workers > 1 and settings.database_url is None:
        env.faults.append("SPINE_WORKERS: more than one needs a database; take it out, or set SPINE_DATABASE_URL")
    if settings.database_url is not None and settings.backups is not None:
        env.faults.append(
            "SPINE_DATABASE_URL: SPINE_BACKUP_DIR and SPINE_BACKUP_URL are for the embedded store; take these out, and "
            "have a timer run `spine backup PATH`"
        )
    env.finish()
    return settings


def _aliases(path: str) -> Path:
    aliases.read(Path(path))
    return Path(path)


def _public_url(url: str) -> str:
    check_url(url)
    if len(url) > _URL_MOST:
        raise ValueError(f"{len(url)} characters, at most {_URL_MOST}: a notice must have room for words besides")
    return url.rstrip("/")


def store_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the store: all that a command needs which works on files alone, such as a backup."""
    return Path(EnvReader(os.environ if environ is None else environ).text("SPINE_DATA_DIR", "./data"))


def notifier() -> sdnotify.Notifier:
    """Take the service manager's variables out of the environment, so that gunicorn does not answer too early."""
    return sdnotify.take(os.environ)


def handed_sockets(environ: MutableMapping[str, str] | None = None) -> int:
    """Return how many listening sockets the service manager has handed to this process (file descriptors 3 and up).

    The variables stay for gunicorn, unless they are broken: it would fail on them.
    """
    environ = os.environ if environ is None else environ
    pid, count = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    if not (pid.isdecimal() and count.isdecimal()):
        environ.pop("LISTEN_PID", None)
        environ.pop("LISTEN_FDS", None)
        return 0
    return int(count) if int(pid) == os.getpid() else 0


def _principals(env: EnvReader, listed: Path | None) -> dict[str, Principal]:
    """Collect every token; one that stands for two names, is missing, or is too short to be a secret is a fault."""
    found: dict[str, tuple[Principal, str]] = {}
    if listed is not None:
        try:
            found = {digest: (principal, str(listed)) for digest, principal in read_digests(listed).items()}
        except (OSError, ValueError) as e:
            why = f"cannot read {listed}: {e.strerror}" if isinstance(e, OSError) else str(e)
            env.faults.append(f"SPINE_TOKEN_DIGESTS: {why}")
    for prefix, name in _ROLES:
        principal = principal_of(name)
        variables = (f"{prefix}_TOKEN", f"{prefix}_TOKENS")
        known = len(env.faults)
        single, several = env.secret(variables[0]), env.secret(variables[1])
        tokens = [(variables[0], single)] if single else []
        tokens += [(variables[1], Secret(t.strip())) for t in (several or "").split(",") if t.strip()]
        # A file that cannot be read has been named: the token is not missing besides.
        if not tokens and listed is None and name not in _OPTIONAL and len(env.faults) == known:
            env.faults.append(
                f"{variables[0]}: missing; give {name} a token (or {variables[0]}_FILE, or {variables[1]})"
            )
        for variable, token in tokens:
            _add(env, found, principal, variable, token)
    for pair in (env.secret("CLAW_TOKENS") or "").split(","):
        if not pair.strip():
            continue
        name, _, value = pair.strip().partition("=")
        if name in RESERVED:
            env.faults.append(f"CLAW_TOKENS: {not_for_a_claw(name)}")
            continue
        if not value or not is_name(name):
            env.faults.append("CLAW_TOKENS: expected name=token,… with names of a-z, 0-9, dot and hyphen")
            continue
        _add(env, found, Principal(name, "claw"), "CLAW_TOKENS", Secret(value))
    return {digest: principal for digest, (principal, variable) in found.items() if variable != str(listed)}


def _add(
    env: EnvReader, found: dict[str, tuple[Principal, str]], principal: Principal, variable: str, token: Secret
) -> None:
    if len(token) < TOKEN_LEAST:
        env.faults.append(f"{variable}: a token needs at least {TOKEN_LEAST} characters; `spine token` makes one")
        return
    digest = token_digest(token)
    other = found.get(digest)
    if other is not None and other[0] != principal:
        env.faults.append(f"{variable}: the same token is in {other[1]} for {other[0].name}; give each role its own")
        return
    found[digest] = (principal, variable)
