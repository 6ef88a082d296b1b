"""A server whose store is a PostgreSQL database: a job's whole life over HTTP, and a commit that was lost."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from tests.support.postgres_server import PostgresServer
from tests.support.server import MakeProcess, Server, StartSpine
from tests.support.spine_process import free_port

pytestmark = pytest.mark.docker


def test_a_job_lives_through_a_restart(postgres: PostgresServer, database: str, start_spine: StartSpine) -> None:
    server = start_spine(SPINE_DATABASE_URL=postgres.url(database))
    job = server.head.submit(target="left-claw", spec="do it")
    worker = server.left.by("w1")
    (held,) = worker.claim_next()
    assert (held["id"], held["status"], held["spec"]) == (job["id"], "running", "do it")
    fence = {"X-Spine-Fence": str(held["fence"])}
    assert worker.call("POST", f"/jobs/{job['id']}/log?offset=0", b"a line\n", fence).status == 200
    done = worker.post(f"/jobs/{job['id']}/complete", {"result": {"n": 1}, "fence": held["fence"]})
    assert (done.status, done.json["status"]) == (200, "done")
    server.process.kill9()
    server.process.start()
    again = server.head.job(job["id"])
    assert (again["status"], again["result"], again["fence"]) == ("done", {"n": 1}, held["fence"])
    assert server.head.get(f"/jobs/{job['id']}/log").body == b"a line\n"
    assert [event["type"] for event in server.head.events(job["id"])] == ["job.created", "job.claimed", "job.completed"]


def test_a_lost_commit_is_told_so_and_its_repeat_gets_the_one_answer(
    postgres: PostgresServer, database: str, process: MakeProcess
) -> None:
    server = Server(process(SPINE_DATABASE_URL=postgres.url(database)).start())
    with postgres.without_standby(), ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.head.post, "/jobs", {"target": "any", "spec": 1}, Idempotency_Key="k1")
        while not lost.done():  # the server's own ticks commit too
            postgres.run(f"SELECT pg_terminate_backend({postgres.committing(database)})")
            wait([lost], 0.5)
        answer = lost.result()
    assert (answer.status, answer.error, answer.json["retryable"]) == (503, "outcome_unknown", True)
    assert answer.headers["retry-after"] == "1"
    repeat = server.head.post("/jobs", {"target": "any", "spec": 1}, Idempotency_Key="k1")
    assert (repeat.status, repeat.headers["idempotency-replayed"]) == (201, "true")
    assert [job["id"] for job in server.head.get("/jobs").json["jobs"]] == [repeat.json["id"]]


def test_a_database_that_is_away_is_a_reason_to_start_again_later(process: MakeProcess) -> None:
    url = f"postgresql://spine:a-password@127.0.0.1:{free_port()}/spine"
    refused = process(SPINE_DATABASE_URL=url)
    refused.launch()
    assert refused.wait(20) == 75, refused.log_tail()
    assert "spine: the database cannot be reached" in refused.log()
    assert "a-password" not in refused.log()
    assert "Traceback" not in refused.log()
