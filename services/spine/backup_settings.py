"""Where the server keeps its backups and for how long: read by `spine serve` and by the commands about backups."""

import os
from pathlib import Path

import msgspec

from contract.env import EnvReader, Setting, SettingsError
from spine import bucket_settings
from spine.blobs.bucket import Bucket
from spine.bucket_settings import BACKUPS

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


class Disk(msgspec.Struct, frozen=True):
    """A folder of backups."""

    folder: Path


class Plan(msgspec.Struct, frozen=True):
    """Backups that are made regularly: where to, how often, which stay. `blobs_at`: where the blobs stay."""

    place: Disk | Bucket
    every_ms: int
    keep: int
    keep_days: int
    blobs_at: str | None = None


def plan(data_dir: Path) -> Plan | None:
    """Return where the server keeps its backups: all that a command about them needs besides the store's folder.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = read(env, data_dir, bucket_settings.of_blobs(env))
    env.finish()
    return found


def bucket_at(url: str) -> Bucket:
    """Return a place in an object store that a person names, reached as the settings say.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = bucket_settings.read(env, BACKUPS, url, "PATH")
    env.finish()
    if found is None:
        raise SettingsError([f"PATH: {url!r} is no place in an object store"])
    return found


def read(env: EnvReader, data_dir: Path, blobs: Bucket | None = None) -> Plan | None:
    """Return the plan, None where there is none; what cannot be used is noted as a fault. `blobs`: where those are."""
    folder, url = env.optional("SPINE_BACKUP_DIR"), env.optional("SPINE_BACKUP_URL")
    every = env.integer("SPINE_BACKUP_EVERY_SECONDS", 86_400, 1, 31 * 86_400) * 1000
    keep = env.integer("SPINE_BACKUP_KEEP", 7, 1, 10_000)
    keep_days = env.integer("SPINE_BACKUP_KEEP_DAYS", 30, 0, 10_000)
    found = bucket_settings.read(env, BACKUPS, url, "SPINE_BACKUP_URL")
    blobs_at = None if blobs is None else blobs.url
    if folder and url:
        env.faults.append("SPINE_BACKUP_DIR: set SPINE_BACKUP_DIR or SPINE_BACKUP_URL, not both")
        return None
    if folder:
        path = Path(folder).absolute()
        if path.resolve().is_relative_to(data_dir.resolve()):
            env.faults.append(
                "SPINE_BACKUP_DIR: lies in SPINE_DATA_DIR, and would be lost with it; give a folder on another disk"
            )
        return Plan(Disk(path), every, keep, keep_days, blobs_at)
    if found is not None and blobs is not None and found.overlaps(blobs):
        env.faults.append("SPINE_BACKUP_URL: one of it and SPINE_BLOB_URL lies in the other; give each its own prefix")
    return None if found is None else Plan(found, every, keep, keep_days, blobs_at)
