"""Prometheus figures: counters of this process, and gauges read from the store, cached for 5 s."""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from contract.clock import Clock
from contract.errors import SpineError, StaleFence
from spine.queue.wake import Hub
from spine.store import listing, notices
from spine.store.engine import Engine

_CACHE_SECONDS = 5.0


class Metrics:
    """The figures of one server process, in a registry of their own."""

    def __init__(self, store: Engine, clock: Clock, hub: Hub) -> None:
        self.registry = CollectorRegistry()
        self._store, self._clock, self._hub = store, clock, hub
        self._read_at, self._counts = 0.0, list[tuple[str, str, int, int]]()
        self._notices: tuple[int, int | None] = (0, None)
        self.lease_expired = Counter("spine_lease_expired", "Leases that ended without a word", registry=self.registry)
        self.stale_fence = Counter("spine_stale_fence", "Calls refused for an old fence", registry=self.registry)
        self.refusals = Counter("spine_refusals", "Refused calls", ["error"], registry=self.registry)
        self.claim_wait = Histogram(
            "spine_claim_wait_seconds",
            "From a job's creation to its claim",
            buckets=(0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200),
            registry=self.registry,
        )
        self.job_run = Histogram(
            "spine_job_run_seconds",
            "From a job's claim to its end",
            buckets=(0.1, 1, 5, 15, 60, 300, 900, 3600, 14400),
            registry=self.registry,
        )
        self._deliveries = Counter(
            "spine_webhook_deliveries", "Tries to send a notice", ["outcome"], registry=self.registry
        )
        self.registry.register(self)

    def backups(self) -> tuple[Callable[[int], None], Callable[[], None]]:
        """Begin to count backups; return what is told of one that was made (its moment, ms), and of one that failed."""
        newest = Gauge(
            "spine_backup_newest_timestamp_seconds", "When the newest backup was made", registry=self.registry
        )
        failed = Counter("spine_backup_failures", "Backups that failed", registry=self.registry)
        return lambda at: newest.set(at / 1000), failed.inc

    def blobs(self) -> Callable[[], None]:
        """Begin to count calls of an object store; return what is told of one that failed. From any thread."""
        failed = Counter("spine_blob_failures", "Calls of the blobs' object store that failed", registry=self.registry)
        return failed.inc

    def refused(self, error: SpineError) -> None:
        """Count a refusal."""
        self.refusals.labels(error.code).inc()
        if isinstance(error, StaleFence):
            self.stale_fence.inc()

    def notice(self, outcome: str) -> None:
        """Count a try to send a notice: sent, failed or given_up. From any thread."""
        self._deliveries.labels(outcome).inc()

    def collect(self) -> Iterable[Metric]:
        """Yield what comes from the hub and the store (called by the registry, off the event loop)."""
        yield GaugeMetricFamily("spine_waiting_claims", "Claims that wait for a job", value=self._hub.waiting)
        yield GaugeMetricFamily("spine_open_streams", "Open event and log streams", value=self._hub.streams)
        yield CounterMetricFamily(
            "spine_store_operations", "Operations that were committed", value=self._store.operations
        )
        yield CounterMetricFamily("spine_store_batches", "Commits that they took", value=self._store.batches)
        if time.monotonic() - self._read_at > _CACHE_SECONDS:
            self._counts = self._store.read(listing.counts).result(timeout=10)
            self._notices = self._store.read(notices.depth).result(timeout=10)
            self._read_at = time.monotonic()
        depth = GaugeMetricFamily("spine_jobs", "Jobs", labels=["status", "target"])
        age = GaugeMetricFamily("spine_oldest_queued_age_seconds", "Age of the oldest queued job", labels=["target"])
        for status, target, count, oldest in self._counts:
            depth.add_metric([status, target], count)
            if status == "queued":
                age.add_metric([target], max(0, self._clock.now() - oldest) / 1000)
        yield depth
        yield age
        waiting, oldest_notice = self._notices
        yield GaugeMetricFamily("spine_notices_waiting", "Notices that are not sent yet", value=waiting)
        since = self._clock.now() if oldest_notice is None else oldest_notice
        yield GaugeMetricFamily(
            "spine_oldest_notice_age_seconds",
            "Age of the oldest of them",
            value=max(0, self._clock.now() - since) / 1000,
        )

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead of time: registering must not read the store."""
        return []

    def page(self) -> bytes:
        """Return the exposition text. Reads the store: call it off the event loop."""
        return generate_latest(self.registry)
