"""The collector that is sent jobs' traces, as the settings name it: what its makers call these variables, they are.

What else OpenTelemetry's packages know they read themselves.
"""

import re
import ssl
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import msgspec

from contract.env import EnvReader, Secret, Setting, base_url
from contract.outcall import check_url

SETTINGS = (
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "collector that is sent each job's trace, as `http://host:4318`; needs the extra `otel`",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        "headers for it, as `name=value`, comma-separated, URL-encoded: its token, for one",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_CERTIFICATE", "", "file of the authorities that vouch for it; the usual ones when not set"
    ),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "", "file of the certificate that the spine shows it"),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_KEY", "", "file of its key, without a password; not set when it is in the same"),
)
MISSING = "opentelemetry is not installed; pip install 'spinal-cord[otel]'"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """Where traces go, without a slash at the end; what is sent with each call; files in PEM, None for none."""

    url: str
    headers: tuple[tuple[str, Secret], ...] = ()
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def read(env: EnvReader) -> Collector | None:
    """Return the collector, None without one. What cannot be used is noted as a fault, also where there is none."""
    url = env.custom("OTEL_EXPORTER_OTLP_ENDPOINT", _address, None)
    headers = _headers(env)
    authorities = env.custom("OTEL_EXPORTER_OTLP_CERTIFICATE", _authorities, None)
    certificate, key = _own_certificate(env)
    if url is None:
        return None
    if not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        env.faults.append(f"OTEL_EXPORTER_OTLP_ENDPOINT: {MISSING}")
        return None
    return Collector(url=url, headers=headers, certificate=authorities, client_certificate=certificate, client_key=key)


def _address(text: str) -> str:
    found = base_url(text)
    if check_url(found).query or "?" in found:
        raise ValueError("a query in the address is not taken; OTEL_EXPORTER_OTLP_HEADERS is for tokens")
    return found


def _headers(env: EnvReader) -> tuple[tuple[str, Secret], ...]:
    """Read the headers. A fault says which of them is wrong, and nothing of it: it is a secret."""
    found = []
    for n, part in enumerate((env.secret("OTEL_EXPORTER_OTLP_HEADERS") or "").split(","), 1):
        if not part.strip():
            continue
        name, _, value = (unquote(half).strip() for half in part.partition("="))
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            env.faults.append(
                f"OTEL_EXPORTER_OTLP_HEADERS: header {n} is not name=value in ASCII; a comma in a value is written %2C"
            )
            continue
        found.append((name, Secret(value)))
    return tuple(found)


def _authorities(path: str) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as e:  # before OSError, which it is
        raise ValueError(f"{path} holds no certificate in PEM") from e
    except OSError as e:
        raise ValueError(f"cannot read {path}: {e.__class__.__name__}") from e
    return path


def _own_certificate(env: EnvReader) -> tuple[str | None, str | None]:
    certificate, key = (env.optional(f"OTEL_EXPORTER_OTLP_CLIENT_{what}") for what in ("CERTIFICATE", "KEY"))
    if certificate is None:
        if key is not None:
            env.faults.append("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: missing; it goes with the key")
        return None, None
    for path in (certificate, key):
        try:
            if path is not None:
                Path(path).read_bytes()
        except OSError as e:
            which = "KEY" if path == key else "CERTIFICATE"
            env.faults.append(f"OTEL_EXPORTER_OTLP_CLIENT_{which}: cannot read {path}: {e.__class__.__name__}")
            return None, None
    try:
        # An empty password: where the key has one, nobody is there to be asked.
        ssl.create_default_context().load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError):
        env.faults.append(
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: it and its key are no pair in PEM, or the key has a password"
        )
    return certificate, key


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it is in
        return False
