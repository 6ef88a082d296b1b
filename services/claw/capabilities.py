"""What this machine can do, as a claim says it, and what it is, as the list of machines shows it."""

import os
import platform
import shutil
from pathlib import Path

from claw.settings import Settings
from contract import __version__

TOOLS = (
    "cargo",
    "docker",
    "gh",
    "git",
    "go",
    "java",
    "make",
    "node",
    "npm",
    "openclaw",
    "podman",
    "python3",
    "ruby",
    "uv",
)
"""A found one becomes a capability of its name; others are named in CLAW_CAPABILITIES."""

Facts = dict[str, str | int | float | bool | None]


def find(settings: Settings) -> list[str]:
    """Return the capabilities that are found and those that are set, sorted, each once."""
    found = {"shell", f"os:{platform.system().lower()}", f"arch:{platform.machine().lower()}"}
    found |= {tool for tool in TOOLS if shutil.which(tool, path=settings.base_env["PATH"])}
    if settings.agent_command or settings.dispatching is not None:
        found.add("agent")
    return sorted(found | set(settings.capabilities) | set(settings.dialects.capabilities))


def facts(settings: Settings) -> Facts:
    """Return what this machine is; sizes in bytes, None where the system does not tell."""
    disk = shutil.disk_usage(existing(settings.work_dir))
    total, free = _memory()
    return {
        "os": f"{platform.system()} {platform.release()}",
        "arch": platform.machine(),
        "clawVersion": __version__,
        "pythonVersion": platform.python_version(),
        "cpus": os.cpu_count(),
        "memoryBytes": total,
        "memoryFreeBytes": free,
        "diskBytes": disk.total,
        "diskFreeBytes": disk.free,
        "mode": settings.mode,
    }


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _memory() -> tuple[int | None, int | None]:
    """Return all memory and what is free for programs (Linux tells both, others the first)."""
    try:
        rows = (line.split() for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        sizes = {row[0]: int(row[1]) * 1024 for row in rows if len(row) == 3}
        return sizes.get("MemTotal:"), sizes.get("MemAvailable:")
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (OSError, ValueError):
        return None, None
