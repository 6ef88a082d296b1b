"""Jobs' steps as spans for a collector (OTLP over HTTP), sent behind the answers: nothing waits for them.

All four are made here, of what was committed: a claw needs neither the packages nor the way to the collector, and
the run of one that died is told of, too. Ids are those of `contract.trace`, so that what a job's command itself sends
under its `TRACEPARENT` stands below the span of its attempt.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from contract import trace
from spine.collector_settings import Collector
from spine.store.engine import Signals, Step

QUEUE_MOST = 16_384
BATCH_MOST = 512
PAUSE_SECONDS = 1.0
TELL_SECONDS = 60.0
STOP_SECONDS = 3.0
_KINDS = {
    "send": SpanKind.PRODUCER,
    "receive": SpanKind.CLIENT,
    "process": SpanKind.CONSUMER,
    "settle": SpanKind.CLIENT,
}
_FAILURES = frozenset({"failed", "expired"})
_log = structlog.get_logger()


class Traces:
    """The steps that wait to be sent, the newest `most` of them, and the thread that sends them to the collector.

    `count` is told how many spans were `sent` or `dropped`, from any thread.
    """

    def __init__(self, collector: Collector, count: Callable[[str, int], None], most: int = QUEUE_MOST) -> None:
        self._count = count
        self._waiting: deque[Step] = deque(maxlen=most)
        self._under_way = 0
        self._dropped = 0
        self._lock = threading.Lock()  # of these three, held for no call
        self._told: float | None = None
        self._news = threading.Event()
        self._ended = threading.Event()
        # A line for each of its tries would be the collector's to fill a disk with: what was dropped is told here.
        theirs = logging.getLogger("opentelemetry")
        theirs.addHandler(logging.NullHandler())
        theirs.propagate = False
        self._resource = Resource({"service.name": "spine"}).merge(OTELResourceDetector().detect())
        self._exporter = OTLPSpanExporter(
            endpoint=f"{collector.url}/v1/traces",
            headers=dict(collector.headers),
            certificate_file=collector.certificate,
            client_certificate_file=collector.client_certificate,
            client_key_file=collector.client_key,
        )
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, for a few seconds at most; what the collector has not taken by then is dropped, and told."""
        self._ended.set()
        self._news.set()
        self._thread.join(STOP_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._settle("dropped")  # of a call that hangs; the thread goes with the process
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
        self._drop(left)
        self._tell(at_once=True)

    def committed(self, signals: Signals) -> None:
        """Take the steps of a commit. Where too many wait, the oldest are dropped. From any thread.

        Those of jobs whose trace is not recorded are nobody's.
        """
        wanted = [step for step in signals.steps if trace.is_sampled(step.traceparent)]
        if not wanted:
            return
        with self._lock:
            before = len(self._waiting)
            self._waiting.extend(wanted)
            lost = before + len(wanted) - len(self._waiting)
        self._drop(lost)
        if len(self._waiting) >= BATCH_MOST:
            self._news.set()

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._news.wait(PAUSE_SECONDS)
            self._news.clear()
            is_last = self._ended.is_set()  # read before the turn: what was committed until then is in it
            try:
                self._send()
            except Exception:  # noqa: BLE001 — the outermost turn of the thread: without spans all goes on
                self._settle("dropped")
                _log.exception("traces.failed")
                self._ended.wait(TELL_SECONDS)
            self._tell()

    def _send(self) -> None:
        while self._waiting:
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MOST, len(self._waiting)))]
                self._under_way = len(batch)
            spans = [span_of(step, self._resource) for step in batch]
            taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
            self._settle("sent" if taken else "dropped")
            if not taken:
                return

    def _settle(self, outcome: str) -> None:
        """Count what became of the batch under way; once, also where a stop was faster."""
        with self._lock:
            count, self._under_way = self._under_way, 0
        if outcome == "dropped":
            self._drop(count)
        elif count:
            self._count(outcome, count)

    def _drop(self, count: int) -> None:
        if count:
            self._count("dropped", count)
            with self._lock:
                self._dropped += count

    def _tell(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and self._told is not None and now - self._told < TELL_SECONDS:
            return
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._told = now
            _log.warning("traces.dropped", spans=dropped, hint="is there a collector at OTEL_EXPORTER_OTLP_ENDPOINT?")


def span_of(step: Step, resource: Resource) -> ReadableSpan:
    """Return the span of a step. All but that of the submit are linked to it: it may have ended days before."""
    submit = _context(trace.of_submit(step.job_id, step.traceparent))
    attempt = _context(trace.of_attempt(step.job_id, step.fence, step.traceparent))
    if step.what == "send":
        known = trace.of_text(step.traceparent)
        own, parent = submit, None if known is None else _context(known)
    elif step.what == "process":
        own, parent = attempt, submit
    else:
        own = _context(trace.of_call(step.job_id, step.fence, step.what, step.traceparent))
        parent = attempt if step.what == "settle" else submit
    attributes: dict[str, str | int] = {
        "messaging.system": "spine",
        "messaging.destination.name": step.target,
        "messaging.message.id": step.job_id,
        "messaging.operation.name": step.by,
        "messaging.operation.type": step.what,
    }
    if step.fence:
        attributes["spine.fence"] = step.fence
    if step.outcome is not None:
        attributes["spine.outcome"] = step.outcome
    is_failure = step.what == "process" and step.outcome in _FAILURES
    return ReadableSpan(
        name=f"{step.what} {step.target}",
        context=own,
        parent=parent,
        resource=resource,
        attributes=attributes,
        links=() if step.what == "send" else (Link(submit),),
        kind=_KINDS[step.what],
        status=Status(StatusCode.ERROR, step.outcome) if is_failure else Status(StatusCode.UNSET),
        start_time=step.begun * 1_000_000,
        end_time=step.ended * 1_000_000,
    )


def _context(traceparent: str) -> SpanContext:
    _, of, span, flags = traceparent.split("-")
    return SpanContext(int(of, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
