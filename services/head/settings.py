"""The head's settings: one frozen struct, built once from the environment. Nobody else reads the environment."""

import os
from collections.abc import Mapping

import msgspec

from contract.env import EnvReader, Secret, Setting

DEFAULT_URL = "http://127.0.0.1:36725"

SETTINGS: tuple[Setting, ...] = (
    Setting("SPINE_BASE_URL", DEFAULT_URL, "where the spine is; several, separated by commas, fail over"),
    Setting("SPINE_TOKEN", "required", "a head's token"),
    Setting("SPINE_TOKEN_FILE", "", "a file with the token; better than the variable, which other programs may show"),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`base_urls` has at least one address, without a slash at its end."""

    base_urls: tuple[str, ...]
    token: Secret


def from_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Build the settings.

    Raises:
        SettingsError: naming every variable that cannot be used, and its fix.
    """
    env = EnvReader(os.environ if environ is None else environ)
    token = env.secret("SPINE_TOKEN")
    if token is None and not env.faults:
        env.faults.append("SPINE_TOKEN: missing; give a head's token in it, or the name of a file in SPINE_TOKEN_FILE")
    default: tuple[str, ...] = (DEFAULT_URL,)
    urls = env.custom("SPINE_BASE_URL", _urls, default)
    env.finish()
    return Settings(base_urls=urls, token=token or Secret(""))


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not urls:
        raise ValueError("it names no address")
    return tuple(base_url(url) for url in urls)


def base_url(text: str) -> str:
    """Return an address without a slash at its end.

    Raises:
        ValueError: it is not an http or https address.
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{text!r} is not an http or https address")
    return text.rstrip("/")
