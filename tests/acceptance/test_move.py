"""A store moved to PostgreSQL under a fleet at work: nothing that was acknowledged is lost or done twice."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.acceptance.conftest import NAMES, MakeMachine
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.postgres_server import PostgresServer
from tests.support.raw_http import Api
from tests.support.spine_process import TOKENS, SpineProcess

from contract.client import SpineClient
from contract.retry import RetryPolicy
from contract.wire import Job

pytestmark = [pytest.mark.acceptance, pytest.mark.docker]

STUBBORN = RetryPolicy(attempts=1000, base_seconds=0.1, cap_seconds=0.5, total_seconds=90)


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create(template="template0")
    yield postgres.url(name)
    postgres.drop(name)


AHEAD = 3  # jobs that the submitter may be ahead of the claw


class Submitter:
    """A head that submits jobs, each until it is acknowledged, as fast as they are done."""

    def __init__(self, spine: SpineProcess, machine: Machine, ledger: Ledger) -> None:
        self._head = SpineClient(spine.url, TOKENS["HEAD_TOKEN"], retry=STUBBORN)
        self._job = {"target": machine.name, "spec": {"run": ledger.note("ran")}}
        self.ids: list[str] = []
        self._ledger = ledger
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._running = self._pool.submit(self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            if len(self.ids) - len(self._ledger.entries()) < AHEAD:
                self.ids.append(self._head.submit(self._job).id)

    def stop(self) -> list[str]:
        self._stop.set()
        self._running.result(90)
        self._pool.shutdown()
        return self.ids


@pytest.mark.timeout(400, func_only=True)
def test_a_live_store_is_moved_and_the_fleet_goes_on(
    spine: SpineProcess, machine_of: MakeMachine, ledger: Ledger, url: str, until_status: Callable[..., Job]
) -> None:
    holder, worker = machine_of(NAMES[0]), machine_of(NAMES[1])
    holder.run()
    worker.run()
    gate = holder.folder / "gate"
    run = f"{ledger.note('begun')}; while [ ! -e {gate} ]; do sleep 0.05; done; {ledger.note('ended')}"
    head = Api(spine.port, TOKENS["HEAD_TOKEN"])
    held = head.submit(target=holder.name, spec={"run": run})["id"]
    eventually(lambda: ledger.marks(held) == ["begun"], 30, what="a job that runs")
    submitter = Submitter(spine, worker, ledger)
    eventually(lambda: len(ledger.entries()) > 4, 30, what="a fleet at work")
    cursor = head.get("/events?limit=1").json["nextCursor"]

    mover = subprocess.Popen(
        [sys.executable, "-m", "spine.cli", "migrate-store", "--to", url],
        env=spine.environment(), cwd=spine.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert mover.stderr is not None
        asked = next(line for line in mover.stderr if "stop the spine now" in line)
        assert f"(process {spine.worker_pid};" in asked
        before = len(submitter.ids)
        eventually(lambda: len(submitter.ids) > before + 2, 30, what="a spine that goes on until it is stopped")
        assert spine.stop() == 0
        told, faults = mover.communicate(timeout=60)
        assert mover.returncode == 0, faults
    finally:
        mover.kill()
    assert f"moved {spine.data_dir} to {url}\n" in told

    stale = SpineProcess(spine.folder, {"SPINE_DATA_DIR": str(spine.data_dir)})
    stale.launch()
    assert stale.wait(30) == 78
    assert f"this store was moved to {url}: set SPINE_DATABASE_URL to that database" in stale.log()

    acknowledged = len(submitter.ids)
    spine.start(SPINE_DATABASE_URL=url)
    eventually(lambda: len(submitter.ids) > acknowledged + 2, 60, what="jobs for the new store")
    ids = submitter.stop()
    gate.touch()
    job = until_status(held, "done")
    assert (job.attempts, job.fence, ledger.marks(held)) == (1, 1, ["begun", "ended"])
    for job_id in ids:
        until_status(job_id, "done")
    assert {job_id: ledger.marks(job_id) for job_id in ids} == {job_id: ["ran"] for job_id in ids}
    assert ledger.repeated() == []
    page = head.get(f"/events?limit=1&cursor={cursor}").json
    assert page["gap"] is True
