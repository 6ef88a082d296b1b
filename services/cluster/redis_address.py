"""Where a Redis is: one address, or the Sentinels that know it. Reads URLs; needs no Redis library.

    redis://[user[:password]@]host[:6379][/db]
    rediss://…                                                      the same over TLS
    redis+sentinel://[user[:password]@]host[:26379],host…/name[/db]  the primary that these Sentinels call `name`
    rediss+sentinel://…                                             the same over TLS, the Sentinels too

A query may say `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` (paths), and of Sentinels that ask for a password of
their own `sentinel_username` and `sentinel_password`.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from contract.env import Secret

PORT, SENTINEL_PORT = 6379, 26379
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
_PATHS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis is, and how one gets in. `service` is the primary's name at the Sentinels, None without them."""

    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    service: str | None = None
    tls: bool = False
    username: str | None = None
    password: Secret | None = None
    paths: dict[str, str] = field(default_factory=dict)
    """Of certificates and keys, by their names in the query."""
    sentinel_username: str | None = None
    sentinel_password: Secret | None = None

    @property
    def shown(self) -> str:
        """The address as it may be shown: without a user or a password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        scheme = ("rediss" if self.tls else "redis") + ("+sentinel" if self.service else "")
        return f"{scheme}://{hosts}/" + (f"{self.service}/{self.db}" if self.service else str(self.db))


def read_url(url: str) -> RedisAddress:
    """Read a URL.

    Raises:
        ValueError: it cannot be used; the text says why and never holds a password.
    """
    scheme, mark, rest = url.strip().partition("://")
    if not mark or scheme not in _SCHEMES:
        raise ValueError(f"a Redis URL begins with one of {', '.join(f'{s}://' for s in _SCHEMES)}")
    authority = rest.partition("?")[0].partition("/")[0]
    if "@" in rest[len(authority) :]:
        raise ValueError("what is special in a user, password or option is percent-encoded: / is %2F, ? %3F, @ %40")
    login, at, hosts = authority.rpartition("@")
    sentinels = scheme.endswith("+sentinel")
    # The hosts of Sentinels are a list, which urlsplit takes for one host with an odd port.
    parts = urlsplit(f"{scheme}://h/{rest[len(authority) :].lstrip('/')}")
    username, _, password = login.partition(":")
    options = _options(parts.query, sentinels)
    service, db = _place(parts.path.strip("/"), sentinels)
    return RedisAddress(
        hosts=tuple(_host(each, SENTINEL_PORT if sentinels else PORT) for each in _each(hosts, sentinels)),
        db=db, service=service, tls=scheme.startswith("rediss"),
        username=unquote(username) or None if at else None,
        password=_secret(unquote(password)) if at else None,
        paths={name: options[name] for name in _PATHS if name in options},
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=_secret(options.get("sentinel_password")),
    )  # fmt: skip


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def _each(hosts: str, sentinels: bool) -> list[str]:
    found = hosts.split(",")
    if len(found) > 1 and not sentinels:
        raise ValueError("several hosts are Sentinels': write redis+sentinel://host,host/name")
    return found


def _host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
    else:
        host, _, rest = text.partition(":")
        rest = rest and f":{rest}"
    # Without an @ what follows may be a password: it is not shown.
    if not host:
        raise ValueError("the host is missing: write redis://host, redis://host:port or redis://:password@host")
    if rest and not (rest.startswith(":") and rest[1:].isdecimal() and 0 < int(rest[1:]) < 65536):
        raise ValueError(f"what follows the host {host!r} is no port from 1 to 65535")
    return host, int(rest[1:]) if rest else port


def _place(path: str, sentinels: bool) -> tuple[str | None, int]:
    """Read what is behind the hosts: the name at the Sentinels, then the number of the database."""
    service: str | None = None
    if sentinels:
        service, _, path = path.partition("/")
        if not service:
            raise ValueError("a URL of Sentinels names the primary they watch: redis+sentinel://host/mymaster")
    if path and not path.isdecimal():
        raise ValueError(f"the database {path!r} is not a number")
    return service and unquote(service), int(path or 0)


def _options(query: str, sentinels: bool) -> dict[str, str]:
    known = _PATHS + (_SENTINEL_OPTIONS if sentinels else ())
    try:
        options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise ValueError("the query of a Redis URL is name=value, joined by &") from None
    for name in options:
        if name not in known:
            raise ValueError(f"{name!r} is no option of a Redis URL; these are: {', '.join(known)}")
    return options
