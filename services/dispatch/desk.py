"""What every verb works with: settings, ledger, the one connection to the gateway, and where words and answers go."""

import contextlib
import sys
import time
from typing import Any

import msgspec

from dispatch.config import Config
from dispatch.gateway.client import Gateway
from dispatch.hooks import Hooks
from dispatch.keeping import Keeping
from dispatch.ledger import Ledger
from dispatch.settings import Settings


class Desk:
    """Made once a process; use it as a context manager, so that the connection is closed."""

    def __init__(self, settings: Settings, config: Config) -> None:
        self.settings, self.config = settings, config
        self.ledger = Ledger(settings.labels_path, self.note)
        self.hooks = Hooks(settings, self.note)
        self._gateway: Gateway | None = None

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        if self._gateway is not None:
            self._gateway.close()

    def gateway(self) -> Gateway:
        """Return the connection, made when it is first needed.

        Raises:
            SettingsError, GatewayError: it cannot be made.
        """
        if self._gateway is None:
            self._gateway = Gateway.connect(self.settings)
        return self._gateway

    def keeping(self, label: str) -> Keeping:
        """Return the files of a label."""
        return Keeping(self.settings.home, label)

    def now(self) -> int:
        """Return the time, epoch ms."""
        return time.time_ns() // 1_000_000

    def note(self, text: str) -> None:
        """Tell a person something, on standard error."""
        with contextlib.suppress(OSError):
            sys.stderr.write(f"[{self.config.name}] {text}\n")
            sys.stderr.flush()

    def answer(self, **members: Any) -> None:
        """Print an answer: JSON on standard output, indented by 2."""
        self.say(msgspec.json.format(msgspec.json.encode(members), indent=2).decode())

    def say(self, text: str) -> None:
        """Print a text on standard output."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
