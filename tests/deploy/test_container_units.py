"""The units of container mode, on a machine that has been handed the engine: the same promises, save the hand-over."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.deploy import native
from tests.deploy.native import TOKENS, Calls
from tests.support.engine import labels
from tests.support.eventually import eventually
from tests.support.fake_discord import TOKEN as DISCORD_TOKEN
from tests.support.fake_discord import FakeDiscord, User
from tests.support.spine_process import free_port
from tests.support.stack import build_images
from tests.support.systemd_host import Host, Hosts

from chat.settings import SETTINGS as CHAT_SETTINGS
from claw.settings import SETTINGS as CLAW_SETTINGS
from dispatch.settings import SETTINGS as DISPATCH_SETTINGS
from head.settings import SETTINGS as HEAD_SETTINGS
from spine.settings import SETTINGS as SPINE_SETTINGS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first one builds the images

UNITS = Path(__file__).resolve().parents[2] / "systemd" / "container"
SPINE, HEAD, LEFT = "spinal-spine.service", "spinal-head.service", "spinal-claw@left-claw.service"
CHAT = "spinal-chat.service"
IMAGES = ("spine", "claw", "head", "chat")
GATEWAY = "gateway-token-0001"
TOLD_OF_A_GATEWAY = "[Service]\nEnvironment=OPENCLAW_GATEWAY_TOKEN_FILE=/run/secrets/gateway-token\n"
# On the test's machine the engine is not a service.
DOCKER = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


class Containers:
    """The machine, and its containers on the engine."""

    def __init__(self, host: Host, calls: Calls, client: docker.DockerClient, prefix: str) -> None:
        self.host, self.calls, self._client, self._prefix = host, calls, client, prefix

    def id(self, name: str) -> str:
        """Return the id of a container that runs, else nothing."""
        found = self._client.containers.list(filters={"name": f"^{self._prefix}-{name}$"})
        return str(found[0].id) if found else ""

    def until_another(self, name: str, before: str) -> str:
        """Wait until another container of this name runs."""
        return eventually(lambda: (found := self.id(name)) != before and found, 60, every=0.2, what=f"{name} anew")


@pytest.fixture(scope="module")
def containers(
    hosts: Hosts, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    shared, prefix, port = tmp_path_factory.mktemp("shared"), f"spine-test-{os.getpid()}", free_port()
    tag = build_images(engine)
    host = hosts.start("container-mode", engine=True, shared=shared, read_only={"/checkout": native.ROOT})
    network = host.container.attrs["HostConfig"]["NetworkMode"]
    owner = " ".join(f"--label={name}={value}" for name, value in labels().items())
    host.run(f"ln -s {shared}/etc /etc/spinal-cord && mkdir -p {shared}/etc/secrets && chmod 700 {shared}/etc/secrets")
    address = f"SPINE_BASE_URL=http://{prefix}-spine:36725\n"
    host.put(
        {
            "/etc/systemd/system/docker.service": DOCKER,
            f"{shared}/etc/spine.env": native.SPINE_ENV,
            f"{shared}/etc/tokens.digests": native.digests(),
            f"{shared}/etc/policy.toml": native.POLICY,
            f"{shared}/etc/head.env": address,
            f"{shared}/etc/claw-left-claw.env": address + native.QUICK,
            f"{shared}/etc/images.env": (
                "".join(
                    f"{role.upper()}_IMAGE=spinal-cord/{role}:{tag}\n" for role in ("spine", "claw", "head", "chat")
                )
                + f"SPINAL_VAR={shared}/var\nSPINAL_ETC={shared}/etc\nSPINAL_RUN={shared}/run\nSPINAL_PREFIX={prefix}\n"
                + f'SPINE_DOCKER_ARGS="--publish=127.0.0.1:{port}:36725 --network={network} {owner}"\n'
                + f'CLAW_DOCKER_ARGS="--network={network} {owner}"\nHEAD_DOCKER_ARGS="--network={network} {owner}"\n'
                + f'CHAT_DOCKER_ARGS="--network={network} {owner}"\n'
            ),
        }
    )
    secrets = {f"{name}.token": token for name, token in TOKENS.items()} | {"left-claw.gateway-token": GATEWAY}
    host.put({f"{shared}/etc/secrets/{name}": f"{secret}\n" for name, secret in secrets.items()}, mode=0o600)
    host.put({f"/etc/systemd/system/{LEFT}.d/gateway.conf": TOLD_OF_A_GATEWAY})
    host.run("cp /checkout/systemd/container/*.service /checkout/systemd/container/*.timer /etc/systemd/system/")
    host.run(f"systemctl daemon-reload && systemctl start {SPINE} {HEAD} {LEFT}")
    calls = Calls("127.0.0.1", port)
    eventually(calls.ready, 60, every=0.2, what="the spine")
    yield Containers(host, calls, engine, prefix)
    host.run(f"systemctl stop {SPINE} {HEAD} {LEFT}", seconds=240)
    hosts.remove(host)


@pytest.fixture
def ada(containers: Containers) -> Iterator[User]:
    """A person whom the chat front answers; it has been started."""
    host, etc = containers.host, "/etc/spinal-cord"
    address = host.run("sed -n 's/^SPINE_BASE_URL=//p' /etc/spinal-cord/head.env").text.strip()
    told = "[Service]\nEnvironment=DISCORD_TOKEN_FILE=/run/secrets/discord-token\n"
    with FakeDiscord(host=f"{host.address.rpartition('.')[0]}.1") as discord:
        person = discord.user("ada")
        lines = f"SPINE_BASE_URL={address}\nDISCORD_API_URL={discord.url}\nALLOWED_USER_ID={person.id}\n"
        folder = host.run(f"readlink {etc}").text.strip()
        host.put({f"{folder}/chat.env": lines, f"/etc/systemd/system/{CHAT}.d/secrets.conf": told})
        host.put({f"{folder}/secrets/chat.discord-token": f"{DISCORD_TOKEN}\n"}, mode=0o600)
        host.run(f"systemctl daemon-reload && systemctl start {CHAT}")
        discord.await_connected(seconds=180)
        yield person
        host.run(f"systemctl stop {CHAT}", seconds=100)


def words(unit: str) -> list[str]:
    text = (UNITS / unit).read_text().replace("\\\n", " ")
    return shlex.split(next(line for line in text.splitlines() if line.startswith("ExecStart=")))


# What a claw hands on to spine-dispatch and is not in its state folder, nor on the machine beside the container.
OF_DISPATCH = tuple(
    row for row in DISPATCH_SETTINGS if row.name in ("LOKI_PUSH_URL", "DISPATCH_WEBHOOK_URL", "DISPATCH_WEBHOOK_SECRET")
)
OF_THE_SPINE = {"SPINE_HOST", "SPINE_PORT", "SPINE_DATA_DIR", "SPINE_SKILL_MD_PATH"}
COORDINATORS = {"SKYCLAW_COORDINATOR_URL", "SKYCLAW_COORDINATOR_URLS"}


@pytest.mark.parametrize(
    ("unit", "settings", "own"),
    [
        # What the image sets itself, and what commands of people read; tokens come as files.
        ("spinal-spine.service", SPINE_SETTINGS, OF_THE_SPINE),
        ("spinal-head.service", HEAD_SETTINGS, {"HEAD_STATE_DIR", "HEAD_SKILLS_DIR", *COORDINATORS}),
        ("spinal-claw@.service", CLAW_SETTINGS + OF_DISPATCH, {"CLAW_STATE_DIR", "CLAW_WORK_DIR"}),
        ("spinal-chat.service", CHAT_SETTINGS, {"CHAT_STATE_DIR", "CHAT_NOTICES_SECRET"}),
    ],
)
def test_every_setting_is_handed_on(unit: str, settings: tuple[tuple[str, str, str], ...], own: set[str]) -> None:
    said = words(unit)
    passed = {said[i + 1].partition("=")[0] for i, word in enumerate(said) if word == "--env"}
    tokens = {name for name, *_ in settings if name.endswith(("_TOKEN", "_TOKENS"))}
    # A secret comes as a file, like a token: what is in an environment, an inspection of the container shows.
    secrets = {
        *("SPINE_BACKUP_SECRET_ACCESS_KEY", "SPINE_BLOB_SECRET_ACCESS_KEY", "SPINE_DATABASE_URL"),
        *("OTEL_EXPORTER_OTLP_HEADERS", "DISPATCH_WEBHOOK_SECRET"),
    } & {name for name, *_ in settings}
    assert passed >= {f"{name}_FILE" for name in secrets}
    passed -= {f"{name}_FILE" for name in secrets}
    tokens |= secrets
    # An address that is a secret too comes either way.
    passed -= {"DISPATCH_WEBHOOK_URL_FILE"}
    kill_points = {"SPINE_KILL_POINT", "SPINE_KILL_POINT_FILE", "TRACEPARENT"}
    assert passed == {name for name, *_ in settings} - own - tokens - kill_points


@pytest.mark.parametrize("unit", [path.name for path in sorted(UNITS.glob("*.service")) if "health" not in path.name])
def test_containers_are_as_shut_in_as_those_of_compose(unit: str) -> None:
    said = " ".join(words(unit))
    for flag in (
        "--rm",
        "--init",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges:true",
        "--pull never",
        "--memory ",
        "--pids-limit ",
    ):
        assert flag in said, flag


def test_every_key_of_the_units_is_known(containers: Containers) -> None:
    host = containers.host
    host.run("ln -s spinal-claw@.service /etc/systemd/system/spinal-claw@x.service")
    names = ("spine.service", "head.service", "claw@x.service", "chat.service", "health.service", "health.timer")
    units = " ".join(f"spinal-{name}" for name in names)
    try:
        assert host.run(f"cd /etc/systemd/system && systemd-analyze verify --recursive-errors=one {units}").text == ""
    finally:
        host.run("rm /etc/systemd/system/spinal-claw@x.service")


def test_a_job_is_done_and_reviewed_and_no_container_has_what_is_not_its_own(containers: Containers) -> None:
    calls, host = containers.calls, containers.host
    job_id = calls.submit(target="left-claw", spec={"run": "id -u; env"}, needsReview=True, label="accept-me")
    calls.until(job_id, "done", seconds=180)
    eventually(lambda: (calls.job(job_id)["review"] or {}).get("state") == "accepted", 30, what="the head's review")
    own: dict[str, list[str]] = {
        "spine": [],
        "head": [TOKENS["head"]],
        "claw-left-claw": [TOKENS["left-claw"], GATEWAY],
    }
    for name, tokens in own.items():
        for look, seen in (
            ("cat /proc/[0-9]*/environ", []),
            ("cat /run/secrets/* /etc/spinal-cord/secrets/* /etc/spinal-cord/*", tokens),
        ):
            inside = f"docker exec {containers.id(name)} sh -c {shlex.quote(look)} 2>/dev/null"
            said = host.run(inside, check=False).text
            assert [found for found in (*TOKENS.values(), GATEWAY) if found in said] == seen, name


def test_the_chat_front_answers_from_a_container_that_has_its_own_secrets_alone(
    containers: Containers, ada: User
) -> None:
    host, container = containers.host, containers.id("chat")
    job_id = containers.calls.submit(target="right-claw", spec="kept")
    dm = ada.dm()
    dm.send(f"status {job_id}")
    assert "queued" in dm.await_reply().content
    health = f"docker inspect --format '{{{{.State.Health.Status}}}}' {container}"
    eventually(lambda: host.run(health).text.strip() == "healthy", 90, every=0.2, what="a good health")
    name = host.run(f"docker inspect --format '{{{{.Name}}}}' {container}").text.strip().lstrip("/")
    ask = f'c = HTTPConnection("{name}", 36727, timeout=20); c.request("GET", "/health"); print(c.getresponse().status)'
    assert host.run(f"python3 -c 'from http.client import *; {ask}'").text == "200\n", "where notices come in"
    secrets = [*TOKENS.values(), DISCORD_TOKEN, GATEWAY]
    shown = host.run(f"docker exec {container} sh -c 'cat /proc/[0-9]*/environ'; docker inspect {container}").text
    assert [secret for secret in secrets if secret in shown] == []
    kept = host.run(f"docker exec {container} sh -c 'id -u; cat /run/secrets/*'").text
    assert kept.startswith("10004\n")
    assert [secret for secret in secrets if secret in kept] == [TOKENS["chat"], DISCORD_TOKEN]


def test_a_client_that_is_killed_is_started_again_with_a_fresh_container(containers: Containers) -> None:
    before = containers.id("spine")
    job_id = containers.calls.submit(spec="kept", target="right-claw")
    containers.host.run(f"kill -9 {containers.host.main_pid(SPINE)}")
    containers.until_another("spine", before)
    eventually(containers.calls.ready, 60, every=0.2, what="the spine")
    assert containers.calls.job(job_id)["status"] == "queued"


def test_one_that_hangs_is_restarted(containers: Containers) -> None:
    host, before = containers.host, containers.id("head")
    # It cannot hear that it is to stop: no need to wait for that as long as the unit does.
    impatient = "[Service]\nExecStop=\nExecStop=/usr/bin/docker stop --time 1 ${SPINAL_PREFIX}-head\n"
    host.put({f"/etc/systemd/system/{HEAD}.d/impatient.conf": impatient})
    host.run("systemctl daemon-reload")
    # Docker's init is the first process of the container, the head its child.
    host.run(f"docker exec {before} sh -c 'kill -STOP $(cut -d\" \" -f1 /proc/1/task/1/children)'")
    health = f"docker inspect --format '{{{{.State.Health.Status}}}}' {before}"
    eventually(lambda: host.run(health).text.strip() == "unhealthy", 90, every=0.5, what="a bad health")
    host.run("systemctl start spinal-health.service")
    containers.until_another("head", before)
    host.run(f"rm -r /etc/systemd/system/{HEAD}.d; systemctl daemon-reload")


def test_settings_that_cannot_be_used_end_in_a_failed_unit(containers: Containers) -> None:
    host = containers.host
    file = "/etc/spinal-cord/head.env"
    host.run(f"cp -p {file} {file}.kept; echo SPINE_BASE_URL=nowhere >> {file}")
    host.run(f"systemctl restart {HEAD}", check=False)
    eventually(
        lambda: host.unit(HEAD, "ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "78"},
        30,
    )
    host.run(f"mv {file}.kept {file}; systemctl reset-failed; systemctl start {HEAD}")


def test_a_claw_that_is_stopped_gives_its_job_back(containers: Containers) -> None:
    job_id = containers.calls.submit(target="left-claw", spec={"run": "sleep 60"})
    containers.calls.until(job_id, "running", seconds=180)
    containers.host.run(f"systemctl stop {LEFT}", seconds=100)
    job = containers.calls.job(job_id)
    assert (job["status"], job["attempts"]) == ("queued", 0)
