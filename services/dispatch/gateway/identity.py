"""This device's Ed25519 identity: made once, kept for this user alone, signed with at every connect (gateway, 3)."""

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from contract.durable import write_durably
from contract.env import SettingsError

FILE = "device.json"


class _Kept(msgspec.Struct, kw_only=True):
    """The file: the key's seed as base64, and the token that each gateway gave to this device."""

    seed: str
    tokens: dict[str, str] = {}


class Identity:
    """A key pair in a folder, and what gateways gave to it."""

    def __init__(self, path: Path, kept: _Kept) -> None:
        self._path, self._kept = path, kept
        self._key = SigningKey(base64.b64decode(kept.seed))

    @property
    def device_id(self) -> str:
        """Lower-case hexadecimal SHA-256 of the raw public key."""
        return hashlib.sha256(bytes(self._key.verify_key)).hexdigest()

    @property
    def public_key(self) -> str:
        """The raw public key, base64url without padding."""
        return _base64url(bytes(self._key.verify_key))

    def token_for(self, url: str) -> str | None:
        """Return the token that the gateway at an address gave to this device."""
        return self._kept.tokens.get(url)

    def keep_token(self, url: str, token: str) -> None:
        """Keep a gateway's token for this device, durably.

        Raises:
            SettingsError: the folder cannot be written.
        """
        if self._kept.tokens.get(url) == token:
            return
        with _usable(self._path.parent), _locked(self._path):
            current = _read(self._path) or self._kept
            self._kept = _Kept(seed=self._kept.seed, tokens={**current.tokens, url: token})
            _write(self._path, self._kept)

    def sign(self, fields: list[str]) -> str:
        """Sign fields joined by `|`; base64url without padding."""
        return _base64url(self._key.sign("|".join(fields).encode()).signature)


def load(home: Path) -> Identity:
    """Return this user's identity from its folder; the first call makes both. Two processes get the same one.

    Raises:
        SettingsError: the folder cannot be used, the file is damaged, or others can read it.
    """
    path = home / FILE
    try:
        with _usable(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = _read(path)
            if kept is None:
                with _locked(path):
                    kept = _read(path)
                    if kept is None:
                        kept = _Kept(seed=base64.b64encode(bytes(SigningKey.generate())).decode())
                        _write(path, kept)
        return Identity(path, kept)
    except (ValueError, CryptoError, msgspec.MsgspecError) as e:
        if isinstance(e, SettingsError):
            raise
        fix = "move it away, and the next call makes a new identity that has to be paired again"
        raise SettingsError([f"{path}: damaged ({e.__class__.__name__}); {fix}"]) from e


def _read(path: Path) -> _Kept | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise SettingsError([f"{path}: others can read this device's key (mode {mode:04o}); run chmod 600 on it"])
        return msgspec.json.decode(file.read(), type=_Kept)


def _write(path: Path, kept: _Kept) -> None:
    write_durably(path, msgspec.json.encode(kept), 0o600)


@contextmanager
def _usable(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise SettingsError(
            [f"SPINE_DISPATCH_HOME: {home} cannot be used: {e.strerror}; name a folder of your own"]
        ) from e


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
