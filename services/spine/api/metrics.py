"""Prometheus figures: what this process counted, and what it reads from the store, kept for 5 s.

What is read from the store is the same whichever process answers. What a process counted carries the label `worker`.
Of several that serve one address each shows the others its own, and the one that is asked tells all.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

from contract import __version__
from contract.errors import BY_CODE, SpineError, StaleFence
from contract.states import Status
from contract.wire import ANY_TARGET
from spine.queue.wake import Hub
from spine.siblings import Siblings
from spine.store import listing, machines, notices
from spine.store.engine import Engine, Signals, Tx

_log = structlog.get_logger()
_KEEP_SECONDS = 5.0
_STORE_SECONDS = 5.0  # less than a scrape waits: that the store is away is told, with all else
SHARE_SECONDS = 5.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WAITS = (0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
_RUNS = (0.1, 1, 5, 15, 60, 300, 900, 3600, 14400)
# By family: of each sample its name, its labels and its value.
_SHOWN: msgspec.json.Decoder[list[tuple[str, list[tuple[str, dict[str, str], float]]]]] = msgspec.json.Decoder(
    list[tuple[str, list[tuple[str, dict[str, str], float]]]]
)
_REQUESTS = (0.005, 0.02, 0.1, 0.5, 2.5, 10, 35)  # a call may wait for 30 s


class _Read(NamedTuple):
    """What was read of the store: ages in ms at that moment, which is `at` (monotonic s)."""

    at: float
    jobs: dict[tuple[str, str], int]
    oldest: dict[str, int]
    silent: dict[str, int]
    machines: dict[str, int]
    waiting_notices: int
    oldest_notice: int | None


def _read(tx: Tx) -> _Read:
    counted = listing.counts(tx)
    contacts = machines.contacts(tx)
    waiting, since = notices.depth(tx)
    return _Read(
        at=time.monotonic(),
        jobs={(status, target): count for status, target, count, _ in counted},
        oldest={target: max(0, tx.now - created) for _, target, _, created in counted if created is not None},
        silent=_silent(tx.now, contacts),
        machines=_by_state(contacts),
        waiting_notices=waiting,
        oldest_notice=None if since is None else max(0, tx.now - since),
    )


def _silent(now: int, contacts: list[tuple[str, str, int, int | None]]) -> dict[str, int]:
    """Return for how long (ms) none of a target's claws has been heard of; those that are not to work are left out.

    A claw's name is its target. Workers of a dialect may call themselves anything, so they are one.
    """
    seen: dict[str, int] = {}
    for name, state, at, revoked in contacts:
        if revoked is None and state == "active":
            own, foreign, _ = name.partition(":")
            for target in (own,) if foreign else (own, ANY_TARGET):
                seen[target] = max(seen.get(target, 0), at)
    return {target: max(0, now - at) for target, at in seen.items()}


def _by_state(contacts: list[tuple[str, str, int, int | None]]) -> dict[str, int]:
    found = dict.fromkeys(("active", "draining", "paused", "revoked"), 0)
    for _name, state, _at, revoked in contacts:
        found[state if revoked is None else "revoked"] += 1
    return found


class Metrics:
    """The figures of one server process. `worker`: which of those that serve together it is."""

    def __init__(
        self, store: Engine, hub: Hub, data_dir: Path, worker: int = 0, siblings: Siblings | None = None
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._store, self._hub, self._data_dir = store, hub, data_dir
        self._worker, self._siblings = worker, siblings
        self._last: _Read | None = None
        self._up = True
        own = self._own = CollectorRegistry()
        ProcessCollector(registry=own)
        Info("spine_build", "Which version this is", registry=own).info({"version": __version__})
        self.lease_expired = Counter("spine_lease_expired", "Leases that ended without a word", registry=own)
        self._stale_fence = Counter("spine_stale_fence", "Calls refused for an old fence", registry=own)
        self._refusals = Counter("spine_refusals", "Refused calls", ["error"], registry=own)
        for code in BY_CODE:
            self._refusals.labels(code)
        self._waits = Histogram(
            "spine_claim_wait_seconds", "From a job being queued to its claim", ["target"], buckets=_WAITS, registry=own
        )
        self._runs = Histogram(
            "spine_job_run_seconds",
            "From a claim to the end of that run",
            ["target", "outcome"],
            buckets=_RUNS,
            registry=own,
        )
        self._requests = Histogram(
            "spine_http_request_seconds",
            "From a request to the begin of its answer",
            ["route", "method", "status"],
            buckets=_REQUESTS,
            registry=own,
        )
        self._answered: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._deliveries = Counter("spine_webhook_deliveries", "Tries to send a notice", ["outcome"], registry=own)
        for outcome in ("sent", "failed", "given_up"):
            self._deliveries.labels(outcome)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    # --- what is counted -------------------------------------------------------------------------------------------

    def backups(self) -> tuple[Callable[[int], None], Callable[[], None]]:
        """Begin to count backups; return what is told of one that was made (its moment, ms), and of one that failed."""
        newest = Gauge("spine_backup_newest_timestamp_seconds", "When the newest backup was made", registry=self._own)
        failed = Counter("spine_backup_failures", "Backups that failed", registry=self._own)
        return lambda at: newest.set(at / 1000), failed.inc

    def blobs(self) -> Callable[[], None]:
        """Begin to count calls of an object store; return what is told of one that failed. From any thread."""
        failed = Counter("spine_blob_failures", "Calls of the blobs' object store that failed", registry=self._own)
        return failed.inc

    def spans(self) -> Callable[[str, int], None]:
        """Begin to count spans for a collector; return what is told how many were sent or dropped. From any thread."""
        spans = Counter("spine_trace_spans", "Spans for the collector of traces", ["outcome"], registry=self._own)
        for outcome in ("sent", "dropped"):
            spans.labels(outcome)
        return lambda outcome, count: spans.labels(outcome).inc(count)

    def refused(self, error: SpineError) -> None:
        """Count a refusal."""
        self._refusals.labels(error.code).inc()
        if isinstance(error, StaleFence):
            self._stale_fence.inc()

    def notice(self, outcome: str) -> None:
        """Count a try to send a notice: sent, failed or given_up. From any thread."""
        self._deliveries.labels(outcome).inc()

    def committed(self, signals: Signals) -> None:
        """Count what was committed. From any thread."""
        for target, waited in signals.waits:
            self._waits.labels(target).observe(waited / 1000)
        for target, outcome, ran in signals.runs:
            self._runs.labels(target, outcome).observe(ran / 1000)
        if signals.expired:
            self.lease_expired.inc(signals.expired)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer that has begun. `route`: a template, of which there are few."""
        key = (route, method, status // 100)
        observe = self._answered.get(key)
        if observe is None:
            named = method if method in _METHODS else "other"
            observe = self._requests.labels(route, named, f"{status // 100}xx").observe
            if named == method:
                self._answered[key] = observe
        observe(seconds)

    # --- what is told ----------------------------------------------------------------------------------------------

    def page(self) -> bytes:
        """Return the exposition text. Reads the store: call it off the event loop."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead of time: registering must not read the store."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yield what the store holds, and what this process counted (called by the registry, off the event loop)."""
        found = self._look()
        yield GaugeMetricFamily("spine_store_up", "Whether the store could be read", value=int(self._up))
        if found is not None:
            yield from _of_store(found)
        disk = shutil.disk_usage(self._data_dir)
        yield GaugeMetricFamily("spine_disk_size_bytes", "Size of the disk of the data directory", value=disk.total)
        yield GaugeMetricFamily("spine_disk_free_bytes", "What is free on it", value=disk.free)
        families = self._counted()
        for data in () if self._siblings is None else self._siblings.others(self._worker):
            for name, samples in _SHOWN.decode(data):
                families[name].samples += [Sample(*sample) for sample in samples]
        yield from families.values()

    def share(self) -> None:
        """Show the others what this process has counted. From any thread."""
        shown = [(name, [sample[:3] for sample in family.samples]) for name, family in self._counted().items()]
        if self._siblings is not None and not self._siblings.show(self._worker, msgspec.json.encode(shown)):
            _log.warning("metrics.not_shared", worker=self._worker, hint="each process tells its own figures alone")

    def _counted(self) -> dict[str, Metric]:
        found = {family.name: family for family in (*self._now(), *self._own.collect())}
        for family in found.values():
            family.samples = [_of_worker(sample, self._worker) for sample in family.samples]
        return found

    def _look(self) -> _Read | None:
        """Return what the store holds; None when it cannot be read. What does not hang on it is told all the same."""
        if self._last is None or time.monotonic() - self._last.at > _KEEP_SECONDS:
            try:
                self._last, self._up = self._store.read(_read).result(timeout=_STORE_SECONDS), True
            except (SpineError, TimeoutError) as e:
                _log.warning("metrics.store_unread", error=str(e), kind=type(e).__name__)
                self._last, self._up = None, False
        return self._last

    def _now(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("spine_waiting_claims", "Claims that wait for a job", value=self._hub.waiting)
        yield GaugeMetricFamily("spine_open_streams", "Open event and log streams", value=self._hub.streams)
        yield CounterMetricFamily(
            "spine_store_operations", "Operations that were committed", value=self._store.operations
        )
        yield CounterMetricFamily("spine_store_batches", "Commits that they took", value=self._store.batches)


def _of_store(found: _Read) -> Iterable[Metric]:
    since = time.monotonic() - found.at
    # Every status of a target that has a job, also where there is none now: a series that goes has no last value.
    targets = sorted({target for _, target in found.jobs})
    depth = GaugeMetricFamily("spine_jobs", "Jobs", labels=["status", "target"])
    age = GaugeMetricFamily("spine_oldest_queued_age_seconds", "Age of the oldest queued job", labels=["target"])
    for target in targets:
        for status in Status:
            depth.add_metric([status.value, target], found.jobs.get((status.value, target), 0))
        oldest = found.oldest.get(target)
        age.add_metric([target], 0 if oldest is None else oldest / 1000 + since)
    yield depth
    yield age
    silent = GaugeMetricFamily(
        "spine_claw_last_seen_seconds", "Since a claw of the target was heard of last", labels=["target"]
    )
    for target, ms in sorted(found.silent.items()):
        silent.add_metric([target], ms / 1000 + since)
    yield silent
    heard = GaugeMetricFamily("spine_machines", "Machines that were heard of", labels=["state"])
    for state, count in found.machines.items():
        heard.add_metric([state], count)
    yield heard
    yield GaugeMetricFamily("spine_notices_waiting", "Notices that are not sent yet", value=found.waiting_notices)
    yield GaugeMetricFamily(
        "spine_oldest_notice_age_seconds",
        "Age of the oldest of them",
        value=0 if found.oldest_notice is None else found.oldest_notice / 1000 + since,
    )


def _of_worker(sample: Sample, worker: int) -> Sample:
    return sample._replace(labels={**sample.labels, "worker": str(worker)})
