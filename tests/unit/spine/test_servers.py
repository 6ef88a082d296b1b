"""The hosts of a database's address."""

import pytest

from spine.store.engine import StoreUnusable
from spine.store.servers import hosts, name


def named(url: str) -> list[str]:
    return [name(host) for host in hosts(url)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@a/spine", ["a:5432"]),
        ("postgresql://u@a:5433/spine", ["a:5433"]),
        ("postgresql://u@a:5433,b:5434/spine", ["a:5433", "b:5434"]),
        ("postgresql://u@a:5433,b/spine", ["a:5433", "b:5432"]),
        ("postgresql://u@a,b/spine", ["a:5432", "b:5432"]),
        ("postgresql:///spine?host=a,b&port=5433", ["a:5433", "b:5433"]),
        ("postgresql:///spine?hostaddr=10.0.0.1,10.0.0.2", ["10.0.0.1:5432", "10.0.0.2:5432"]),
        ("postgresql://u@[::1]:5433/spine", ["::1:5433"]),
        ("postgresql:///spine", ["the local server:5432"]),
    ],
)
def test_each_host_has_its_port(url: str, expected: list[str]) -> None:
    assert named(url) == expected


def test_what_the_address_says_goes_before_what_is_usual() -> None:
    first, second = hosts("postgresql://u:pass@a,b/spine?connect_timeout=2&target_session_attrs=primary")
    assert (first["host"], second["host"]) == ("a", "b")
    for host in (first, second):
        assert (host["connect_timeout"], host["target_session_attrs"]) == ("2", "primary")
        assert (host["password"], host["keepalives_idle"]) == ("pass", "5")
    assert hosts("postgresql://u@a/spine")[0]["target_session_attrs"] == "read-write"


def test_every_text_can_be_sent_whatever_the_address_says() -> None:
    for url in ("postgresql://u@a/spine", "postgresql://u@a/spine?client_encoding=LATIN1"):
        assert hosts(url)[0]["client_encoding"] == "UTF8"


def test_ports_that_do_not_fit_the_hosts_are_refused() -> None:
    with pytest.raises(StoreUnusable, match="as many ports as hosts"):
        hosts("postgresql:///spine?host=a,b,c&port=1,2")
