"""Settings of the backups that a spine makes by itself: what they say, every fault, and what is imported for them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.spine_process import REPO

from contract.env import SettingsError
from spine.backup_settings import Bucket, Disk, Plan
from spine.settings import from_env

TOKENS = {"HEAD_TOKEN": "head-token", "LEFT_CLAW_TOKEN": "left-token", "RIGHT_CLAW_TOKEN": "right-token"}


def test_none_unless_asked_for() -> None:
    assert from_env(TOKENS).backups is None
    assert (
        from_env({**TOKENS, "SPINE_BACKUP_KEEP": "3", "SPINE_BACKUP_ENDPOINT": "https://s3.example.org"}).backups
        is None
    )


def test_a_folder() -> None:
    found = from_env({**TOKENS, "SPINE_BACKUP_DIR": "/backups/spine"}).backups
    assert found == Plan(Disk(Path("/backups/spine")), every_ms=86_400_000, keep=7, keep_days=30)


def test_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush-hush-hush\n")
    found = from_env(
        {
            **TOKENS,
            "SPINE_BACKUP_URL": "s3://my-bucket/spines/one/",
            "SPINE_BACKUP_EVERY_SECONDS": "3600",
            "SPINE_BACKUP_KEEP": "24",
            "SPINE_BACKUP_KEEP_DAYS": "0",
            "SPINE_BACKUP_ENDPOINT": "https://s3.example.org:9000",
            "SPINE_BACKUP_REGION": "eu-central-1",
            "SPINE_BACKUP_ACCESS_KEY_ID": "me",
            "SPINE_BACKUP_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
        }
    ).backups
    assert found is not None
    assert (found.every_ms, found.keep, found.keep_days) == (3_600_000, 24, 0)
    assert isinstance(found.place, Bucket)
    assert (found.place.bucket, found.place.prefix, found.place.region) == ("my-bucket", "spines/one", "eu-central-1")
    assert (found.place.endpoint, found.place.url) == ("https://s3.example.org:9000", "s3://my-bucket/spines/one")
    assert found.place.secret == "hush-hush-hush"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"SPINE_BACKUP_DIR": "/b", "SPINE_BACKUP_URL": "s3://b/p"}, "SPINE_BACKUP_DIR: set SPINE_BACKUP_DIR or "),
        ({"SPINE_BACKUP_DIR": "/srv/spine/backups"}, "SPINE_BACKUP_DIR: lies in SPINE_DATA_DIR, and would be lost"),
        ({"SPINE_BACKUP_DIR": "/srv/../srv/spine"}, "SPINE_BACKUP_DIR: lies in SPINE_DATA_DIR"),
        ({"SPINE_BACKUP_URL": "https://b/p"}, "SPINE_BACKUP_URL: 'https://b/p' is no place in an object store"),
        ({"SPINE_BACKUP_URL": "s3://"}, "SPINE_BACKUP_URL: 's3://' is no place"),
        ({"SPINE_BACKUP_URL": "s3://me:pass@b/p"}, "SPINE_BACKUP_URL: "),
        ({"SPINE_BACKUP_URL": "s3://b/p?versions"}, "SPINE_BACKUP_URL: 's3://b/p?versions' is no place"),
        ({"SPINE_BACKUP_URL": "s3://b/p/../q"}, "SPINE_BACKUP_URL: 's3://b/p/../q' has an empty part or dots"),
        ({"SPINE_BACKUP_URL": "s3://b/p//q"}, "SPINE_BACKUP_URL: 's3://b/p//q' has an empty part or dots"),
        ({"SPINE_BACKUP_EVERY_SECONDS": "0"}, "SPINE_BACKUP_EVERY_SECONDS: 0 is out of range; give a number from 1"),
        ({"SPINE_BACKUP_KEEP": "0"}, "SPINE_BACKUP_KEEP: 0 is out of range; give a number from 1 to 10000"),
        ({"SPINE_BACKUP_KEEP_DAYS": "-1"}, "SPINE_BACKUP_KEEP_DAYS: -1 is out of range"),
        ({"SPINE_BACKUP_ENDPOINT": "s3.example.org"}, "SPINE_BACKUP_ENDPOINT: 's3.example.org' is no address"),
        ({"SPINE_BACKUP_ENDPOINT": "https://h:port"}, "SPINE_BACKUP_ENDPOINT: 'https://h:port' is no address"),
        ({"SPINE_BACKUP_ACCESS_KEY_ID": "me"}, "SPINE_BACKUP_SECRET_ACCESS_KEY: missing; the id and the secret"),
        ({"SPINE_BACKUP_SECRET_ACCESS_KEY": "x"}, "SPINE_BACKUP_ACCESS_KEY_ID: missing; the id and the secret"),
    ],
)  # fmt: skip
def test_faults(variables: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_env({**TOKENS, "SPINE_DATA_DIR": "/srv/spine", **variables})
    assert len(raised.value.faults) == 1
    assert raised.value.faults[0].startswith(fault)


# A finder that knows obstore is not there, before everything that a spine imports.
WITHOUT = """
import importlib.util, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "obstore":
            raise ModuleNotFoundError(name)

real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "obstore" else real(name, package)
sys.meta_path.insert(0, Absent())
"""


def run(code: str, **env: str) -> "subprocess.CompletedProcess[str]":
    given = {"PYTHONPATH": str(REPO / "services"), "PATH": "/usr/bin:/bin", **TOKENS, **env}
    return subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=180)


def test_without_the_extra_the_setting_says_what_to_install_and_all_else_works(tmp_path: Path) -> None:
    check = WITHOUT + "from spine.cli import main; sys.argv = ['spine', 'check']; main()"
    for variable in ("SPINE_BACKUP_URL", "SPINE_BLOB_URL"):
        refused = run(check, **{variable: "s3://bucket/prefix"})
        assert refused.returncode == 78
        assert refused.stderr == f"spine: {variable}: obstore is not installed; pip install 'spinal-cord[s3]'\n"
    assert run(check, SPINE_BACKUP_DIR=str(tmp_path)).returncode == 0
    backups = WITHOUT + "from spine.cli import main; sys.argv = ['spine', 'backups', 'list']; main()"
    listed = run(backups, SPINE_BACKUP_DIR=str(tmp_path))
    assert (listed.returncode, listed.stdout) == (0, f"0 in {tmp_path}\n")


def test_with_the_extra_nothing_of_it_is_imported_before_it_is_needed() -> None:
    code = "import sys, spine.app, spine.operations.commands, spine.operations.restore; print('obstore' in sys.modules)"
    assert run(code).stdout == "False\n"
