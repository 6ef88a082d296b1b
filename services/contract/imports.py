"""Keeps a library from loading others that this project does not use through it: a program starts that much sooner."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let an import in the block find some libraries missing, as though they were not installed.

    One that is loaded already stays what it is. After the block each can be imported as ever.
    """
    hidden = [name for name in names if name not in sys.modules]
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))  # None is how Python is told that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            if modules.get(name, name) is None:
                del modules[name]
