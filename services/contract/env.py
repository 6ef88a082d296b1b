"""Reading a role's environment: typed values, secrets as NAME or NAME_FILE, and all faults reported at once.

Each role's `settings.py` is the only module that calls this with a real environment.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
ROTATE_SECONDS = (0.0, 1.0)  # when a token's file is looked at once the token is refused


class Setting(NamedTuple):
    """A row of a role's reference table (docs/reference/settings.md): variable, default as text, meaning."""

    name: str
    default: str
    meaning: str


class Secret(str):
    """Text that must not be shown: its repr hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


class SettingsError(ValueError):
    """The environment cannot be used; `faults` names every variable and its fix."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def base_url(text: str) -> str:
    """Return an address of a spine without blanks around it, and without a slash at its end.

    Raises:
        ValueError: it is not an http or https address.
    """
    text = text.strip()
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{text!r} is not an http or https address")
    return text.rstrip("/")


def base_urls(text: str) -> tuple[str, ...]:
    """Read addresses of spines, separated by commas; at least one.

    Raises:
        ValueError
    """
    found = tuple(base_url(part) for part in text.split(",") if part.strip())
    if not found:
        raise ValueError("it names no address")
    return found


def text_of(path: Path) -> str:
    """Return a file's text without the white space around it; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def newer_token(used: str, files: Iterable[Path | None], waits: Iterable[float] = ROTATE_SECONDS) -> str | None:
    """Return what one of the files holds, when it is not the token that was used; looked for after each wait (s).

    A token may be refused a moment before its file has the successor.
    """
    named = [file for file in files if file is not None]
    for seconds in waits if named else ():
        time.sleep(seconds)
        for found in map(text_of, named):
            if found and found != used:
                return found
    return None


class EnvReader:
    """Collects values and faults; `finish` raises once with everything that is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str, default: str) -> str:
        """Return the variable, or `default` when it is unset or empty."""
        return self._environ.get(name, "").strip() or default

    def optional(self, name: str) -> str | None:
        """Return the variable, or None when it is unset or empty."""
        return self._environ.get(name, "").strip() or None

    def secret_file(self, name: str) -> Path | None:
        """Return the file that NAME_FILE names; None when the secret comes by the variable, or not at all."""
        file = self.optional(f"{name}_FILE")
        return None if file is None else Path(file)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number in [least, most]; a fault is noted otherwise."""
        raw = self._environ.get(name, "").strip()
        if not raw:
            return default
        try:
            value = int(raw)
        except ValueError:
            self.faults.append(f"{name}: {raw!r} is not a whole number; give one from {least} to {most}")
            return default
        if not least <= value <= most:
            self.faults.append(f"{name}: {value} is out of range; give a number from {least} to {most}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a yes or no; a fault is noted for anything else."""
        raw = self._environ.get(name, "").strip().lower()
        if not raw:
            return default
        if raw in ("1", "true", "yes", "on"):
            return True
        if raw in ("0", "false", "no", "off"):
            return False
        self.faults.append(f"{name}: {raw!r} is neither yes nor no; use 1 or 0")
        return default

    def choice(self, name: str, default: str, options: tuple[str, ...]) -> str:
        """Return one of `options`; a fault is noted for anything else."""
        value = self.text(name, default)
        if value not in options:
            self.faults.append(f"{name}: {value!r} is not one of {', '.join(options)}")
            return default
        return value

    def listed(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a comma-separated variable as its non-empty parts."""
        raw = self._environ.get(name, "")
        return tuple(part.strip() for part in raw.split(",") if part.strip()) or default

    def secret(self, name: str) -> Secret | None:
        """Return a secret from NAME, or from the file that NAME_FILE names; a fault is noted when both are set."""
        direct, path = self._environ.get(name, "").strip(), self._environ.get(f"{name}_FILE", "").strip()
        if direct and path:
            self.faults.append(f"{name}: set {name} or {name}_FILE, not both")
            return None
        if path:
            try:
                direct = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as e:
                self.faults.append(f"{name}_FILE: cannot read {path}: {e.__class__.__name__}")
                return None
            if not direct:
                self.faults.append(f"{name}_FILE: {path} is empty; put the token in it")
                return None
        return Secret(direct) if direct else None

    def absolute(self, name: str, default: str | Path) -> Path:
        """Return an absolute path, `~` filled in; a fault is noted otherwise, also where the home is not known.

        `default` is a text like one that is set, or a path that is taken as it is.
        """
        text = self.optional(name) or default
        if isinstance(text, Path):
            return text
        try:
            path = Path(text).expanduser()
        except RuntimeError as e:
            self.faults.append(f"{name}: {text}: {e}; name an absolute path")
            return Path(text)
        if not path.is_absolute():
            self.faults.append(f"{name}: {text!r} is not absolute; begin it with / or ~")
        return path

    def custom(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """Return `parse(value)`; a ValueError becomes a fault that names the variable."""
        raw = self._environ.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except ValueError as e:
            self.faults.append(f"{name}: {e}")
            return default

    def finish(self) -> None:
        """Raise all faults together.

        Raises:
            SettingsError: at least one variable cannot be used.
        """
        if self.faults:
            raise SettingsError(self.faults)
