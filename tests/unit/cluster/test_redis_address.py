"""Redis URLs: what they say, what is wrong with them, and that a password is never shown."""

import pytest

from cluster.redis_address import RedisAddress, read_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://box", RedisAddress((("box", 6379),))),
        ("redis://box:11877/3", RedisAddress((("box", 11877),), db=3)),
        ("redis://[::1]:6400/", RedisAddress((("::1", 6400),))),
        ("rediss://b?ssl_ca_certs=/ca.pem", RedisAddress((("b", 6379),), tls=True, paths={"ssl_ca_certs": "/ca.pem"})),
        (
            "redis+sentinel://a,b:26380,[::2]/mymaster",
            RedisAddress((("a", 26379), ("b", 26380), ("::2", 26379)), service="mymaster"),
        ),
        ("rediss+sentinel://a/my%20own/4", RedisAddress((("a", 26379),), db=4, service="my own", tls=True)),
    ],
)  # fmt: skip
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    assert read_url(url) == address


ENCODE = "what is special in a user, password or option is percent-encoded: / is %2F, ? %3F, @ %40"

HOST = "the host is missing: write redis://host, redis://host:port or redis://:password@host"


def test_logins_are_read_and_never_shown() -> None:
    address = read_url("redis+sentinel://node:p%40ss%3Aw%C3%B6rd@a,b/m/2?sentinel_username=s&sentinel_password=other")
    assert (address.username, address.password) == ("node", "p@ss:wörd")
    assert (address.sentinel_username, address.sentinel_password) == ("s", "other")
    assert address.shown == "redis+sentinel://a:26379,b:26379/m/2"
    assert "wörd" not in repr(address)
    assert "other" not in repr(address)
    assert read_url("redis://node:a@b@box").password == "a@b"
    alone = read_url("redis://:secret@box")
    assert (alone.username, alone.password, alone.shown) == (None, "secret", "redis://box:6379/0")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://box", "a Redis URL begins with one of redis://, rediss://, redis+sentinel://, rediss+sentinel://"),
        ("redis://", HOST),
        ("redis://u:pw@box:port", "what follows the host 'box' is no port from 1 to 65535"),
        ("redis://box:70000", "what follows the host 'box' is no port from 1 to 65535"),
        ("redis://:secret", HOST),
        ("redis://user:secret", "what follows the host 'user' is no port from 1 to 65535"),
        ("redis://u:pw@[::1]x", "what follows the host '::1' is no port from 1 to 65535"),
        ("redis://:se/cret@box", ENCODE),
        ("redis://:se?cret@box", ENCODE),
        ("redis://box/one", "the database 'one' is not a number"),
        ("redis://a,b/0", "several hosts are Sentinels': write redis+sentinel://host,host/name"),
        ("redis+sentinel://a,b", "a URL of Sentinels names the primary they watch: redis+sentinel://host/mymaster"),
        ("redis://box?db=9", "'db' is no option of a Redis URL; these are: ssl_ca_certs, ssl_certfile, ssl_keyfile"),
        ("redis://box?ssl", "the query of a Redis URL is name=value, joined by &"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_url_is_told(url: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_url(url)
    assert str(caught.value) == why
