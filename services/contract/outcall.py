"""One HTTP call to a server that is nobody's but its owner's: a webhook, a gateway, a log store.

A total deadline, no redirect, a bounded look at the answer, certificates checked, no proxy of the environment; and no
retries: whoever calls has a queue of its own.
"""

import functools
import http.client
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from contract import __version__
from contract.deadline import Deadline

BODY_MOST = 64 * 1024
_PORTS = {"http": 80, "https": 443}


class Answer(NamedTuple):
    """What a server answered; of a long body the beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """No whole answer came: the address is wrong, the server is away, is not whom it says, or takes too long."""


def check_url(url: str) -> SplitResult:
    """Read an address that may be called.

    Raises:
        ValueError: naming what is wrong, without a word of the address itself, which may be a secret.
    """
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError("an address has no spaces and no letters beyond ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise ValueError("the address cannot be read") from e
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ValueError("expected an address such as https://host/path")
    if parts.username is not None or parts.fragment:
        raise ValueError("a user in the address, or a #, is not taken")
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """Send a body and return the answer, whatever its status.

    Raises:
        NoAnswer
    """
    parts = check_url(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"User-Agent": f"spinal-cord/{__version__}", "Connection": "close", **headers}
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port or _PORTS[parts.scheme])
    connection.default_port = _PORTS[parts.scheme]  # not named in Host: there are proxies that know no host by it
    try:
        trusted = trust() if parts.scheme == "https" else None
        deadline = Deadline(seconds)  # from here: what is trusted is read once, by the first call
        plain = deadline.connect(host, connection.port)
        try:
            with deadline.guard(plain):
                connection.sock = trusted.wrap_socket(plain, server_hostname=host) if trusted else plain
                connection.request("POST", path, body, sent)
                answer = connection.getresponse()
                return Answer(answer.status, dict(answer.headers.items()), answer.read(BODY_MOST))
        finally:
            plain.close()
    except TimeoutError as e:
        raise NoAnswer(f"no answer within {seconds:g} s") from e
    except ssl.SSLCertVerificationError as e:
        raise NoAnswer(f"its certificate is not trusted: {e.verify_message}") from e
    except (OSError, http.client.HTTPException, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else type(e).__name__
        raise NoAnswer(f"no answer: {reason}") from e
    finally:
        connection.close()


@functools.cache
def trust() -> ssl.SSLContext:
    """Return what certificates are checked against."""
    # SSL_CERT_FILE, as other programs have it: an authority of one's own can be named.
    named = ssl.get_default_verify_paths().cafile
    if not named:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH as named  # here: the first call is long after the start
    return ssl.create_default_context(cafile=named)
