"""The numbers and names that the verbs go by."""

from dataclasses import dataclass, field

from spine.queue.mail import Mail
from spine.store.lanes import Lanes

MIN_GRACE_MS = 60_000
TIMEOUT_GRACE_MS = 30_000  # how long after its deadline a claw may take to stop the process and report
UNACCEPTED_MOST = 3


@dataclass
class Aliases:
    """Whom notices may be for: why each name cannot be used, None where it can. Without a list no name is checked."""

    faults: dict[str, str | None] | None = None


@dataclass(frozen=True)
class Rules:
    """Durations in ms. `targets`: names that a job may be for, those that join added.

    `lanes`, `mail`: caches of the store. `aliases`: whom its end may be told to.
    """

    lease_ms: int
    accept_lease_ms: int
    default_max_attempts: int
    targets: set[str]
    log_max_bytes: int
    lanes: Lanes = field(default_factory=Lanes, compare=False)
    aliases: Aliases = field(default_factory=Aliases, compare=False)
    mail: Mail = field(default_factory=Mail, compare=False)

    def forget(self) -> None:
        """Drop what is cached of the store: a rollback may have taken something back."""
        self.lanes.forget()
        self.mail.forget()

    @property
    def grace_ms(self) -> int:
        """What a lease gets on top when it ended while no one could extend it (design: Reaper)."""
        return min(self.lease_ms, MIN_GRACE_MS)

    def lease_end(self, now: int, started_at: int | None, timeout_seconds: int | None, lease_ms: int) -> int:
        """Return when a lease that starts now ends (ms): never later than the attempt's deadline and a short grace."""
        end = now + lease_ms
        if timeout_seconds is not None:
            end = min(end, (started_at or now) + timeout_seconds * 1000 + TIMEOUT_GRACE_MS)
        return max(end, now + 1)
