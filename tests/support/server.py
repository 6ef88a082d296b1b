"""A server that runs, with everyone who may call it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess


@dataclass(frozen=True)
class Server:
    """A server that runs, and those who may call it."""

    process: SpineProcess

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.process.port

    @property
    def head(self) -> Api:
        """The head."""
        return Api(self.port, TOKENS["HEAD_TOKEN"])

    @property
    def left(self) -> Api:
        """left-claw, as a v0 client: without a worker id."""
        return Api(self.port, TOKENS["LEFT_CLAW_TOKEN"])

    @property
    def right(self) -> Api:
        """right-claw, likewise."""
        return Api(self.port, TOKENS["RIGHT_CLAW_TOKEN"])

    @property
    def nobody(self) -> Api:
        """Someone without a token."""
        return Api(self.port)

    def claw(self, name: str, worker_id: str | None = "w1") -> Api:
        """One of the claws `c0`, `c1`, … as one worker process."""
        return Api(self.port, f"token-of-{name}", worker_id)


StartSpine = Callable[..., Server]
MakeProcess = Callable[..., SpineProcess]


def claw_tokens(count: int) -> str:
    """Write CLAW_TOKENS for the claws `c0`, `c1`, …"""
    return ",".join(f"c{n}=token-of-c{n}" for n in range(count))
