"""Hosts of a database that say nothing, or that are not there."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from spine.store.servers import Servers


def test_many_who_wait_for_a_host_that_says_nothing_wait_together() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        servers = Servers(f"postgresql://u@127.0.0.1:{port}/spine?connect_timeout=2")
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            faults = [opening.exception(30) for opening in [pool.submit(servers.open) for _ in range(32)]]
        servers.close()
    assert all(isinstance(fault, psycopg.OperationalError) for fault in faults)
    assert time.monotonic() - begun < 8  # and not four times two seconds


def test_each_host_says_why_it_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
    servers = Servers(f"postgresql://u:a-password@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/spine")
    with pytest.raises(psycopg.OperationalError) as raised:
        servers.open()
    servers.close()
    for port in ports:
        assert f"127.0.0.1:{port}: connection failed" in str(raised.value)
    assert "a-password" not in str(raised.value)
