"""Places in object stores as the settings name them: that of the blobs, and how any such place is reached."""

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from contract.env import EnvReader, Setting
from spine.blobs.bucket import Bucket

SETTINGS = (
    Setting(
        "SPINE_BLOB_URL",
        "",
        "object store that speaks S3 for the blobs, as `s3://bucket/prefix`; in `SPINE_DATA_DIR` when not set",
    ),
    Setting("SPINE_BLOB_ENDPOINT", "", "address of that object store, where it is not Amazon's"),
    Setting("SPINE_BLOB_REGION", "us-east-1", "region of that bucket"),
    Setting("SPINE_BLOB_ACCESS_KEY_ID", "", "who the spine is to it; without it as AWS's tools find out"),
    Setting("SPINE_BLOB_SECRET_ACCESS_KEY", "", "the secret that goes with it"),
)
BLOBS, BACKUPS = "SPINE_BLOB", "SPINE_BACKUP"
MISSING = "obstore is not installed; pip install 'spinal-cord[s3]'"


def of_blobs(env: EnvReader) -> Bucket | None:
    """Return where blobs are kept, None for the disk; what cannot be used is noted as a fault."""
    return read(env, BLOBS, env.optional("SPINE_BLOB_URL"), "SPINE_BLOB_URL")


def blobs_here() -> Bucket | None:
    """Return where this process's environment says that blobs are kept, for commands.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = of_blobs(env)
    env.finish()
    return found


def read(env: EnvReader, family: str, url: str | None, variable: str) -> Bucket | None:
    """Return what an `s3://` address names, reached as the settings of a family (`SPINE_BLOB`, …) say.

    `variable` is where the address comes from. The others are looked at in any case: a fault in them is none the better
    for waiting.
    """
    endpoint = env.optional(f"{family}_ENDPOINT")
    region = env.text(f"{family}_REGION", "us-east-1")
    key_id, secret = env.secret(f"{family}_ACCESS_KEY_ID"), env.secret(f"{family}_SECRET_ACCESS_KEY")
    if bool(key_id) != bool(secret):
        lacks = f"{family}_SECRET_ACCESS_KEY" if key_id else f"{family}_ACCESS_KEY_ID"
        env.faults.append(f"{lacks}: missing; the id and the secret go together")
    if endpoint is not None and not _is_address(endpoint):
        env.faults.append(f"{family}_ENDPOINT: {endpoint!r} is no address; write https://host or https://host:port")
    if url is None:
        return None
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.hostname or parts.netloc != parts.hostname or parts.query or parts.fragment:
        env.faults.append(f"{variable}: {url!r} is no place in an object store; write s3://bucket/prefix")
        return None
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        env.faults.append(f"{variable}: {url!r} has an empty part or dots in its prefix; write s3://bucket/prefix")
        return None
    if find_spec("obstore") is None:
        env.faults.append(f"{variable}: {MISSING}")
        return None
    return Bucket(parts.hostname, prefix, endpoint, region, key_id, secret)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in text
    except ValueError:
        return False
