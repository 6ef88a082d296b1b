"""What a person adds to the project: aliases of notices, a gateway's token, an object store's secret, Prometheus."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import yaml
from tests.support.engine import image
from tests.support.eventually import eventually
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.mock_model import ANSWER
from tests.support.promtool import CONTEXT
from tests.support.receiver import Receiver
from tests.support.s3_server import KEY_ID, SECRET, S3Server
from tests.support.spine_process import free_port
from tests.support.stack import CLAWS, SERVICES, Stack

pytestmark = pytest.mark.docker

SIGNING = "whsec_" + base64.b64encode(b"a key that signs a notice").decode()
VIEWER = "spn_viewer_of-these-tests-0001"
FILES = {"notices.json": SIGNING, "gateway.token": TOKEN, "backup.secret": SECRET, "viewer.token": VIEWER}
HOLDERS = {
    "notices.json": ["spine"],
    "gateway.token": list(CLAWS),
    "backup.secret": ["spine"],
    "viewer.token": ["spine"],  # and Prometheus
}
# Container and volume are found by the labels of the tests; everything else is as it is for a person.
LABELS = """\
x-labels: &labels {spine.test: "1", spine.test.pid: "${TEST_OWNER}", spine.test.start: "${TEST_START}"}
services: {prometheus: {labels: *labels}}
volumes: {prometheus-data: {labels: *labels}}
"""


@pytest.fixture(scope="module")
def gateway(whole_stack: Stack) -> Iterator[FakeGateway]:
    with FakeGateway(host=whole_stack.here("outside")) as found:
        yield found


@pytest.fixture(scope="module")
def receiver(whole_stack: Stack) -> Iterator[Receiver]:
    made = Receiver(host=whole_stack.here("edge"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def store(whole_stack: Stack) -> Iterator[S3Server]:
    made = S3Server(whole_stack.here("edge")).start("backups")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def watched_at() -> int:
    """The port of Prometheus."""
    return free_port()


@pytest.fixture(scope="module")
def added(
    engine: docker.DockerClient,
    whole_stack: Stack,
    gateway: FakeGateway,
    receiver: Receiver,
    store: S3Server,
    watched_at: int,
) -> Iterator[Stack]:
    """The project with all of it, and afterwards as it was."""
    engine.images.get(image(engine, CONTEXT)).tag("spinal-cord/prometheus", whole_stack.image_tag)
    (whole_stack.folder / "compose.labels.yaml").write_text(LABELS)
    aliases = {"room": {"channel": "webhook", "url": f"{receiver.url}/room", "secrets": [SIGNING]}}
    secrets = whole_stack.folder / "secrets"
    for name, text in {**FILES, "notices.json": json.dumps(aliases)}.items():
        (secrets / name).write_text(f"{text}\n")
        (secrets / name).chmod(0o444)
    before = whole_stack.configure(
        {
            "COMPOSE_FILE": whole_stack.also("notices", "gateway", "s3", "observability", "labels"),
            "PROMETHEUS_PUBLISH": f"127.0.0.1:{watched_at}",
            "OPENCLAW_GATEWAY_URL": gateway.url,
            "SPINE_BACKUP_URL": "s3://backups/here",
            "SPINE_BACKUP_ENDPOINT": store.url,
            "SPINE_BACKUP_ACCESS_KEY_ID": KEY_ID,
        }
    )
    try:
        whole_stack.up()
        yield whole_stack
        assert whole_stack.faults() == []
    finally:
        whole_stack.run("rm", "--stop", "--force", "prometheus")
        whole_stack.configure(before)
        engine.volumes.get(f"{whole_stack.project}_prometheus-data").remove()
        for name in FILES:
            (secrets / name).unlink()
        whole_stack.up()


def test_a_notice_reaches_its_receiver(added: Stack, receiver: Receiver) -> None:
    job_id = added.head.submit({"target": "left-claw", "spec": {"run": "true"}, "notify": ["@room"]}).id
    added.until_status(job_id, "done")
    (call,) = receiver.calls(1)
    assert (call.path, call.json["type"], call.json["subject"]) == ("/room", "spine.job.completed", job_id)
    assert call.headers["webhook-signature"].startswith("v1,")


def test_a_text_becomes_a_session_by_the_token_of_the_secret(added: Stack, gateway: FakeGateway) -> None:
    meta = {"agent": {"id": "main", "model": "mock/answers"}}
    text = {"target": "left-claw", "spec": "What is six times seven?", "requires": ["agent"], "meta": meta}
    job = added.until_status(added.head.submit(text).id, "done", "failed", "dead")
    assert (job.status, job.error, job.result["notes"]) == ("done", None, ANSWER)
    assert [one["auth"]["token"] for one in gateway.connects][-1] == TOKEN
    seen = added.head.submit({"target": "left-claw", "spec": {"run": "env"}}).id
    added.until_status(seen, "done")
    assert [word for word in ("GATEWAY", TOKEN) if word in added.head.read_log(seen).decode()] == []


def test_a_backup_goes_to_the_object_store_by_the_secret(added: Stack, store: S3Server) -> None:
    eventually(lambda: store.keys("backups"), 30, every=0.3, what="a backup")
    assert {key.partition("/")[0] for key in store.keys("backups")} == {"here"}


def asked(port: int, path: str) -> Any:
    """Ask Prometheus; return the data of its answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def test_prometheus_watches_the_spine(added: Stack, watched_at: int) -> None:
    def found() -> dict[str, Any] | None:
        (target,) = asked(watched_at, "targets")["activeTargets"]
        return target if target["health"] == "up" else None

    target = eventually(found, 60, every=0.3, what="a first scrape")
    assert (target["labels"], target["lastError"]) == ({"instance": "spine:36725", "job": "spine"}, "")
    (build,) = asked(watched_at, "query?query=spine_build_info")["result"]
    assert build["metric"]["worker"] == "0"
    there = yaml.safe_load((added.folder / "observability" / "alerts.yml").read_text())["groups"][0]["rules"]
    rules = asked(watched_at, "rules")["groups"][0]["rules"]
    assert [rule["name"] for rule in rules] == [rule["alert"] for rule in there]


def test_prometheus_is_shut_as_the_others_are(added: Stack) -> None:
    attributes = added.container("prometheus").attrs
    host = attributes["HostConfig"]
    assert (attributes["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("10006:10006", True, ["ALL"])
    code, output = added.sh("prometheus", "touch /etc/prometheus/x; grep CapEff /proc/1/status")
    assert (code, output.split()[-1]) == (0, "0" * 16)
    assert "Read-only file system" in output
    assert VIEWER not in json.dumps(attributes) + added.logs("prometheus")


@pytest.mark.parametrize("file", FILES)
def test_a_secret_is_a_file_of_those_that_need_it_and_nowhere_else(added: Stack, file: str) -> None:
    laid = [service for service in SERVICES if added.sh(service, f"test -r /run/secrets/{file}")[0] == 0]
    assert laid == HOLDERS[file]
    for service in SERVICES:
        code, shown = added.sh(service, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
        assert code == 0
        assert FILES[file] not in shown + added.logs(service) + json.dumps(added.container(service).attrs), service
