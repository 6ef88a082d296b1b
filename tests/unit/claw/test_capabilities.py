"""What a machine can do and is."""

from pathlib import Path

from claw import capabilities
from claw.settings import Settings, from_env


def settings(folder: Path, **more: str) -> Settings:
    return from_env({"SPINE_TOKEN": "a-token-of-a-claw", "PATH": str(folder), "HOME": str(folder)} | more)


def test_tools_that_are_there_and_can_be_run(tmp_path: Path) -> None:
    for name, mode in (("docker", 0o755), ("make", 0o644), ("unknown-tool", 0o755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    found = capabilities.find(settings(tmp_path, CLAW_CAPABILITIES="gpu,shell", CLAW_AGENT_COMMAND="my-agent"))
    assert [name for name in found if ":" not in name] == ["agent", "docker", "gpu", "shell"]
    assert [name.split(":")[0] for name in found if ":" in name] == ["arch", "os"]


def test_facts_are_flat_and_small(tmp_path: Path) -> None:
    facts = capabilities.facts(settings(tmp_path, CLAW_WORK_DIR=str(tmp_path / "not" / "there")))
    assert set(facts) == {
        "os",
        "arch",
        "clawVersion",
        "pythonVersion",
        "cpus",
        "memoryBytes",
        "memoryFreeBytes",
        "diskBytes",
        "diskFreeBytes",
        "mode",
    }
    assert all(isinstance(value, str | int | None) for value in facts.values())
