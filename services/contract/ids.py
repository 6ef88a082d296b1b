"""Names that nobody can guess: ids of jobs and blobs, tokens, and the digest under which a token is known."""

import hashlib
import secrets

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def _text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_job_id() -> str:
    """Return 20 characters of 0-9a-z (103 bits)."""
    # One call to the kernel instead of twenty: submits are a hot path.
    n = int.from_bytes(secrets.token_bytes(13), "big")
    out = []
    for _ in range(20):
        n, digit = divmod(n, 36)
        out.append(_ALPHABET[digit])
    return "".join(out)


def new_blob_id() -> str:
    """Return `blob_` and 24 characters of 0-9a-z; easy to find in a text that names it."""
    return f"blob_{_text(24)}"


def new_worker_id(machine: str) -> str:
    """Return an id for one worker process: its machine and 8 random characters."""
    return f"{machine}-{_text(8)}"


def new_token(kind: str) -> str:
    """Return `spn_<kind>_<id>_<secret>`; the prefix lets leak scanners find it (convention: RFC 6750 bearer)."""
    return f"spn_{kind.replace('_', '-')}_{_text(8)}_{_text(40)}"


def token_digest(token: str) -> str:
    """Return the SHA-256 of a token in hex: the only form that is kept or compared."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
