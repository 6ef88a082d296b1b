"""Redis over TLS: its certificate is checked, and so is the name that it is for."""

from pathlib import Path

import pytest
from tests.support.authority import Authority
from tests.support.engine import opened
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.redis_server import SERVE, Connect, RedisNet

from cluster.backend import Away, Holder, Refused

pytestmark = pytest.mark.docker

TLS = [
    *("--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no"),
    *("--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem"),
]


def test_tls_is_spoken_and_strangers_are_not_trusted(tmp_path: Path, connect: Connect) -> None:
    authority = Authority(tmp_path)
    files = {"server.pem": authority.pem.read_bytes(), "ca.pem": authority.file.read_bytes()}
    with opened() as client:
        net = RedisNet(client, "redis-tls")
        try:
            _, address = net.start([*SERVE, *TLS], files)
            with Proxy(6379, address) as proxy:
                trusting = connect(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.file}")

                def leads() -> bool:
                    try:
                        return trusting.take(Holder("ours", "1"), 30) is not None
                    except Away:
                        return False

                eventually(leads)
                with pytest.raises(Away, match="certificate verify failed"):
                    connect(f"rediss://127.0.0.1:{proxy.port}/0").leader()
                with pytest.raises(Away, match="cannot be reached"):
                    connect(f"redis://127.0.0.1:{proxy.port}/0").leader()
                with pytest.raises(Refused, match=r"^ssl_ca_certs: /nowhere.pem is not there, or may not be read$"):
                    connect(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs=/nowhere.pem").leader()
                # The certificate is for another address.
                with pytest.raises(Away, match="IP address mismatch"):
                    connect(f"rediss://{address}/0?ssl_ca_certs={authority.file}").leader()
        finally:
            net.stop()
