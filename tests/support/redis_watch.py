"""A small cluster at work: who leads and with which token, what was sent and what each member got."""

import functools
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from tests.support.old_clawster import Reign

from cluster.backend import Away, Backend, Grant, Holder, Node
from contract.clock import since_boot

LEASE = 3.0


class Held(NamedTuple):
    """A grant: when its holder could believe in it."""

    reign: Reign
    token: int


class Candidate:
    """Takes the lease whenever it is free and renews it; believes in it no longer than it lasts."""

    def __init__(self, backend: Backend, node_id: str) -> None:
        self.holder = Holder(node_id, "1")
        self.held: list[Held] = []
        self._backend = backend

    def turn(self) -> None:
        """Take or renew, once."""
        last = self.held[-1] if self.held else None
        leads = last is not None and last.reign.end > since_boot()
        grant: Grant | None
        if leads:
            assert last is not None
            grant = self._backend.renew(Grant(self.holder, last.token, LEASE, 0.0))
        else:
            grant = self._backend.take(self.holder, LEASE)
        if grant and last and grant.token == last.token:
            self.held[-1] = Held(last.reign._replace(end=grant.started + LEASE), grant.token)
        elif grant:
            self.held.append(Held(Reign(self.holder.node_id, since_boot(), grant.started + LEASE), grant.token))
        elif leads and last:
            self.held[-1] = Held(last.reign._replace(end=min(last.reign.end, since_boot())), last.token)


class Watch:
    """Two candidates, one sender, three members, each in a thread with a backend of its own; faults are kept."""

    def __init__(self, connect: Callable[[], Backend]) -> None:
        self.candidates = [Candidate(connect(), f"candidate-{i}") for i in range(2)]
        self.sent: list[int] = []  # numbers whose sending was acknowledged
        self.got: dict[str, list[int]] = {f"member-{i}": [] for i in range(3)}
        self._had: dict[str, set[str]] = {name: set() for name in self.got}
        self.gaps = 0
        self.faults: list[BaseException] = []
        self._number = 0
        self._stop = threading.Event()
        sender = connect()
        members = {name: connect() for name in self.got}
        for name, backend in members.items():
            backend.join(Node(name, "1"), 600)
        turns: list[tuple[Callable[[], None], float]] = [
            *((candidate.turn, LEASE / 6) for candidate in self.candidates),
            (functools.partial(self._send, sender), 0.01),
            *(
                (lambda name=name, backend=backend: self._receive(name, backend), 0.0)
                for name, backend in members.items()
            ),
        ]
        self._threads = [threading.Thread(target=self._run, args=turn) for turn in turns]
        for thread in self._threads:
            thread.start()

    def _run(self, turn: Callable[[], None], pause: float) -> None:
        while not self._stop.is_set():
            try:
                turn()
            except Away:
                self._stop.wait(0.1)
            except BaseException as e:  # noqa: BLE001 - told by the test
                self.faults.append(e)
                return
            self._stop.wait(pause)

    def _send(self, backend: Backend) -> None:
        self._number += 1
        backend.send("sender", [self._number])
        self.sent.append(self._number)

    def _receive(self, name: str, backend: Backend) -> None:
        page = backend.receive(name, 100, 1)
        self.gaps += page.gap
        # The same come again until they are acknowledged, and when an acknowledgement was lost with its server.
        new = [message for message in page.messages if message.cursor not in self._had[name]]
        self._had[name].update(message.cursor for message in new)
        self.got[name] += [message.body for message in new]
        if page.messages or page.gap:
            backend.acknowledge(name, page.cursor)

    def grants(self) -> list[Held]:
        """Return all grants, in the order in which they began."""
        return sorted((held for each in self.candidates for held in each.held), key=lambda held: held.reign.begin)

    def leader_after(self, moment: float) -> float | None:
        """Return when (s since boot) a lease was taken or renewed by a request after a moment, None if not yet."""
        ends = [held.reign.end - LEASE for held in self.grants() if held.reign.end - LEASE > moment]
        return min(ends) if ends else None

    def overlap(self) -> float:
        """Return the longest time (s) in which two could believe that they lead."""
        reigns = [held.reign for held in self.grants()]
        return max((a.end - b.begin for a, b in pairwise(reigns) if a.who != b.who and a.end > b.begin), default=0.0)

    def backwards(self) -> int:
        """Return how many grants had a token that was not above that of the grant before."""
        return sum(b.token <= a.token for a, b in pairwise(self.grants()))

    def reached(self, number: int) -> bool:
        """Return whether every member has got this message or a later one."""
        return all(got and got[-1] >= number for got in self.got.values())

    def disorder(self) -> list[str]:
        """Return the members that got something out of its order, or twice."""
        return [name for name, got in self.got.items() if got != sorted(set(got))]

    def lost(self) -> int:
        """Return how many messages were acknowledged to their sender, and a member got a later one instead."""
        return len({n for got in self.got.values() if got for n in set(self.sent) - set(got) if n < got[-1]})

    def stop(self) -> None:
        """End all threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
