"""The collector of traces: what the settings say, and every fault, in which nothing of a secret stands."""

import subprocess
from pathlib import Path

import pytest

from contract.env import Secret, SettingsError
from spine.collector_settings import Collector
from spine.settings import from_env

TOKENS = {"HEAD_TOKEN": "head-token", "LEFT_CLAW_TOKEN": "left-token", "RIGHT_CLAW_TOKEN": "right-token"}
URL, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
AUTHORITIES = "OTEL_EXPORTER_OTLP_CERTIFICATE"
OWN, KEY = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"


def collector(**given: str) -> Collector | None:
    return from_env(TOKENS | given).collector


def faults(**given: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        from_env(TOKENS | given)
    return raised.value.faults


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate and its key, and the same key with a password."""
    folder = tmp_path_factory.mktemp("pair")
    make = "req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.pem -days 1 -subj /CN=collector"
    for command in (make, "rsa -aes256 -passout pass:hush -in own.key -out shut.key"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True, timeout=180)
    return folder


def test_there_is_none_unless_told() -> None:
    assert collector() is None
    assert collector(**{HEADERS: "authorization=x"}) is None


def test_an_address_has_no_slash_at_its_end() -> None:
    assert collector(**{URL: "http://127.0.0.1:4318/"}) == Collector(url="http://127.0.0.1:4318")


def test_headers_are_read_as_their_standard_has_them_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization=Bearer%20a%2Cb==, x-of = spaces are taken ,\n")
    settings = from_env(TOKENS | {URL: "https://c", f"{HEADERS}_FILE": str(file)})
    assert settings.collector is not None
    assert settings.collector.headers == (("authorization", Secret("Bearer a,b==")), ("x-of", "spaces are taken"))
    assert "Bearer" not in repr(settings)


@pytest.mark.parametrize("text", ["hush", "a=1,hush hush=2", "a=hush%0d%0ab", "a=hush\u00e9", "=hush", "a="])
def test_a_header_that_is_none_is_named_by_its_place(text: str) -> None:
    (fault,) = faults(**{HEADERS: text})
    place = 2 if "," in text else 1
    assert fault == f"{HEADERS}: header {place} is not name=value in ASCII; a comma in a value is written %2C"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("collector:4318", "'collector:4318' is not an http or https address"),
        ("http://me:hush@collector", "a user in the address, or a #, is not taken"),
        ("http://collector?key=hush", "a query in the address is not taken; OTEL_EXPORTER_OTLP_HEADERS is for tokens"),
        ("http://collector:99999", "the address cannot be read"),
    ],
)
def test_what_is_no_address(url: str, fault: str) -> None:
    assert faults(**{URL: url}) == [f"{URL}: {fault}"]


def test_it_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [f"{URL}: opentelemetry is not installed; pip install 'spinal-cord[otel]'"]
    monkeypatch.setattr("spine.collector_settings.find_spec", lambda _name: None)
    assert faults(**{URL: "http://c"}) == needed

    def without_parents(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("spine.collector_settings.find_spec", without_parents)
    assert faults(**{URL: "http://c"}) == needed
    assert collector() is None


def test_certificates_are_looked_at_before_they_are_needed(pair: Path, tmp_path: Path) -> None:
    own, key, shut = (str(pair / name) for name in ("own.pem", "own.key", "shut.key"))
    both = tmp_path / "both.pem"
    both.write_text(Path(own).read_text() + Path(key).read_text())
    assert collector(**{URL: "https://c", AUTHORITIES: own, OWN: own, KEY: key}) == Collector(
        url="https://c", certificate=own, client_certificate=own, client_key=key
    )
    assert collector(**{URL: "https://c", OWN: str(both)}) == Collector(url="https://c", client_certificate=str(both))
    assert faults(**{AUTHORITIES: "/no"}) == [f"{AUTHORITIES}: cannot read /no: FileNotFoundError"]
    assert faults(**{AUTHORITIES: key}) == [f"{AUTHORITIES}: {key} holds no certificate in PEM"]
    assert faults(**{OWN: "/no", KEY: key}) == [f"{OWN}: cannot read /no: FileNotFoundError"]
    assert faults(**{OWN: own, KEY: "/no"}) == [f"{KEY}: cannot read /no: FileNotFoundError"]
    assert faults(**{KEY: key}) == [f"{OWN}: missing; it goes with the key"]
    no_pair = [f"{OWN}: it and its key are no pair in PEM, or the key has a password"]
    for given in ({OWN: own}, {OWN: own, KEY: own}, {OWN: own, KEY: shut}):
        assert faults(**given) == no_pair
