"""The bundle's files: linted, documented, and the controller that builds releases and runs one playbook at a time."""

import fcntl
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pytest
import yaml

from spine.queue.access import RESERVED

from .conftest import ROOT

ANSIBLE = ROOT / "ansible"
ROLES = ["chat", "claw", "cluster", "head", "host", "spine"]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


controller = load(ANSIBLE / "controller.py")
SECRETS = ANSIBLE / "roles/spine/templates/secrets.conf.j2"


@pytest.mark.timeout(600)
def test_lint_in_its_strictest_profile() -> None:
    program = str(Path(sys.executable).with_name("ansible-lint"))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
    }
    done = subprocess.run(
        [program, "--offline", "--profile", "production", "--nocolor", "-q"],
        cwd=ANSIBLE, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_specified_and_has_its_role_s_prefix(role: str) -> None:
    defaults = yaml.safe_load((ANSIBLE / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8"))
    specs = yaml.safe_load((ANSIBLE / "roles" / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    told = {name: option.get("default", "") for name, option in options.items()}
    assert told == defaults
    assert [name for name in defaults if not name.startswith(f"{role}_")] == []
    assert [name for name, option in options.items() if not option.get("description")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_told_of_in_prose(role: str) -> None:
    blocks = (ANSIBLE / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8").strip().split("\n\n")
    assert [block for block in blocks if not block.startswith("#")] == []


def test_every_task_uses_a_module_of_ansible_itself() -> None:
    found = set()
    for path in [*ANSIBLE.glob("*.yml"), *(ANSIBLE / "tasks").glob("*.yml"), *(ANSIBLE / "roles").rglob("*.yml")]:
        if path.parent.name in ("tasks", "handlers"):
            found |= modules(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert {name for name in found if not name.startswith("ansible.builtin.")} == set()


WORDS = frozenset(
    {
        "become",
        "block",
        "changed_when",
        "check_mode",
        "delegate_to",
        "diff",
        "environment",
        "failed_when",
        "listen",
        "loop",
    }
    | {"become_user", "loop_control", "name", "no_log", "notify", "register", "retries", "delay", "run_once", "until"}
    | {"vars", "when"}
)


def modules(tasks: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        found |= modules(task["block"]) if "block" in task else task.keys() - WORDS
    return found


# --- settings --------------------------------------------------------------------------------------------------------

fleet = load(ANSIBLE / "plugins/filter/fleet.py")


def test_settings_are_read_alike_by_a_shell(tmp_path: Path) -> None:
    values = {"CLAW_GIT_NAME": """it's "the" $HOME `id` \\ end""", "LEASE_SECONDS": 60, "CLAW_KEEP_WORKSPACES": True}
    (tmp_path / "env").write_text(fleet.settings(values) + "\n")
    script = 'set -a; . ./env; printf "%s|" "$CLAW_GIT_NAME" "$LEASE_SECONDS" "$CLAW_KEEP_WORKSPACES"'
    said = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == """it's "the" $HOME `id` \\ end|60|1|"""


@pytest.mark.parametrize("bad", [{"lease": 1}, {"A B": 1}, {"LEASE_SECONDS": "6\n0"}, {"X": "a\x00"}])
def test_settings_that_are_none_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        fleet.settings(bad)


TOLD = {
    "native": [
        "LoadCredential=gateway-token:/etc/spinal-cord/secrets/a.gateway-token",
        "Environment=OPENCLAW_GATEWAY_TOKEN_FILE=%d/gateway-token",
    ],
    "container": ["Environment=OPENCLAW_GATEWAY_TOKEN_FILE=/run/secrets/gateway-token"],
}


@pytest.mark.parametrize("mode", TOLD)
def test_units_of_a_claw_are_told_of_its_gateway_s_token_and_not_the_token(mode: str) -> None:
    template = (ANSIBLE / "roles/claw/templates/gateway.conf.j2").read_text(encoding="utf-8")
    made = jinja2.Environment(trim_blocks=True, autoescape=False).from_string(template)  # noqa: S701 - no page
    text = made.render(
        ansible_managed="x", host_modes={"claw": mode}, claw_gateway_file="/etc/spinal-cord/secrets/a.gateway-token"
    )
    assert text.splitlines() == ["# x", "[Service]", *TOLD[mode]]


SPINES = {
    "a": {"ansible_host": "192.0.2.1"},
    "b": {"spine_url": "https://b.example"},
    "c": {"ansible_host": "192.0.2.3"},
}


@pytest.mark.parametrize(
    ("hosts", "of", "urls"),
    [
        (["a"], "claw", "http://192.0.2.1:36725"),
        (["a", "b", "c"], "c", "http://192.0.2.3:36725,http://192.0.2.1:36725,https://b.example"),  # its own first
        (["a", "b"], "x", "http://192.0.2.1:36725,https://b.example"),
        (["a", "b"], "y", "https://b.example,http://192.0.2.1:36725"),  # another one begins elsewhere
    ],
)
def test_a_machine_is_told_of_every_spine(hosts: list[str], of: str, urls: str) -> None:
    assert fleet.spine_urls(hosts, SPINES, of) == urls


def test_several_spines_share_what_they_store() -> None:
    both = {"spine_database_url": "postgresql://u@x,y/jobs", "spine_settings": {"SPINE_BLOB_URL": "s3://bucket"}}
    hostvars = {"a": both, "b": both | {"spine_settings": {}}, "c": both | {"spine_database_url": ""}, "d": {}}
    assert fleet.unshared("abcd", hostvars) == ["b", "c", "d"]
    own = {
        "another database": both | {"spine_database_url": "postgresql://u@x,y/others"},
        "another bucket": both | {"spine_settings": {"SPINE_BLOB_URL": "s3://bucket/other"}},
    }
    alike = {"spine_database_url": "postgresql://v@y,x/jobs?connect_timeout=3"}
    assert fleet.unshared(["a", *own, "e"], {"a": both, **own, "e": both | alike}) == list(own)


@pytest.mark.parametrize("mode", ["native", "container"])
def test_a_spine_has_its_database_s_password_in_a_file_alone(mode: str, tmp_path: Path) -> None:
    password = "a-password-that-nobody-sees"
    given = {
        "spine_database_url": f"postgresql://spine:{password}@db/spine",
        "spine_blob_secret": "",
        "spine_collector_headers": "",
        "host_modes": {"spine": mode},
        "host_config": "/etc/spinal-cord",
        "spine_notices": {},
    }
    (tmp_path / "inventory").write_text("localhost ansible_connection=local\n")
    shown = ["{{ spine_own }}", "{{ lookup('ansible.builtin.template', '" + str(SECRETS) + "').splitlines() }}"]
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "--inventory", tmp_path / "inventory", "localhost",
         "--extra-vars", f"@{ANSIBLE / 'roles/spine/vars/main.yml'}", "--extra-vars", json.dumps(given),
         "--module-name", "ansible.builtin.debug", "--args", json.dumps({"msg": shown})],
        capture_output=True, text=True, timeout=180, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert password not in done.stdout
    assert "SPINE_BLOB_SECRET" not in done.stdout
    in_settings = '"SPINE_DATABASE_URL_FILE": "/etc/spinal-cord/database.url"'
    assert (in_settings in done.stdout) is (mode == "container")
    assert '"LoadCredential=database.url:/etc/spinal-cord/database.url"' in done.stdout
    assert '"Environment=SPINE_DATABASE_URL_FILE=%d/database.url"' in done.stdout


def test_a_node_whose_store_is_the_spine_has_a_token_by_its_id() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"claw_name": "left"},
        "c": {"claw_name": "right", "cluster_node_id": "third"},
        "d": {"cluster_redis_url": "redis://192.0.2.9"},
    }
    assert fleet.node_names("abcd", hostvars) == ["a", "left", "third"]


STORES = {
    "the spine": (
        {},
        ["LoadCredential=", "LoadCredential=token:/etc/spinal-cord/secrets/node-1.token"],
        ['CLUSTER_BACKEND="spine"', 'OPENCLAW_NODE_ID="node-1"', 'SPINE_BASE_URL="http://192.0.2.1:36725"'],
    ),
    "a Redis": (
        {"cluster_redis_url": "redis://192.0.2.9:6379/0"},
        ["LoadCredential=", "UnsetEnvironment=SPINE_TOKEN_FILE"],
        ['CLUSTER_BACKEND="redis"', 'OPENCLAW_NODE_ID="node-1"', 'REDIS_URL="redis://192.0.2.9:6379/0"'],
    ),
    "a Redis that asks for a password": (
        {"cluster_redis_url": "redis://192.0.2.9", "cluster_redis_password": "a-password-that-nobody-sees"},
        [
            "LoadCredential=",
            "UnsetEnvironment=SPINE_TOKEN_FILE",
            "LoadCredential=redis.password:/etc/spinal-cord/secrets/redis.password",
            "Environment=REDIS_PASSWORD_FILE=%d/redis.password",
        ],
        ['CLUSTER_BACKEND="redis"', 'OPENCLAW_NODE_ID="node-1"', 'REDIS_URL="redis://192.0.2.9"'],
    ),
}


@pytest.mark.parametrize("store", STORES)
def test_a_node_is_told_of_one_store_and_has_its_secret_as_a_credential(store: str) -> None:
    given, unit, settings = STORES[store]
    variables = {
        "ansible_managed": "x",
        "host_config": "/etc/spinal-cord",
        "cluster_node_id": "node-1",
        "cluster_spine_url": "http://192.0.2.1:36725",
        "cluster_redis_url": "",
        "cluster_redis_password": "",
        "cluster_settings": {},
    }
    folder = ANSIBLE / "roles/cluster/templates"
    made = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701 - no page
    made.filters |= {"combine": lambda one, other: one | other, "fleet_settings": fleet.settings}
    laid = made.from_string((folder / "store.conf.j2").read_text(encoding="utf-8")).render(variables | given)
    assert [line for line in laid.splitlines() if line[0] != "#"] == ["[Service]", *unit]
    env = made.from_string((folder / "cluster.env.j2").read_text(encoding="utf-8")).render(variables | given)
    assert env.splitlines()[1:] == settings


NODES = {
    "a password in the address": {"cluster_redis_url": "redis://:hidden-word@192.0.2.9"},
    "a user's password in the address": {"cluster_redis_url": "rediss+sentinel://user:hidden-word@h,i/name"},
    "a password without an address": {"cluster_redis_password": "hidden-word"},
    "a password among the settings": {"cluster_settings": {"REDIS_PASSWORD": "hidden-word"}},
    "a user in the address": {"cluster_redis_url": "redis://user@192.0.2.9", "cluster_redis_password": "hidden-word"},
}


@pytest.mark.parametrize("case", NODES)
def test_a_node_s_password_is_given_in_one_place(case: str, tmp_path: Path) -> None:
    (tmp_path / "inventory").write_text("localhost ansible_connection=local\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "--inventory", tmp_path / "inventory", "localhost",
         "--extra-vars", json.dumps({"cluster_redis_url": "", "cluster_settings": {}} | NODES[case]),
         "--module-name", "ansible.builtin.include_role", "--args", "name=cluster tasks_from=given"],
        capture_output=True, text=True, timeout=180,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")},
    )  # fmt: skip
    assert (done.returncode == 0) is (case == "a user in the address"), done.stdout + done.stderr
    assert done.returncode == 0 or "a password goes into cluster_redis_password" in done.stdout
    assert "hidden-word" not in done.stdout + done.stderr


SPOKEN_TO = {
    "native, by Discord": (
        {"host_modes": {"chat": "native"}, "chat_discord_token": "hidden-word"},
        [
            "LoadCredential=discord-token:/etc/spinal-cord/secrets/chat.discord-token",
            "Environment=DISCORD_TOKEN_FILE=%d/discord-token",
        ],
        ['CHAT_LISTEN="127.0.0.1:36727"', 'SPINE_BASE_URL="http://192.0.2.1:36725"'],
        "",
    ),
    "a container, by Discord and with notices": (
        {
            "host_modes": {"chat": "container"},
            "chat_discord_token": "hidden-word",
            "chat_notices_secret": "whsec_hidden-word",
            "chat_listen": "192.0.2.4:36727",
        },
        [
            "Environment=DISCORD_TOKEN_FILE=/run/secrets/discord-token",
            "Environment=CHAT_NOTICES_SECRET_FILE=/run/secrets/notices-secret",
        ],
        ['SPINE_BASE_URL="http://192.0.2.1:36725"'],
        "--publish=192.0.2.4:36727:36727",
    ),
    "a container, by the gateway of its machine": (
        {
            "host_modes": {"chat": "container"},
            "chat_hook_token": "hidden-word",
            "chat_gateway_token": "hidden-word",
            "chat_settings": {"OPENCLAW_GATEWAY_URL": "http://127.0.0.1:18789"},
        },
        [
            "Environment=CHAT_HOOK_TOKEN_FILE=/run/secrets/hook-token",
            "Environment=OPENCLAW_GATEWAY_TOKEN_FILE=/run/secrets/gateway-token",
        ],
        [
            'CHAT_LISTEN="127.0.0.1:36727"',
            'OPENCLAW_GATEWAY_URL="http://127.0.0.1:18789"',
            'SPINE_BASE_URL="http://192.0.2.1:36725"',
        ],
        "--network=host",
    ),
}


@pytest.mark.parametrize("case", SPOKEN_TO)
def test_a_chat_front_has_its_secrets_as_files_alone_and_one_place_where_it_listens(case: str, tmp_path: Path) -> None:
    given, unit, settings, network = SPOKEN_TO[case]
    defaults = yaml.safe_load((ANSIBLE / "roles/chat/defaults/main.yml").read_text(encoding="utf-8"))
    variables = defaults | {"chat_spine_url": "http://192.0.2.1:36725", "host_config": "/etc/spinal-cord"} | given
    (tmp_path / "inventory").write_text("localhost ansible_connection=local\n")
    folder = ANSIBLE / "roles/chat/templates"
    shown = {
        name: f"{{{{ lookup('ansible.builtin.template', '{folder}/{name}.j2').splitlines() }}}}"
        for name in ("secrets.conf", "chat.env")
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "--inventory", tmp_path / "inventory", "localhost",
         "--extra-vars", f"@{ANSIBLE / 'roles/host/vars/main.yml'}",
         "--extra-vars", f"@{ANSIBLE / 'roles/chat/vars/main.yml'}",
         "--extra-vars", json.dumps(variables),
         "--module-name", "ansible.builtin.debug",
         "--args", json.dumps({"msg": shown | {"network": "{{ chat_network }}"}})],
        capture_output=True, text=True, timeout=180,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout[done.stdout.index("{") :])["msg"]
    assert [line for line in said["secrets.conf"] if line[0] != "#"] == ["[Service]", *unit]
    assert [line for line in said["chat.env"] if line[0] != "#"] == settings
    assert network in ("", *said["network"])
    assert "hidden-word" not in done.stdout


CALLS = {
    "a spine elsewhere": ("http://192.0.2.11:36725", "", {}, False),
    "the machine's spine": ("http://127.0.0.1:36725", "", {}, True),
    "the machine's gateway": ("http://192.0.2.11:36725", "a-token", {}, True),
    "it by its socket": ("http://192.0.2.11:36725", "a-token", {"OPENCLAW_GATEWAY_URL": "ws://localhost:1"}, True),
    "a gateway elsewhere": ("http://192.0.2.11:36725", "a-token", {"OPENCLAW_GATEWAY_URL": "wss://g.example"}, False),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_claw_in_a_container_shares_the_network_of_what_it_calls_there(case: str, tmp_path: Path) -> None:
    url, token, settings, shared = CALLS[case]
    variables = {"claw_spine_url": url, "claw_gateway_token": token, "claw_settings": settings, "claw_docker_args": []}
    (tmp_path / "inventory").write_text("localhost ansible_connection=local\n")
    said = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "--inventory", tmp_path / "inventory", "localhost",
         "--extra-vars", f"@{ANSIBLE / 'roles/host/vars/main.yml'}",
         "--extra-vars", f"@{ANSIBLE / 'roles/claw/vars/main.yml'}",
         "--extra-vars", json.dumps(variables),
         "--module-name", "ansible.builtin.debug", "--args", f"msg={docker_args()}"],
        capture_output=True, text=True, timeout=180, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    ).stdout  # fmt: skip
    assert ("--network=host" in said) is shared, said


def docker_args() -> str:
    """Return what the role gives `docker run`, as it stands there."""
    tasks = yaml.safe_load((ANSIBLE / "roles/claw/tasks/systemd.yml").read_text(encoding="utf-8"))
    (found,) = [task["vars"]["host_docker_args"] for task in tasks if "host_docker_args" in task.get("vars", {})]
    return str(found)


BEFORE = {
    "nothing is there": ("", [], False),
    "the release that comes is there": ("releases/2", ["/var/lib/spinal-spine/spine.db"], False),
    "another release is there": ("releases/1", ["/var/lib/spinal-spine/spine.db"], True),
    "it was taken off, and its store was kept": ("", ["/var/lib/spinal-spine/spine.db"], False),
}


@pytest.mark.parametrize("case", BEFORE)
def test_a_store_is_backed_up_by_the_release_that_had_it_before_another(case: str) -> None:
    current, there, wanted = BEFORE[case]
    tasks = yaml.safe_load((ANSIBLE / "roles/spine/tasks/main.yml").read_text(encoding="utf-8"))
    (condition,) = [task["when"] for task in tasks if task.get("ansible.builtin.include_tasks") == "backup.yml"]
    made = jinja2.Environment(autoescape=False)  # noqa: S701 - no page
    made.filters["basename"] = os.path.basename
    known = {"spine_database_url": "", "spine_data": "/var/lib/spinal-spine", "host_release": "2"}
    seen = {"host_there": dict.fromkeys(there, "0600 0 0"), "host_seen": {"current": current}}
    assert bool(made.compile_expression(condition)(**known, **seen)) is wanted


# --- the controller --------------------------------------------------------------------------------------------------


def test_a_release_is_named_by_its_version_and_sources() -> None:
    name = controller.name()
    version, _, digest = name.rpartition("-")
    assert version == "0.1.0"
    assert len(digest) == 12
    assert controller.name() == name
    named = {str(path.relative_to(ROOT)) for path in controller.files()}
    assert {"pyproject.toml", "requirements/claw.txt", "systemd/spinal-claw@.service", "services/claw/cli.py"} <= named
    assert not {path for path in named if path.startswith(("tests/", "docs/", "ansible/", ".git/"))}


@pytest.mark.parametrize(
    ("python", "wanted"),
    [
        ("3.11", ["async-timeout==5.0.1", "click==8.5.1", "typing-extensions==4.16.0"]),
        ("3.12", ["click==8.5.1", "typing-extensions==4.16.0"]),
        ("3.13", ["audioop-lts==0.2.2", "click==8.5.1"]),
    ],
)
def test_a_release_brings_what_the_machine_s_python_wants_whatever_the_controller_s(
    python: str, wanted: list[str]
) -> None:
    lock = (
        "async-timeout==5.0.1 ; python_full_version < '3.11.3' \\\n    --hash=sha256:aa\n"
        "audioop-lts==0.2.2 ; python_full_version >= '3.13' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "click==8.5.1 \\\n    --hash=sha256:dd\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:ee\n"
        "typing-extensions==4.16.0 ; python_full_version < '3.13' \\\n    --hash=sha256:ff\n"
    )
    left = controller.for_python(lock, python)
    assert re.findall(r"^(\S+) \\$", left, re.MULTILINE) == wanted
    assert "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:ee\n" in left
    assert left.count("--hash") == 1 + sum(2 if name.startswith("audioop") else 1 for name in wanted)


SAID = {
    "no engine": ({}, "linux-x86_64", "no Docker with buildx answers here to build their images"),
    "another platform": (
        {"version": "linux/amd64\n", "buildx": "Name: default\nPlatforms: linux/amd64, linux/amd64/v2, linux/386\n"},
        "linux-aarch64",
        "Docker builds linux/amd64 here, and cannot build linux/arm64",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_images_that_cannot_be_built_here(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, platform, told = SAID[case]
    monkeypatch.setattr(controller, "RELEASES", tmp_path)
    monkeypatch.setattr(controller, "asked", lambda *words: answers.get(words[1]))
    with pytest.raises(SystemExit, match=told):
        controller.images(controller.name(), [platform])


def test_images_of_another_checkout_are_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "RELEASES", tmp_path)
    with pytest.raises(SystemExit, match=r"no longer 0[.]1[.]0-000000000000"):
        controller.images("0.1.0-000000000000", ["linux-x86_64"])


def test_names_that_no_claw_may_have_are_refused_before_the_spine_would() -> None:
    said = (ANSIBLE / "tasks/fleet_inventory.yml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"select\('in', \[(.*)\]\)", said)
    assert {name.strip(" '") for name in listed.split(",")} == RESERVED
    (refused,) = re.findall(
        r"\[!a-z0-9\]\* \| (.*)\)$", (ROOT / "install.sh").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(refused.split(" | ")) == RESERVED


def play(inventory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ANSIBLE / "controller.py"), "play", "--inventory", str(inventory), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_no_inventory(tmp_path: Path) -> None:
    done = play(tmp_path / "hosts.yml", "site")
    assert done.returncode == 78
    assert done.stderr == (
        f"deploy: there is no {tmp_path / 'hosts.yml'}; copy ansible/inventory/example.yml and fill it in\n"
    )


def test_a_second_deployment_at_the_same_time_does_nothing(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all:\n")
    with (tmp_path / ".hosts.yml.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        done = play(inventory, "site")
    assert done.returncode == 75
    assert done.stderr == f"deploy: another one works on {inventory} (pid 4711); nothing was done\n"


BAD = {
    "a typo in a group": (
        {"spine": ["a"], "claw": ["b"]},
        "The inventory has the groups claw; known are spine, head, claws, cluster and chat.",
    ),
    "no spine": ({"claws": ["a"]}, "The group spine needs one machine, or several that share"),
    "two spines": ({"spine": ["a", "b"]}, "SPINE_BLOB_URL in spine_settings, which a, b lacks, or has of its own."),
    "a claw with a role's name": ({"spine": ["a"], "claws": ["head"]}, "Names of claws (head) must be"),
    "a node with a role's name": (
        {"spine": ["a"], "claws": ["b"], "cluster": ["b", "viewer"]},
        "Names of claws (b) and nodes (b, viewer) must be",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_an_inventory_that_cannot_be_right_stops_before_any_machine_is_asked(tmp_path: Path, case: str) -> None:
    groups, told = BAD[case]
    children = {group: {"hosts": dict.fromkeys(hosts)} for group, hosts in groups.items()}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"children": children}}))
    done = play(inventory, "site")
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in " ".join(done.stdout.split()), done.stdout
    assert "UNREACHABLE" not in done.stdout
    assert not (tmp_path / "secrets").exists()


def test_two_equal_tokens_stop_before_any_machine_is_asked(tmp_path: Path) -> None:
    inventory, secrets = tmp_path / "hosts.yml", tmp_path / "secrets"
    inventory.write_text(
        yaml.safe_dump({"all": {"children": {"spine": {"hosts": {"a": None}}, "claws": {"hosts": {"b": None}}}}})
    )
    secrets.mkdir(mode=0o700)
    for name in ("head", "b"):
        (secrets / f"{name}.token").write_text("one-token-for-two\n")
    done = play(inventory, "site")
    assert done.returncode == 2, done.stdout
    assert "have the same token" in " ".join(done.stdout.split()), done.stdout
    assert "one-token-for-two" not in done.stdout + done.stderr
    assert "UNREACHABLE" not in done.stdout
