"""Names that nobody can guess: ids of jobs and blobs, tokens, and the digest under which a token is known."""

import hashlib
import re
import secrets
from functools import lru_cache

_ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}\Z")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOMENT_LENGTH = 8  # of a number of ms in base 36: enough until 2059, when it begins again
_RANDOM_LENGTH = 12
# Random bytes are turned into characters at one go; those beyond the last whole multiple of 36 are dropped, so that
# every character is as likely as any other.
_FAIR = 256 - 256 % len(_ALPHABET)
_LETTERS = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))


def _text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_job_id(now: int) -> str:
    """Return 20 characters of 0-9a-z: the moment (ms), and 62 random bits.

    The moment comes first, so that new jobs stand side by side in the store's indices: with ids all random, each one
    changes pages of its own, and to write them to disk costs more than the rest of a submit.
    """
    found = b""  # one call to the kernel brings enough, save about once in 300,000
    while len(found) < _RANDOM_LENGTH:
        found += secrets.token_bytes(_RANDOM_LENGTH + 4).translate(_LETTERS, _UNFAIR)
    return _moment(now) + found[:_RANDOM_LENGTH].decode("ascii")


@lru_cache(maxsize=16)
def _moment(now: int) -> str:
    out = ""
    for _ in range(_MOMENT_LENGTH):
        now, digit = divmod(now, len(_ALPHABET))
        out = _ALPHABET[digit] + out
    return out


def is_id(text: str) -> bool:
    """Tell whether an id that was given elsewhere can be one here: 1 to 64 of A-Z a-z 0-9 . _ ~ -, no dot first."""
    return _ID.match(text) is not None


def new_blob_id() -> str:
    """Return `blob_` and 24 characters of 0-9a-z; easy to find in a text that names it."""
    return f"blob_{_text(24)}"


def new_notice_id() -> str:
    """Return `ntc_` and 24 characters of 0-9a-z: what a receiver knows a notice by, however often it comes."""
    return f"ntc_{_text(24)}"


def new_worker_id(machine: str) -> str:
    """Return an id for one worker process: its machine and 8 random characters."""
    return f"{machine}-{_text(8)}"


def new_token(kind: str) -> str:
    """Return `spn_<kind>_<id>_<secret>`; the prefix lets leak scanners find it (convention: RFC 6750 bearer)."""
    return f"spn_{kind.replace('_', '-')}_{_text(8)}_{_text(40)}"


def token_digest(token: str) -> str:
    """Return the SHA-256 of a token in hex: the only form that is kept or compared."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
