"""GET /metrics of a server that works: what Prometheus' own tool thinks of it, and what calls leave there."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.promtool import Promtool
from tests.support.raw_http import Api
from tests.support.server import Server


def requests(head: Api) -> dict[tuple[str, str, str], float]:
    """Return how many requests there were, by route, method and status."""
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(head.get("/metrics").body.decode())
        for sample in family.samples
        if sample.name == "spine_http_request_seconds_count"
    }


@pytest.mark.docker
def test_prometheus_finds_nothing_amiss(
    server: Server, claw: Api, name: str, promtool: Promtool, tmp_path: Path
) -> None:
    for _ in range(2):
        server.head.submit(target=name)
    (job,) = claw.claim_next()
    assert claw.post(f"/jobs/{job['id']}/complete", {"fence": job["fence"] + 1}).error == "stale_fence"
    assert claw.post(f"/jobs/{job['id']}/complete", {"fence": job["fence"]}).status == 200
    tmp_path.chmod(0o755)
    (tmp_path / "page").write_bytes(server.head.get("/metrics").body)
    assert promtool.run("check metrics < page", tmp_path) == (0, "")


def test_requests_are_counted_by_the_template_of_their_route(server: Server, claw: Api, name: str) -> None:
    before = requests(server.head)
    jobs = [server.head.submit(target=name)["id"] for _ in range(3)]
    for job_id in jobs:
        server.head.job(job_id)
    server.head.get("/jobs/no-such-job")
    server.nobody.get("/no/such/path")
    server.head.call("DELETE", "/jobs")
    after = requests(server.head)
    grown = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
    assert grown == {
        ("/jobs", "POST", "2xx"): 3,
        ("/jobs/{job_id}", "GET", "2xx"): 3,
        ("/jobs/{job_id}", "GET", "4xx"): 1,
        ("none", "GET", "4xx"): 1,
        ("/jobs", "DELETE", "4xx"): 1,
        ("/metrics", "GET", "2xx"): 1,
    }


def test_a_repeat_of_a_claim_counts_nothing(server: Server, claw: Api, name: str) -> None:
    server.head.submit(target=name)
    first = claw.post("/jobs/claim", {}, Idempotency_Key=name)
    again = claw.post("/jobs/claim", {}, Idempotency_Key=name)
    assert (first.status, again.headers["idempotency-replayed"]) == (200, "true")
    text = server.head.get("/metrics").body.decode()
    assert f'spine_claim_wait_seconds_count{{target="{name}",worker="0"}} 1.0' in text.splitlines()


def test_a_stream_counts_when_its_answer_begins(server: Server) -> None:
    before = requests(server.head).get(("/events", "GET", "2xx"), 0)
    with server.head.stream("/events"):
        assert requests(server.head)[("/events", "GET", "2xx")] == before + 1
