"""Where the server keeps its backups and for how long: read by `spine serve` and by the commands about backups."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from contract.env import EnvReader, Secret, Setting, SettingsError

MINUTE_MS = 60_000

SETTINGS = (
    Setting(
        "SPINE_BACKUP_DIR", "", "folder in which the spine keeps backups that it makes by itself; none when not set"
    ),
    Setting("SPINE_BACKUP_URL", "", "the same in an object store that speaks S3, as `s3://bucket/prefix`"),
    Setting("SPINE_BACKUP_EVERY_SECONDS", "86400", "from one such backup to the next"),
    Setting("SPINE_BACKUP_KEEP", "7", "how many of the newest are kept"),
    Setting("SPINE_BACKUP_KEEP_DAYS", "30", "of how many days (UTC) that have one the newest is kept besides"),
    Setting("SPINE_BACKUP_ENDPOINT", "", "address of the object store, where it is not Amazon's"),
    Setting("SPINE_BACKUP_REGION", "us-east-1", "region of the bucket"),
    Setting(
        "SPINE_BACKUP_ACCESS_KEY_ID", "", "who the spine is to the object store; without it as AWS's tools find out"
    ),
    Setting("SPINE_BACKUP_SECRET_ACCESS_KEY", "", "the secret that goes with it"),
)
MISSING = "obstore is not installed; pip install 'spinal-cord[s3]'"


class Disk(msgspec.Struct, frozen=True):
    """A folder of backups."""

    folder: Path


class Bucket(msgspec.Struct, frozen=True):
    """A prefix in a bucket, for one spine alone. `endpoint` None: Amazon's own."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str
    key_id: Secret | None
    secret: Secret | None

    @property
    def url(self) -> str:
        """The address as a person writes it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


class Plan(msgspec.Struct, frozen=True):
    """Backups that are made regularly: where to, how often, and which stay."""

    place: Disk | Bucket
    every_ms: int
    keep: int
    keep_days: int


def plan(data_dir: Path) -> Plan | None:
    """Return where the server keeps its backups: all that a command about them needs besides the store's folder.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = read(env, data_dir)
    env.finish()
    return found


def bucket_at(url: str) -> Bucket:
    """Return a place in an object store that a person names, reached as the settings say.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = bucket(env, url, "PATH")
    env.finish()
    if found is None:
        raise SettingsError([f"PATH: {url!r} is no place in an object store"])
    return found


def read(env: EnvReader, data_dir: Path) -> Plan | None:
    """Return the plan, None where there is none; what cannot be used is noted as a fault."""
    folder, url = env.optional("SPINE_BACKUP_DIR"), env.optional("SPINE_BACKUP_URL")
    every = env.integer("SPINE_BACKUP_EVERY_SECONDS", 86_400, 1, 31 * 86_400) * 1000
    keep = env.integer("SPINE_BACKUP_KEEP", 7, 1, 10_000)
    keep_days = env.integer("SPINE_BACKUP_KEEP_DAYS", 30, 0, 10_000)
    found = bucket(env, url)  # its variables are looked at in any case: a fault in them is none the better for waiting
    if folder and url:
        env.faults.append("SPINE_BACKUP_DIR: set SPINE_BACKUP_DIR or SPINE_BACKUP_URL, not both")
        return None
    if folder:
        path = Path(folder).absolute()
        if path.resolve().is_relative_to(data_dir.resolve()):
            env.faults.append(
                "SPINE_BACKUP_DIR: lies in SPINE_DATA_DIR, and would be lost with it; give a folder on another disk"
            )
        return Plan(Disk(path), every, keep, keep_days)
    return None if found is None else Plan(found, every, keep, keep_days)


def bucket(env: EnvReader, url: str | None, variable: str = "SPINE_BACKUP_URL") -> Bucket | None:
    """Return what an `s3://` address names, with the settings that tell how it is reached."""
    endpoint = env.optional("SPINE_BACKUP_ENDPOINT")
    region = env.text("SPINE_BACKUP_REGION", "us-east-1")
    key_id, secret = env.secret("SPINE_BACKUP_ACCESS_KEY_ID"), env.secret("SPINE_BACKUP_SECRET_ACCESS_KEY")
    if bool(key_id) != bool(secret):
        lacks: Literal["SPINE_BACKUP_ACCESS_KEY_ID", "SPINE_BACKUP_SECRET_ACCESS_KEY"] = (
            "SPINE_BACKUP_SECRET_ACCESS_KEY" if key_id else "SPINE_BACKUP_ACCESS_KEY_ID"
        )
        env.faults.append(f"{lacks}: missing; the id and the secret go together")
    if endpoint is not None and not _is_address(endpoint):
        env.faults.append(f"SPINE_BACKUP_ENDPOINT: {endpoint!r} is no address; write https://host or https://host:port")
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
