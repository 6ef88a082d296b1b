"""Import every module under services/ and refuse any that has outgrown its file.

Linters read files without running them; this finds what only breaks when a module is loaded.
"""

import importlib
import sys
import traceback
from pathlib import Path

SERVICES = Path(__file__).resolve().parent.parent / "services"
MAX_LINES = 400


def main() -> int:
    faults = 0
    modules = sorted(SERVICES.rglob("*.py"))
    for path in modules:
        parts = path.relative_to(SERVICES).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            print(f"{name}: {lines} lines, more than {MAX_LINES}: split it by noun")
            faults += 1
        if parts[-1] == "__main__":
            continue
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - whatever it is, name the module and go on
            print(f"{name} does not import:")
            traceback.print_exc(file=sys.stdout)
            faults += 1
    print(f"{len(modules)} modules import, none above {MAX_LINES} lines" if not faults else f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
