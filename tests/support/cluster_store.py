"""A lease in memory, on a clock that a test sets: the part of a cluster's store that elections and members need."""

from typing import Any

from cluster.backend import Away, Beat, Grant, Holder, Leader, Node, NotMember, Replaced


class FakeStore:
    """Keeps one lease and one member. `away`: calls fail; `lose_answers`: they are done, and fail all the same."""

    def __init__(self) -> None:
        self.now = 0.0
        self.away = self.lose_answers = False
        self.holder: Holder | None = None
        self.until = 0.0
        self.token = 0
        self.calls: list[str] = []
        self.instance: str | None = None
        self.beats: list[Beat] = []
        self.seconds_per_call = 0.0

    def clock(self) -> float:
        """The clock of the test's machine, which runs as the store's does."""
        return self.now

    def _begin(self, name: str) -> float:
        self.calls.append(name)
        started = self.now
        self.now += self.seconds_per_call
        if self.away:
            raise Away("no answer")
        return started

    def _end(self, answer: Any) -> Any:
        if self.lose_answers:
            raise Away("no answer")
        return answer

    def _held(self) -> bool:
        return self.holder is not None and self.until > self.now

    def take(self, holder: Holder, ttl_seconds: float) -> Grant | None:
        started = self._begin("take")
        if self._held() and self.holder != holder:
            return self._end(None)
        if not self._held():
            self.token += 1
        self.holder, self.until = holder, self.now + ttl_seconds
        return self._end(Grant(holder, self.token, ttl_seconds, started))

    def renew(self, grant: Grant) -> Grant | None:
        started = self._begin("renew")
        if not self._held() or self.holder != grant.holder or self.token != grant.token:
            return self._end(None)
        self.until = self.now + grant.ttl_seconds
        return self._end(grant._replace(started=started))

    def release(self, grant: Grant) -> None:
        self._begin("release")
        if self._held() and self.token == grant.token:
            self.holder = None

    def leader(self) -> Leader | None:
        self._begin("leader")
        if not self._held() or self.holder is None:
            return self._end(None)
        return self._end(Leader(self.holder.node_id, self.token, self.until - self.now))

    def join(self, node: Node, ttl_seconds: float) -> None:
        self._begin("join")
        self.instance = node.instance
        self._end(None)

    def beat(self, beat: Beat) -> None:
        self._begin("beat")
        if self.instance is None:
            raise NotMember("join")
        if self.instance != beat.instance:
            raise Replaced("another")
        self.beats.append(beat)

    def leave(self, node_id: str, instance: str) -> None:
        self._begin("leave")
