"""A trace goes from whoever submits to the job, and from a job to those that follow from it."""

import pytest
from tests.support.server import Server

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"


def made(server: Server, header: str | None, **fields: object) -> dict[str, object]:
    answer = server.head.post("/jobs", {"spec": "x", **fields}, **({} if header is None else {"traceparent": header}))
    assert answer.status == 201, answer.body
    job: dict[str, object] = answer.json
    return job


def test_the_header_of_a_submit_is_kept_unless_the_body_names_another(server: Server) -> None:
    assert made(server, GIVEN)["traceparent"] == GIVEN
    assert made(server, GIVEN, traceparent=OTHER)["traceparent"] == OTHER
    assert made(server, None)["traceparent"] is None


@pytest.mark.parametrize("header", ["", "hello", GIVEN.upper(), "ff" + GIVEN[2:]])
def test_a_header_that_is_none_is_ignored(server: Server, header: str) -> None:
    assert made(server, header)["traceparent"] is None


def test_each_job_of_a_list_takes_the_header(server: Server) -> None:
    jobs = [{"spec": "x"}, {"spec": "x", "traceparent": OTHER}]
    answer = server.head.post("/jobs", jobs, traceparent=GIVEN)
    assert [job["traceparent"] for job in answer.json["jobs"]] == [GIVEN, OTHER]


def test_a_job_is_in_the_trace_of_its_parent_unless_it_names_another(server: Server) -> None:
    parent = made(server, GIVEN)["id"]
    assert made(server, None, parentId=parent)["traceparent"] == GIVEN
    assert made(server, OTHER, parentId=parent)["traceparent"] == OTHER
    assert made(server, None, parentId="no-job-of-ours")["traceparent"] is None
