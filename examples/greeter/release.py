"""Raise the minor version, open the changelog for it, and tell the claw what came of it (its result file)."""

import json
import os
import re
from pathlib import Path

SOURCE = Path("greeter/__init__.py")
CHANGELOG = Path("CHANGELOG.md")


def main() -> None:
    source = SOURCE.read_text(encoding="utf-8")
    found = re.search(r'__version__ = "((\d+)\.(\d+)\.\d+)"', source)
    if found is None:
        raise SystemExit(f"{SOURCE} names no version")
    old, new = found[1], f"{found[2]}.{int(found[3]) + 1}.0"
    SOURCE.write_text(source.replace(f'"{old}"', f'"{new}"'), encoding="utf-8")
    log = CHANGELOG.read_text(encoding="utf-8")
    CHANGELOG.write_text(log.replace("\n## ", f"\n## {new}\n\n- Released by a claw.\n\n## ", 1), encoding="utf-8")
    print(f"{old} -> {new}")
    result = {
        "notes": f"Raised the version from {old} to {new} and opened the changelog for it.",
        "howToTest": ["python3 -m unittest", "Read CHANGELOG.md: it begins with the new version."],
    }
    if "SPINE_RESULT_FILE" in os.environ:
        Path(os.environ["SPINE_RESULT_FILE"]).write_text(json.dumps(result), encoding="utf-8")


main()
