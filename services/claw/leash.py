"""Why a running job is being ended: one flag that the heartbeat or a signal sets and the child's loop reads."""

import threading
from typing import Literal

Why = Literal["lost", "drain"]


class Leash:
    """Pulled at most once; the first reason stays. Safe between threads and in signal handlers."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.why: Why | None = None
        self.detail = ""

    def pull(self, why: Why, detail: str) -> None:
        """End the job for this reason."""
        if self.why is None:
            self.why, self.detail = why, detail
        self._event.set()

    def pulled(self) -> bool:
        """Tell whether the job is to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the job is to end, at most `seconds`; tells whether it is."""
        return self._event.wait(seconds)
