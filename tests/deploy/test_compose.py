"""The Compose project as files: every setting can be set, every service has its limits, no token goes astray."""

import importlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose" / "compose.yaml").read_text()
PROJECT = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
EXAMPLE = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / "compose" / "env.example").read_text(), re.MULTILINE))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
ROLES = {"spine": "spine", "head": "head", "left-claw": "claw", "right-claw": "claw", "chat": "chat"}

# What a person does not set in .env, and why.
TOKENS = {
    "HEAD_TOKEN",
    "HEAD_TOKENS",
    "LEFT_CLAW_TOKEN",
    "LEFT_CLAW_TOKENS",
    "RIGHT_CLAW_TOKEN",
    "RIGHT_CLAW_TOKENS",
    "VIEWER_TOKEN",
    "VIEWER_TOKENS",
    "CHAT_TOKEN",
    "CHAT_TOKENS",
    "CLAW_TOKENS",
    "SPINE_TOKEN",
    "SPINE_TOKEN_FILE",
    "SKYCLAW_TOKEN",
    "BOT_TOKEN",
    "WORKER_TOKEN",
    "SPINE_BACKUP_SECRET_ACCESS_KEY",
    "SPINE_BLOB_SECRET_ACCESS_KEY",
    "SPINE_DATABASE_URL",  # of compose.ha.yaml alone
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OPENCLAW_GATEWAY_TOKEN",
    "OPENCLAW_GATEWAY_TOKEN_FILE",
    "OPENCLAW_GATEWAY_PASSWORD",
    "DISPATCH_WEBHOOK_SECRET",
    "DISCORD_TOKEN",
    "DISCORD_TOKEN_FILE",
    "CHAT_NOTICES_SECRET",
    "CHAT_NOTICES_SECRET_FILE",
    "CHAT_HOOK_TOKEN",
    "CHAT_HOOK_TOKEN_FILE",
}
FOR_TESTS = {"SPINE_KILL_POINT", "SPINE_KILL_POINT_FILE", "TRACEPARENT"}
BY_THE_IMAGE = {
    *("SPINE_HOST", "SPINE_PORT", "SPINE_DATA_DIR", "CLAW_STATE_DIR", "HEAD_STATE_DIR", "HEAD_SKILLS_DIR"),
    *("CHAT_STATE_DIR", "CHAT_LISTEN"),
}
IN_THE_STATE_FOLDER = {"CLAW_WORK_DIR", "SPINE_DISPATCH_HOME", "DISPATCH_LABELS_PATH", "DISPATCH_CONFIG_DIR"}
BY_COMPOSE = {"SPINE_BASE_URL", "CLAW_NAME", "DISPATCH_HOST"}
NEEDS_A_MOUNT = {"SPINE_SKILL_MD_PATH", "SPINE_TOKEN_DIGESTS", "SPINE_NOTICES_FILE", "RUNNER_STATE_DIR"}
OF_A_GATEWAY_BESIDE_IT = {"OPENCLAW_GATEWAY_PORT", "OPENCLAW_CONFIG_PATH", "OPENCLAW_STATE_DIR", "OPENCLAW_HOME"}
# compose.skyclaw.yaml and compose.broker.yaml say where a dialect listens; a worker's id is its claw's name.
BY_A_DIALECT = {
    *("SPINE_SKYCLAW_PORT", "SKYCLAW_COORDINATOR_PORT", "SKYCLAW_COORDINATOR_HOST", "SKYCLAW_PEER_URLS"),
    *("SPINE_BROKER_PORT", "BROKER_PORT", "BROKER_HOST", "WORKER_ID"),
}
# Of enqueue-shell, not of the loop; of a person's dispatch, not of a claw's.
OF_A_COMMAND = {"SKYCLAW_COORDINATOR_URL", "SKYCLAW_COORDINATOR_URLS", "DISPATCH_TARGET"}
BY_CHAT_OPENCLAW = {"OPENCLAW_ALLOWED", "OPENCLAW_PREFIX", "OPENCLAW_ANNOUNCE"}
NOT_SET = {
    *(*TOKENS, *FOR_TESTS, *BY_THE_IMAGE, *IN_THE_STATE_FOLDER, *BY_COMPOSE, *NEEDS_A_MOUNT, *OF_A_GATEWAY_BESIDE_IT),
    *(*BY_A_DIALECT, *OF_A_COMMAND, *BY_CHAT_OPENCLAW),
}
# A claw's gateway in .env does not make it one of the chat front: compose.chat-openclaw.yaml does.
FOR_A_CLAW_ALONE = {"OPENCLAW_GATEWAY_URL"}
# Each claw has its own.
OF_ONE_CLAW = {"CLAW_TARGETS", "CLAW_CAPABILITIES"}
# Not the program's, but the containers'.
OF_THE_PROJECT = {
    "SPINE_PUBLISH": "127.0.0.1:36725",
    "SKYCLAW_PUBLISH": "127.0.0.1:8787",
    "BROKER_PUBLISH": "127.0.0.1:8000",
    "CHAT_PUBLISH": "127.0.0.1:36727",
    "PROXY_PUBLISH": "443",
    "SPINE_STOP_GRACE": "45s",
    "CLAW_STOP_GRACE": "75s",
    "SPINE_MEMORY": "1g",
    "CLAW_MEMORY": "2g",
    "CLAW_PIDS": "1024",
    "CLAW_TMP": "1g",
    "HEAD_POLICY": "policy.toml",
    "DATABASE_MEMORY": "1g",
    "PROMETHEUS_PUBLISH": "127.0.0.1:9090",
    "PROMETHEUS_MEMORY": "512m",
    "PROMETHEUS_CONFIG": "observability/prometheus.yml",
    "PROMETHEUS_ALERTS": "observability/alerts.yml",
}
# A person's, besides those that `make tokens` makes.
OF_CHAT = [("discord.token", None), ("chat-notices.secret", None)]
OWN_TOKENS = {
    "spine": [("head.token", None), ("left-claw.token", None), ("right-claw.token", None), ("chat.token", None)],
    "head": [("head.token", "token")],
    "left-claw": [("left-claw.token", "token")],
    "right-claw": [("right-claw.token", "token")],
    "chat": [("chat.token", "token"), *OF_CHAT],
}


def settings(role: str) -> dict[str, str]:
    """Return a role's settings with their defaults; a claw's are also those that it hands on to `spine-dispatch`."""
    roles = ("dispatch", "claw") if role == "claw" else (role,)
    rows = [setting for one in roles for setting in importlib.import_module(f"{one}.settings").SETTINGS]
    not_its_own = FOR_A_CLAW_ALONE if role == "chat" else set()
    return {setting.name: setting.default for setting in rows if setting.name not in not_its_own}


@pytest.mark.parametrize("service", ROLES)
def test_every_setting_reaches_its_container(service: str) -> None:
    environment = SERVICES[service]["environment"]
    wanted = set(settings(ROLES[service])) - NOT_SET
    expected = {name: f"${{{name}:-}}" for name in wanted - OF_ONE_CLAW}
    expected |= {name: f"${{{service.replace('-', '_').upper()}_{name[5:]}:-}}" for name in wanted & OF_ONE_CLAW}
    assert {name: value for name, value in environment.items() if name in wanted} == expected


@pytest.mark.parametrize("role", ["spine", "claw", "head", "chat"])
def test_the_example_has_every_setting_with_its_default(role: str) -> None:
    wanted = {name: default for name, default in settings(role).items() if name not in NOT_SET | OF_ONE_CLAW}
    assert {name: EXAMPLE.get(name) for name in wanted} == wanted


def test_the_example_has_nothing_else() -> None:
    known = settings("spine") | settings("claw") | settings("head") | settings("chat")
    one = {f"{side}_{name}": "" for side in ("LEFT", "RIGHT") for name in OF_ONE_CLAW}
    others = {name: value for name, value in EXAMPLE.items() if name not in known}
    assert others == OF_THE_PROJECT | one
    assert set(EXAMPLE) & NOT_SET == BY_CHAT_OPENCLAW


def test_the_example_and_the_project_name_the_same_variables_with_the_same_defaults() -> None:
    text = "".join(file.read_text() for file in sorted((ROOT / "compose").glob("compose*.yaml")))
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert used.pop("SPINAL_CORD_VERSION") == VERSION
    assert set(used) | wanted == set(EXAMPLE)
    # An empty value is the program's own default.
    assert {name: value for name, value in used.items() if value} == OF_THE_PROJECT


GATEWAY = {
    "secrets": ["gateway.token"],
    "environment": {
        "OPENCLAW_GATEWAY_URL": (
            "${OPENCLAW_GATEWAY_URL:?say in .env where the gateway is, by an address that leads out of a container}"
        ),
        "OPENCLAW_GATEWAY_TOKEN_FILE": "/run/secrets/gateway.token",
    },
}
ADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "notices": (
        "notices.json",
        {"spine": {"secrets": ["notices.json"], "environment": {"SPINE_NOTICES_FILE": "/run/secrets/notices.json"}}},
    ),
    "gateway": ("gateway.token", {"left-claw": GATEWAY, "right-claw": GATEWAY}),
    "s3": (
        "backup.secret",
        {
            "spine": {
                "secrets": ["backup.secret"],
                "environment": {
                    "SPINE_BACKUP_URL": "${SPINE_BACKUP_URL:?say in .env where backups go, such as s3://bucket/prefix}",
                    "SPINE_BACKUP_SECRET_ACCESS_KEY_FILE": "/run/secrets/backup.secret",
                },
            }
        },
    ),
    "blobs": (
        "blobs.secret",
        {
            "spine": {
                "secrets": ["blobs.secret"],
                "environment": {
                    "SPINE_BLOB_URL": "${SPINE_BLOB_URL:?say in .env where blobs are kept, such as s3://bucket/prefix}",
                    "SPINE_BLOB_SECRET_ACCESS_KEY_FILE": "/run/secrets/blobs.secret",
                },
            }
        },
    ),
    "traces": (
        "collector.headers",
        {
            "spine": {
                "secrets": ["collector.headers"],
                "environment": {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": (
                        "${OTEL_EXPORTER_OTLP_ENDPOINT:?say in .env where the collector is, such as https://host:4318}"
                    ),
                    "OTEL_EXPORTER_OTLP_HEADERS_FILE": "/run/secrets/collector.headers",
                },
            }
        },
    ),
}


@pytest.mark.parametrize("name", ADDED)
def test_what_is_added_has_one_secret_as_a_file_for_those_that_need_it(name: str) -> None:
    secret, services = ADDED[name]
    added = yaml.safe_load((ROOT / "compose" / f"compose.{name}.yaml").read_text())
    assert added["secrets"] == {secret: {"file": f"secrets/{secret}"}}
    assert added["services"] == services


@pytest.mark.parametrize("service", ROLES)
def test_limits_of_a_service(service: str) -> None:
    found = SERVICES[service]
    assert set(SERVICES) == set(ROLES)
    assert found["image"] == f"spinal-cord/{ROLES[service]}:${{SPINAL_CORD_VERSION:-{VERSION}}}"
    assert found["build"] == {"context": "..", "dockerfile": "images/Dockerfile", "target": ROLES[service]}
    assert found["restart"] == "unless-stopped"
    assert (found["init"], found["read_only"]) == (True, True)
    assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert found["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert found["mem_limit"]
    assert found["pids_limit"]
    assert [entry.split(":")[0] for entry in found["tmpfs"]] == ["/tmp"]
    assert "healthcheck" not in found, "the image's own"
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "user", "extra_hosts"} & found.keys()
    assert found.get("depends_on", {}) == ({} if service == "spine" else {"spine": {"condition": "service_healthy"}})


def test_a_stop_leaves_time_to_drain() -> None:
    def seconds(service: str) -> int:
        return int(re.search(r"(\d+)s\}?$", SERVICES[service]["stop_grace_period"]).group(1))

    claw = settings("claw")
    assert seconds("spine") > int(settings("spine")["SPINE_DRAIN_SECONDS"])
    for service in ("left-claw", "right-claw"):
        # Beside the drain: asking the worker to end, which has its grace for the job and 10 s to report.
        assert seconds(service) > int(claw["CLAW_DRAIN_SECONDS"]) + int(claw["CLAW_KILL_GRACE_SECONDS"]) + 10
    assert seconds("head") >= 15
    assert seconds("chat") >= 15


def test_each_service_gets_its_own_token_only() -> None:
    mounted = {
        service: [(s["source"], s.get("target")) if isinstance(s, dict) else (s, None) for s in found["secrets"]]
        for service, found in SERVICES.items()
    }
    assert mounted == OWN_TOKENS
    assert PROJECT["secrets"] == {name: {"file": f"secrets/{name}"} for name, _ in OWN_TOKENS["spine"] + OF_CHAT}
    for service, found in SERVICES.items():
        named = {name: value for name, value in found["environment"].items() if "TOKEN" in name}
        roles = ("head", "left-claw", "right-claw", "chat")
        of_the_spine = {f"{role.replace('-', '_').upper()}_TOKEN_FILE": f"/run/secrets/{role}.token" for role in roles}
        own = {"SPINE_TOKEN_FILE": "/run/secrets/token"}
        of_discord = {"DISCORD_TOKEN_FILE": "/run/secrets/discord.token"}
        assert named == {"spine": of_the_spine, "chat": own | of_discord}.get(service, own)


def test_only_the_spine_is_published_and_only_on_loopback() -> None:
    assert {service: found["ports"] for service, found in SERVICES.items() if "ports" in found} == {
        "spine": ["${SPINE_PUBLISH:-127.0.0.1:36725}:36725"]
    }
    assert PROJECT["networks"] == {"inner": {"internal": True}, "edge": {}, "outside": {}}
    joined = {service: found["networks"] for service, found in SERVICES.items()}
    out = ["inner", "outside"]
    assert joined == {
        **{"spine": ["inner", "edge"], "head": ["inner"]},
        **dict.fromkeys(("left-claw", "right-claw", "chat"), out),
    }


def test_the_chat_front_is_there_when_its_profile_is_asked_for_alone() -> None:
    assert {service: found["profiles"] for service, found in SERVICES.items() if "profiles" in found} == {
        "chat": ["chat"]
    }


class _Loader(yaml.SafeLoader):
    """Takes Compose's own tag for a list in the place of another as that list."""


_Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))  # type: ignore[arg-type]


def test_a_gateway_in_discord_s_place_has_its_secrets_as_files_and_one_port_on_loopback() -> None:
    text = (ROOT / "compose" / "compose.chat-openclaw.yaml").read_text()
    added = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    chat = added["services"].pop("chat")
    assert added["services"] == {}
    named = [s if isinstance(s, str) else s["source"] for s in chat["secrets"]]
    assert named == ["chat.token", "chat-notices.secret", "chat-hook.token", "gateway.token"]
    assert added["secrets"] == {name: {"file": f"secrets/{name}"} for name in named if name not in PROJECT["secrets"]}
    assert chat["ports"] == ["${CHAT_PUBLISH:-127.0.0.1:36727}:36727"]
    assert {name: value for name, value in chat["environment"].items() if name.endswith("_FILE")} == {
        "DISCORD_TOKEN_FILE": "",
        "OPENCLAW_GATEWAY_TOKEN_FILE": "/run/secrets/gateway.token",
        "CHAT_HOOK_TOKEN_FILE": "/run/secrets/chat-hook.token",
        "CHAT_NOTICES_SECRET_FILE": "${OPENCLAW_ANNOUNCE:+/run/secrets/chat-notices.secret}",
    }
    assert chat["environment"].keys() >= FOR_A_CLAW_ALONE | BY_CHAT_OPENCLAW


def test_what_must_stay_is_in_volumes() -> None:
    mounted = {service: found["volumes"] for service, found in SERVICES.items()}
    assert mounted == {
        "spine": ["spine-data:/data", "spine-backups:/backups"],
        "head": ["head-state:/state"],
        "left-claw": ["left-claw-state:/state"],
        "right-claw": ["right-claw-state:/state"],
        "chat": ["chat-state:/state"],
    }
    assert set(PROJECT["volumes"]) == {v.split(":")[0] for volumes in mounted.values() for v in volumes}


def test_nothing_but_what_an_image_is_made_of_goes_to_the_engine() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert taken == {"LICENSE", "README.md", "images/healthcheck.py", "pyproject.toml", "requirements", "services"}


def test_secrets_and_env_files_are_never_committed() -> None:
    for path in ("compose/.env", "compose/secrets/head.token", "backups/spine.tar"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0, path


def test_make_help_names_the_targets() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=180).stdout
    targets = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", said, re.MULTILINE))
    wanted = {"images", "tokens", "up", "down", "ps", "logs", "backup", "restore", "soak"}
    assert wanted <= targets.keys()


@pytest.mark.parametrize(
    ("dialect", "port", "secrets"),
    [
        ("skyclaw", "${SKYCLAW_PUBLISH:-127.0.0.1:8787}:8787", {"SKYCLAW_TOKEN_FILE": "skyclaw.token"}),
        (
            "broker",
            "${BROKER_PUBLISH:-127.0.0.1:8000}:8000",
            {"BOT_TOKEN_FILE": "bot.token", "WORKER_TOKEN_FILE": "worker.token"},
        ),
    ],
)
def test_a_dialect_has_its_tokens_as_files_and_a_port_of_its_own(
    dialect: str, port: str, secrets: dict[str, str]
) -> None:
    added = yaml.safe_load((ROOT / "compose" / f"compose.{dialect}.yaml").read_text())
    spine = added["services"].pop("spine")
    assert added["services"] == {}
    assert spine["secrets"] == list(secrets.values())
    assert spine["ports"] == [port]
    own = {f"SPINE_{dialect.upper()}_PORT": int(port.rpartition(":")[2])}
    assert spine["environment"] == own | {name: f"/run/secrets/{file}" for name, file in secrets.items()}
    assert added["secrets"] == {file: {"file": f"secrets/{file}"} for file in secrets.values()}
