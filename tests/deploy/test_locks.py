"""The locks: every dependency is pinned in the file of its role, with hashes, and no address of an index."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
WANTED = {
    "spine": ["spine", "postgres", "s3"],
    "mcp": ["mcp"],
    "otel": ["otel"],
    "claw": ["claw", "dispatch", "cluster"],
    "dispatch": ["dispatch"],
    "cluster": ["cluster"],
    "chat": ["chat"],
    "head": ["head", "cluster"],
    "run": ["spine", "claw", "head", "dispatch"],
    "deploy": ["deploy"],
    "dev": ["spine", "postgres", "s3", "mcp", "otel", "claw", "head", "dispatch", "cluster", "chat", "deploy", "dev"],
}


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", WANTED)
def test_lock_satisfies_the_project(name: str) -> None:
    locked = pins(name)
    wanted = [*PROJECT["dependencies"], *(d for extra in WANTED[name] for d in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{name}.txt lacks {requirement.name}: run make lock"
        assert requirement.specifier.contains(version), f"{name}.txt has {requirement.name} {version}: run make lock"


@pytest.mark.parametrize("name", sorted(WANTED))
def test_what_is_shipped_is_what_is_tested(name: str) -> None:
    assert pins(name).items() <= pins("dev").items()


def test_roles_install_only_their_own() -> None:
    server = {"falcon", "gunicorn", "peewee", "prometheus-client", "uvloop"}
    assert not server & pins("claw").keys()
    assert not server & pins("head").keys()
    assert not server & pins("chat").keys()
    for role in ("spine", "claw", "head", "run"):
        assert not {"aiohttp", "discord-py"} & pins(role).keys()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_has_hashes_and_no_address(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-") or " @ " in line]
    for here, below in pairwise(lines):
        if "==" in here:
            assert below.strip().startswith("--hash=sha256:"), here


def test_compiled_packages_have_files_for_every_platform() -> None:
    """A lock with the hashes of one platform only would refuse to install on the others: count what was recorded."""
    text = (ROOT / "requirements" / "run.txt").read_text()
    for name in ("falcon", "msgspec", "uvloop"):
        block = re.search(rf"^{name}==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert block
        assert block[0].count("--hash=") >= 20, name
