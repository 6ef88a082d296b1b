"""TLS in front of the spine, as docs/howto/tailnet.md has it: nothing is held back, and plain HTTP is refused."""

import http.client
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.support.spine_process import free_port
from tests.support.stack import REPO, Stack

from contract.client import SpineClient
from contract.errors import Unavailable
from contract.head_client import HeadClient
from contract.retry import ONCE

pytestmark = pytest.mark.docker

# Proxy and network are found by the labels of the tests; everything else is as it is for a person.
LABELS = """\
services:
  proxy:
    labels: {spine.test: "1", spine.test.pid: "${TEST_OWNER}", spine.test.start: "${TEST_START}"}
"""
TLS = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


class Proxied:
    """A spine and its proxy, without claws, and a certificate that nobody else trusts."""

    def __init__(self, client: docker.DockerClient, folder: Path, image_tag: str) -> None:
        self.stack = Stack(client, folder, image_tag)
        self.port = free_port()
        (self.stack.folder / "proxy.test.yaml").write_text(LABELS)
        files = ("compose.yaml", "compose.test.yaml", "compose.proxy.yaml", "proxy.test.yaml")
        self.stack.configure(
            {
                "COMPOSE_FILE": ":".join(str(self.stack.folder / name) for name in files),
                "PROXY_PUBLISH": f"127.0.0.1:{self.port}",
            }
        )
        self.url = f"https://localhost:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.stack.folder / "secrets" / "tls.crt"

    def start(self) -> None:
        """Make tokens and a certificate, and start both."""
        self.stack.make_tokens()
        key = self.certificate.with_name("tls.key")
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        made = [*TLS, *name, "-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(made, check=True, capture_output=True, timeout=180)
        for file in (self.certificate, key):
            file.chmod(0o444)
        self.stack.run("up", "--detach", "--wait", "spine", "proxy")

    def head(self) -> HeadClient:
        return HeadClient(self.url, self.stack.token("head"), retry=ONCE)

    def claw(self) -> SpineClient:
        return SpineClient(self.url, self.stack.token("left-claw"), worker_id="left-claw/1", retry=ONCE)


@pytest.fixture(scope="module")
def proxied(engine: docker.DockerClient, image_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The two, healthy; the proxy's image is built as `up --build` builds it, and goes again."""
    if shutil.which("openssl") is None:
        pytest.fail("openssl is needed for a certificate")
    image = f"spinal-cord/proxy:{image_tag}"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", image, str(REPO / "compose" / "proxy")],
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    made = Proxied(engine, tmp_path_factory.mktemp("proxied"), image_tag)
    try:
        made.start()
        yield made
    finally:
        made.stack.remove()
        engine.images.remove(image)


@pytest.fixture(autouse=True)
def trusted(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is trusted by who is told of it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(proxied.certificate))


def test_a_certificate_of_one_s_own_is_trusted_only_where_it_is_named(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxied.head().health()
    assert proxied.claw().jobs().jobs == []
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="SSLError"):
        proxied.head().health()


def test_a_long_poll_and_a_stream_answer_at_once(proxied: Proxied) -> None:
    heard: list[tuple[str, float]] = []

    def watch() -> None:
        for event in proxied.head().follow_events():
            heard.append((event.event, time.monotonic()))
            if len(heard) == 2:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    claimed: list[tuple[str, float]] = []

    def wait() -> None:
        claimed.extend((job.id, time.monotonic()) for job in proxied.claw().claim(capabilities=["shell"], wait=20))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    waiter.join(2)  # both must be waiting when the job comes
    assert waiter.is_alive()
    begun = time.monotonic()
    job_id = proxied.head().submit({"target": "left-claw", "spec": {"run": "true"}}).id
    waiter.join(30)
    watcher.join(30)
    assert [job for job, _ in claimed] == [job_id]
    assert len(heard) == 2, "nothing came of the stream: it is held back somewhere"
    assert max(at for _, at in [*claimed, *heard]) - begun < 9


def test_a_blob_comes_through_whole(proxied: Proxied) -> None:
    content = os.urandom(24 << 20)
    blob = proxied.head().upload("large", content)
    assert proxied.head().download(blob.id) == content


def test_the_line_for_another_machine_names_the_address_that_was_called(proxied: Proxied) -> None:
    assert f" https://localhost:{proxied.port} " in proxied.head().join_code("elsewhere").command


def test_plain_http_is_refused(proxied: Proxied) -> None:
    connection = http.client.HTTPConnection("localhost", proxied.port, timeout=10)
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"plain HTTP request was sent to HTTPS port" in answer.read()
    connection.close()


def test_a_spine_that_is_made_anew_is_found_again(proxied: Proxied) -> None:
    proxied.stack.run("up", "--detach", "--wait", "--force-recreate", "--no-deps", "spine")
    proxied.stack.until_health("proxy", "healthy")
    assert proxied.head().health()
