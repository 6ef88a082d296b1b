"""Claims at the store itself, without HTTP: one process on a database. Run as a command: `URL CLAIMS UNDER_WAY`."""

import sys
import threading
from concurrent.futures import Future
from dataclasses import replace

from tests.bench.sides import timed
from tests.suites.harness import LEFT, new_rules

from spine.queue import claim
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.postgres import PostgresEngine

DAY_MS = 86_400_000


def main() -> None:
    """Measure once."""
    url, count, under_way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Leases that end while a figure is taken would have a server's reaper at work beside it.
    rules = replace(new_rules(), lease_ms=DAY_MS, accept_lease_ms=DAY_MS)
    engine, targets = PostgresEngine(url), claim.targets_of(LEFT, None)
    engine.on_rollback = rules.forget
    asked, answered, over = 0, 0, threading.Event()
    turn = threading.Lock()
    faults: list[object] = []

    def verb(tx: Tx) -> list[JobRow]:
        return claim.claim_next(tx, rules, LEFT, targets, frozenset(), 1)

    def ask() -> None:
        nonlocal asked
        with turn:
            if asked == count:
                return
            asked += 1
        engine.write(verb, beside=True).add_done_callback(got)

    def got(future: "Future[list[JobRow]]") -> None:
        nonlocal answered
        fault = future.exception()
        if fault is not None or len(future.result()) != 1:
            faults.append(fault or "a claim brought no job")
            over.set()
            return
        with turn:
            answered += 1
            if answered == count:
                over.set()
        ask()

    def work() -> None:
        for _ in range(under_way):
            ask()
        over.wait()

    timed(work)
    engine.close()
    if faults:
        sys.exit(f"{faults[0]!r}")


if __name__ == "__main__":
    main()
