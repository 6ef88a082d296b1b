"""Which foreign dialects the server speaks, and how: each is spoken when it has its tokens."""

import msgspec

from contract.env import EnvReader, Setting, base_urls
from contract.ids import token_digest
from spine.queue.access import Principal

MIB = 1024 * 1024
TOKEN_LEAST = 8
"""How many characters a token has at least."""

SETTINGS = (
    Setting("SKYCLAW_TOKEN", "", "token of Skyclaw's hosts and clients; with it the spine speaks their dialect"),
    Setting("SKYCLAW_LEASE_MS", "60000", "how long a claim of a Skyclaw host holds without its heartbeat"),
    Setting(
        "SKYCLAW_TIMEOUT_MS",
        "300000",
        "how long Skyclaw's hosts let a job run that names no time-out; longer its lease is not extended",
    ),
    Setting("SKYCLAW_COORDINATOR_NODE_ID", "", "what the spine calls itself to Skyclaw; its store's id when not set"),
    Setting(
        "SPINE_SKYCLAW_PORT", "0", "a port for Skyclaw's dialect alone, 0 for none; also `SKYCLAW_COORDINATOR_PORT`"
    ),
    Setting("SKYCLAW_COORDINATOR_PORT", "0", "the same, under the name that Skyclaw has for it"),
    Setting("SKYCLAW_COORDINATOR_HOST", "", "address of that port; `SPINE_HOST` when not set"),
    Setting("SKYCLAW_PEER_URLS", "", "the other spines on the same database, to which nothing needs to be copied"),
    Setting("BOT_TOKEN", "", "token of the OpenClaw Broker's bots; goes with `WORKER_TOKEN`"),
    Setting("WORKER_TOKEN", "", "token of the OpenClaw Broker's workers; goes with `BOT_TOKEN`"),
    Setting("BROKER_LEASE_SECONDS", "60", "how long a claim of a broker's worker holds"),
    Setting("BROKER_COMMANDS", "", "commands that bots may create jobs for, comma-separated; all when not set"),
    Setting("SPINE_BROKER_PORT", "0", "a port for the broker's dialect alone, 0 for none; also `BROKER_PORT`"),
    Setting("BROKER_PORT", "0", "the same, under the name that the broker has for it"),
    Setting("BROKER_HOST", "", "address of that port; `SPINE_HOST` when not set"),
    Setting("SPINE_DIALECT_BODY_MAX_BYTES", "4194304", "largest body of a foreign dialect"),
    Setting("SPINE_DIALECT_RESULT_MAX_BYTES", "2097152", "largest result of a foreign dialect; a longer text is cut"),
)


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a foreign dialect is spoken. `tokens`: the SHA-256 of each, with whom it stands for; `port` 0: no own one."""

    tokens: dict[str, str]
    lease_ms: int
    timeout_ms: int
    host: str
    port: int
    node_id: str | None = None
    peers: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    body_max_bytes: int = 4 * MIB
    result_max_bytes: int = 2 * MIB


def read(env: EnvReader, principals: dict[str, Principal], own: int, shared: bool) -> dict[str, Dialect | None]:
    """Return the foreign dialects: each is spoken when it has its tokens. `own`: the server's own port.

    `shared`: other spines may work on the same store.
    """
    taken = {digest: principal.name for digest, principal in principals.items()}
    host = env.text("SPINE_HOST", "127.0.0.1")
    ports = {
        "skyclaw": (
            env.integer("SPINE_SKYCLAW_PORT", 0, 0, 65_535) or env.integer("SKYCLAW_COORDINATOR_PORT", 0, 0, 65_535)
        ),
        "broker": env.integer("SPINE_BROKER_PORT", 0, 0, 65_535) or env.integer("BROKER_PORT", 0, 0, 65_535),
    }
    tokens = {
        "skyclaw": _tokens(env, taken, {"SKYCLAW_TOKEN": "skyclaw"}),
        "broker": _tokens(env, taken, {"BOT_TOKEN": "bot", "WORKER_TOKEN": "worker"}),
    }
    leases = {
        "skyclaw": env.integer("SKYCLAW_LEASE_MS", 60_000, 1000, 86_400_000),
        "broker": env.integer("BROKER_LEASE_SECONDS", 60, 1, 86_400) * 1000,
    }
    timeout_ms = env.integer("SKYCLAW_TIMEOUT_MS", 300_000, 1000, 2_592_000_000)
    hosts = {"skyclaw": env.text("SKYCLAW_COORDINATOR_HOST", host), "broker": env.text("BROKER_HOST", host)}
    commands = env.listed("BROKER_COMMANDS")
    body_max = env.integer("SPINE_DIALECT_BODY_MAX_BYTES", 4 * MIB, 1024, 64 * MIB)
    result_max = env.integer("SPINE_DIALECT_RESULT_MAX_BYTES", 2 * MIB, 1024, 64 * MIB)
    node_id = env.optional("SKYCLAW_COORDINATOR_NODE_ID")
    for name, port in ports.items():
        if port and not tokens[name]:
            needs = {"skyclaw": "SKYCLAW_TOKEN", "broker": "BOT_TOKEN and WORKER_TOKEN"}[name]
            env.faults.append(f"SPINE_{name.upper()}_PORT: a port for that dialect alone needs {needs}")
    if ports["skyclaw"] and ports["skyclaw"] == ports["broker"]:
        env.faults.append("SPINE_BROKER_PORT: the same port is SPINE_SKYCLAW_PORT; a dialect's port is its alone")
    for name, port in ports.items():
        if port and port == own:
            env.faults.append(f"SPINE_{name.upper()}_PORT: the same port is SPINE_PORT; a dialect's port is its alone")
    nobody: tuple[str, ...] = ()
    peers = env.custom("SKYCLAW_PEER_URLS", base_urls, nobody)
    if peers and not shared:
        env.faults.append(
            "SKYCLAW_PEER_URLS: a spine on an embedded store has no peers; take the variable out, and where one "
            "machine is not enough, let several spines share one PostgreSQL"
        )
    return {
        name: Dialect(
            tokens=tokens[name],
            lease_ms=leases[name],
            timeout_ms=timeout_ms,
            host=hosts[name],
            port=ports[name],
            node_id=node_id,
            peers=peers,
            commands=commands,
            body_max_bytes=body_max,
            result_max_bytes=result_max,
        )
        if tokens[name]
        else None
        for name in tokens
    }


def _tokens(env: EnvReader, taken: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """Return digest → whom for a dialect's tokens: all of them or none; none may be another's."""
    given = {variable: env.secret(variable) for variable in names}
    found: dict[str, str] = {}
    for variable, token in given.items():
        if token is None:
            if any(given.values()):
                env.faults.append(f"{variable}: missing; this dialect needs {' and '.join(names)}")
            continue
        digest = token_digest(token)
        if len(token) < TOKEN_LEAST:
            env.faults.append(f"{variable}: a token needs at least {TOKEN_LEAST} characters; `spine token` makes one")
        elif digest in taken:
            env.faults.append(f"{variable}: the same token stands for {taken[digest]}; give each role its own")
        found[digest] = taken[digest] = names[variable]
    return found
