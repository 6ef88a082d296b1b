"""Jobs' spans at a collector: the four of a job, what they say of each end, and what a collector's absence costs."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.support.authority import Authority
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.figures import figure
from tests.support.raw_http import Api
from tests.support.receiver import Receiver, Say
from tests.support.spine_process import TOKENS, SpineFailed, SpineProcess, free_port
from tests.support.stores import ON_BOTH_ENGINES, Settings, opened

from contract import trace

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"
# Spans of a machine that is busy with other tests come late.
PATIENCE = 60.0


@pytest.fixture
def collector() -> Iterator[Receiver]:
    receiver = Receiver(Say(200))
    yield receiver
    receiver.close()


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Settings]:
    yield from opened(request)


@pytest.fixture
def spine(tmp_path: Path, store: Settings) -> Iterator[SpineProcess]:
    """A server that the test starts, with a collector; a claim of it holds on a busy machine, too."""
    settings = {"SPINE_ACCEPT_LEASE_SECONDS": "300", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
    server = SpineProcess(tmp_path / "spine", {**settings, **store})
    yield server
    server.kill9()


def spans(collector: Receiver, job_id: str) -> list[Span]:
    """Return what the collector has of a job, in the order in which it came."""
    found = []
    for call in list(collector.ledger):
        assert call.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(call.body).resource_spans:
            assert [(a.key, a.value.string_value) for a in resource.resource.attributes] == [("service.name", "spine")]
            found += [span for scope in resource.scope_spans for span in scope.spans]
    return [span for span in found if said(span)["messaging.message.id"] == job_id]


def until(collector: Receiver, job_id: str, count: int) -> list[Span]:
    """Wait for so many spans of a job."""
    eventually(lambda: len(spans(collector, job_id)) >= count, PATIENCE, what=f"{count} spans")
    return spans(collector, job_id)


def said(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


def context(span: Span) -> str:
    return f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


def told(span: Span) -> tuple[object, ...]:
    """Return the kind of step, its verb, the fence and the outcome."""
    names = ("messaging.operation.type", "messaging.operation.name", "spine.fence", "spine.outcome")
    return tuple(said(span).get(name) for name in names)


def made(api: Api, **fields: object) -> str:
    answer = api.post("/jobs", {"spec": "x", "target": "left-claw", **fields})
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def claimed(api: Api) -> str:
    answer = api.post("/jobs/claim", {})
    assert answer.status == 200, answer.body
    return str(answer.json["jobs"][0]["id"])


def test_a_job_of_a_real_claw_is_four_spans_of_the_trace_of_its_submit(
    spine: SpineProcess, collector: Receiver, tmp_path: Path
) -> None:
    spine.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    machine = Machine(tmp_path / "claw", "left-claw", TOKENS["LEFT_CLAW_TOKEN"], spine.url)
    machine.run()
    try:
        seen = tmp_path / "seen"
        api = Api(spine.port, TOKENS["HEAD_TOKEN"])
        job_id = made(api, spec={"run": f"echo $TRACEPARENT > {seen}"}, traceparent=GIVEN)
        send, receive, process, settle = until(collector, job_id, 4)
        eventually(lambda: figure(api, "spine_trace_spans_total") == 4, PATIENCE, what="the count of what was sent")
    finally:
        machine.crash()
    assert spine.stop() == 0
    assert spine.faults() == []
    assert len(spans(collector, job_id)) == 4
    found = (send, receive, process, settle)
    assert [(span.name, span.kind, span.parent_span_id, len(span.links)) for span in found] == [
        ("send left-claw", Span.SPAN_KIND_PRODUCER, bytes.fromhex("00f067aa0ba902b7"), 0),
        ("receive left-claw", Span.SPAN_KIND_CLIENT, send.span_id, 1),
        ("process left-claw", Span.SPAN_KIND_CONSUMER, send.span_id, 1),
        ("settle left-claw", Span.SPAN_KIND_CLIENT, process.span_id, 1),
    ]
    for span in (receive, process, settle):
        assert (span.links[0].trace_id, span.links[0].span_id) == (send.trace_id, send.span_id)
    assert context(process) == trace.of_attempt(job_id, 1, GIVEN) == seen.read_text().strip()
    assert {span.trace_id.hex() for span in found} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert said(send) == {
        "messaging.system": "spine",
        "messaging.destination.name": "left-claw",
        "messaging.message.id": job_id,
        "messaging.operation.name": "submit",
        "messaging.operation.type": "send",
    }
    assert said(process) == {
        "messaging.system": "spine",
        "messaging.destination.name": "left-claw",
        "messaging.message.id": job_id,
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "spine.fence": 1,
        "spine.outcome": "done",
    }
    assert told(receive) == ("receive", "claim", 1, None)
    assert told(settle) == ("settle", "complete", 1, "done")
    assert send.start_time_unix_nano <= receive.start_time_unix_nano == process.start_time_unix_nano
    assert process.start_time_unix_nano < process.end_time_unix_nano == settle.end_time_unix_nano
    assert abs(time.time() - send.start_time_unix_nano / 1e9) < 600


@ON_BOTH_ENGINES
def test_each_end_of_an_attempt_is_told_of_once(spine: SpineProcess, collector: Receiver) -> None:
    spine.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    head, claw = Api(spine.port, TOKENS["HEAD_TOKEN"]), Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"]).by("w1")
    silent = made(head, traceparent=UNSAMPLED)
    assert claimed(claw) == silent
    assert claw.post(f"/jobs/{silent}/complete", {}, X_Spine_Fence="1").status == 200
    job_id = made(head)
    for verb, body in (("fail", {"error": "no", "requeue": True}), ("release", {})):
        assert claimed(claw) == job_id
        fence = str(head.get(f"/jobs/{job_id}").json["fence"])
        for _ in range(2):  # the repeat changes nothing, and is no step
            assert claw.post(f"/jobs/{job_id}/{verb}", body, X_Spine_Fence=fence).status == 200
    assert claimed(claw) == job_id
    assert head.post(f"/jobs/{job_id}/cancel", {}).status == 200
    found = until(collector, job_id, 9)
    assert spine.stop() == 0
    assert [told(span) for span in found] == [
        ("send", "submit", None, None),
        ("receive", "claim", 1, None),
        ("process", "run", 1, "failed"),
        ("settle", "fail", 1, "failed"),
        ("receive", "claim", 2, None),
        ("process", "run", 2, "released"),
        ("settle", "release", 2, "released"),
        ("receive", "claim", 3, None),
        ("process", "run", 3, "cancelled"),
    ]
    assert found[0].parent_span_id == b""  # the job began its trace
    assert [span.status.code for span in found if span.name.startswith("process")] == [2, 0, 0]
    assert len({span.span_id for span in found}) == 9
    assert spans(collector, silent) == []


@pytest.mark.parametrize("lease", ["accepted", "unaccepted"])
def test_a_lease_that_ends_is_a_run_that_expired_where_the_claw_had_it(
    spine: SpineProcess, collector: Receiver, lease: str
) -> None:
    given = {"LEASE_SECONDS": "2", "SPINE_ACCEPT_LEASE_SECONDS": "2", "REAPER_INTERVAL_MS": "100"}
    spine.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **given)
    head, claw = Api(spine.port, TOKENS["HEAD_TOKEN"]), Api(spine.port, TOKENS["LEFT_CLAW_TOKEN"]).by("w1")
    job_id = made(head)
    verb = f"/jobs/{job_id}/claim" if lease == "accepted" else "/jobs/claim"  # by its id: with a full lease at once
    assert claw.post(verb, {}).status == 200
    eventually(lambda: head.get(f"/jobs/{job_id}").json["status"] == "queued", PATIENCE, what="the end of the lease")
    assert claw.post(f"/jobs/{job_id}/complete", {}, X_Spine_Fence="1").status == 200
    found = until(collector, job_id, 4 if lease == "accepted" else 3)
    assert spine.stop() == 0
    run = [("process", "run", 1, "expired")] if lease == "accepted" else []
    assert [told(span) for span in found] == [
        ("send", "submit", None, None),
        ("receive", "claim", 1, None),
        *run,
        ("settle", "complete", 1, "done"),
    ]


@pytest.mark.docker
@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_each_of_several_processes_sends_what_it_has_committed(spine: SpineProcess, collector: Receiver) -> None:
    spine.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, SPINE_WORKERS="2")
    job_ids = [made(Api(spine.port, TOKENS["HEAD_TOKEN"])) for _ in range(20)]  # a connection each
    eventually(lambda: all(spans(collector, job_id) for job_id in job_ids), PATIENCE, what="a span of each job")
    assert spine.stop() == 0
    assert [len(spans(collector, job_id)) for job_id in job_ids] == [1] * 20
    assert spine.faults() == []


@pytest.mark.parametrize("kind", ["refused", "hangs"])
def test_without_its_collector_a_spine_answers_and_stops_as_ever(
    spine: SpineProcess, collector: Receiver, kind: str
) -> None:
    collector.then(Say(hang=True))
    spine.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url if kind == "hangs" else f"http://127.0.0.1:{free_port()}")
    head = Api(spine.port, TOKENS["HEAD_TOKEN"])
    made(head)
    eventually(lambda: "traces.dropped" in spine.log(), PATIENCE, what="a line of what was dropped")
    assert figure(head, "spine_trace_spans_total") >= 1
    for _ in range(20):
        made(head)
    assert spine.stop() == 0
    assert "opentelemetry" not in spine.log()
    assert spine.faults() == []


def test_a_collector_that_wants_a_token_and_certificates_gets_them_and_no_line_has_the_token(
    spine: SpineProcess, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    asking = authority.server()
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(authority.file)
    collector, file = Receiver(Say(200), tls=asking), tmp_path / "headers"
    file.write_text("authorization=Bearer%20a-token-of-the-collector\n")
    spine.start(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{collector.port}",
        OTEL_EXPORTER_OTLP_HEADERS_FILE=str(file),
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.file),
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(authority.pem),
    )
    until(collector, made(Api(spine.port, TOKENS["HEAD_TOKEN"])), 1)
    assert spine.stop() == 0
    collector.close()
    assert collector.ledger[0].headers["authorization"] == "Bearer a-token-of-the-collector"
    assert "a-token-of-the-collector" not in spine.log()
    assert "traces.dropped" not in spine.log()


def test_a_collector_without_the_extra_is_told_at_the_start(spine: SpineProcess, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    path = f"{site}:{spine.environment()['PYTHONPATH']}"
    with pytest.raises(SpineFailed) as failed:
        spine.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318", PYTHONPATH=path)
    told = "OTEL_EXPORTER_OTLP_ENDPOINT: opentelemetry is not installed; pip install 'spinal-cord[otel]'"
    assert told in str(failed.value)
    assert "Traceback" not in str(failed.value)
