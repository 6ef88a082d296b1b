"""Why a running job is being ended: one flag that the heartbeat or a signal sets and the child's loop reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from contract.latch import Latch

Why = Literal["lost", "drain"]


class Leash:
    """Pulled at most once; the first reason stays. Safe between threads and in signal handlers."""

    def __init__(self) -> None:
        self._latch = Latch()
        self.why: Why | None = None
        self.detail = ""
        self._branch: Leash | None = None

    def pull(self, why: Why, detail: str) -> None:
        """End the job for this reason."""
        if self.why is None:
            self.why, self.detail = why, detail
        self._latch.set()
        branch = self._branch  # looked at after the latch is set, as `branch` looks at the latch after it is there
        if branch is not None:
            branch.pull(why, detail)

    @contextmanager
    def branch(self) -> Iterator["Leash"]:
        """Give the one job that is carried on a leash of its own, which this one pulls along; it ends no other job."""
        found = self._branch = Leash()
        if self._latch.is_set():
            found.pull(self.why or "lost", self.detail)
        try:
            yield found
        finally:
            self._branch = None

    def pulled(self) -> bool:
        """Tell whether the job is to end."""
        return self._latch.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the job is to end, at most `seconds`; tells whether it is."""
        return self._latch.wait(seconds)
