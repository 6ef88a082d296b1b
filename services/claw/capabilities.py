"""What this machine can do, as a claim says it."""

import platform
import shutil

from claw.settings import Settings


def find(settings: Settings) -> list[str]:
    """Return the capabilities that are found and those that are set, sorted, each once."""
    found = {"shell", f"os:{platform.system().lower()}", f"arch:{platform.machine().lower()}"}
    if shutil.which("git", path=settings.base_env["PATH"]):
        found.add("git")
    if settings.agent_command:
        found.add("agent")
    return sorted(found | set(settings.capabilities))
