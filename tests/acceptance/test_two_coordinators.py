"""Skyclaw on two coordinators: two spines on one database, hosts and clients that know both, one killed and another."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.facades.conftest import SKYCLAW_TOKEN, Skyclaw
from tests.support.eventually import eventually
from tests.support.postgres_server import PostgresServer
from tests.support.spine_process import REPO, SpineFailed, SpineProcess, free_port

from contract import skyclaw_client

pytestmark = [pytest.mark.acceptance, pytest.mark.docker]

HOST = REPO / "tests/integration/facades/skyclaw_host.py"
LEASE_MS = 6000
HOSTS, JOBS, KILLS = 3, 40, 3


class Coordinators:
    """Two spines with node ids of their own, their hosts, and the ledger in which each job leaves a line."""

    def __init__(self, folder: Path, database: str, **more: str | None) -> None:
        self.folder, self.ledger = folder, folder / "ledger"
        self.ledger.touch()
        self.spines = []
        ports = [free_port(), free_port()]
        for n, port in enumerate(ports):
            settings: dict[str, str | None] = {
                "SPINE_DATABASE_URL": database,
                "SKYCLAW_TOKEN": SKYCLAW_TOKEN,
                "SKYCLAW_LEASE_MS": str(LEASE_MS),
                "SKYCLAW_COORDINATOR_NODE_ID": f"node-{n}",
                "SKYCLAW_PEER_URLS": f"http://127.0.0.1:{ports[1 - n]}",
                "REAPER_INTERVAL_MS": "100",
            }
            spine = SpineProcess(folder / f"spine-{n}", settings | more)
            spine.port = port
            spine.launch()
            self.spines.append(spine)
        for spine in self.spines:
            spine.wait_ready()
        self.hosts: list[subprocess.Popen[bytes]] = []

    @property
    def urls(self) -> list[str]:
        return [f"{spine.url}/skyclaw" for spine in self.spines]

    @property
    def clients(self) -> list[Skyclaw]:
        return [Skyclaw(spine.port, "/skyclaw") for spine in self.spines]

    def start_host(self, name: str) -> None:
        """Start a host that does what the real daemon does, and knows both."""
        env = {
            "SKYCLAW_COORDINATOR_URLS": ",".join(self.urls), "SKYCLAW_TOKEN": SKYCLAW_TOKEN, "SKYCLAW_HOST_ID": name,
            "SKYCLAW_POLL_MS": "100", "SKYCLAW_HEARTBEAT_MS": "400", "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            self.hosts.append(subprocess.Popen([sys.executable, str(HOST)], env=env, stdout=log, stderr=log))

    def payload(self, number: int, seconds: float = 0.05) -> dict[str, Any]:
        """A job that leaves its number in the ledger."""
        return {
            "kind": "shell",
            "command": "sh",
            "args": ["-c", f"echo {number} >> {self.ledger}; sleep {seconds}; echo done {number}"],
        }

    def done(self) -> list[int]:
        """The numbers in the ledger."""
        return [int(line) for line in self.ledger.read_text().split()]

    def enqueue(self, number: int, seconds: float = 0.05) -> str:
        """Enqueue as a client does that goes on to the next address, and begins anew when none answers."""
        payload = self.payload(number, seconds)
        return eventually(lambda: self._enqueued(payload), 30, every=0.1, what="a coordinator that takes a job")

    def _enqueued(self, payload: dict[str, Any]) -> str | None:
        try:
            return skyclaw_client.enqueue(self.urls, SKYCLAW_TOKEN, payload, ["shell"])
        except skyclaw_client.EnqueueError:
            return None

    def end_hosts(self) -> None:
        while self.hosts:
            host = self.hosts.pop()
            host.kill()
            host.wait(10)

    def close(self) -> None:
        self.end_hosts()
        for spine in self.spines:
            spine.kill9()


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Coordinators]:
    with closing(Coordinators(tmp_path_factory.mktemp("two"), database)) as found:
        yield found


def registrations(two: Coordinators) -> int:
    """How often hosts have registered."""
    return sum(host["version"] for host in state(two.clients[0])["hosts"])


@pytest.fixture
def hosts(two: Coordinators) -> Iterator[None]:
    """Hosts of this test, once they have registered: so no claim of the ones before them is still on its way."""
    two.ledger.write_text("")
    before = registrations(two)
    for n in range(HOSTS):
        two.start_host(f"host-{n}")
    eventually(lambda: registrations(two) == before + HOSTS, every=0.1, what="every host's registration")
    yield
    two.end_hosts()


def state(client: Skyclaw) -> dict[str, Any]:
    found: dict[str, Any] = client.call("GET", "/v1/state").json
    return found


@pytest.mark.timeout(400)
def test_hosts_and_clients_go_on_while_one_after_the_other_is_killed(two: Coordinators, hosts: None) -> None:
    ids: dict[str, int] = {}
    for kill in range(KILLS):
        killed, alive, node = two.spines[kill % 2], two.clients[1 - kill % 2], f"node-{1 - kill % 2}"
        for _ in range(JOBS // KILLS // 2):
            ids[two.enqueue(len(ids))] = len(ids)
        killed.kill9()
        last = two.enqueue(len(ids))
        ids[last] = len(ids)
        for _ in range(JOBS // KILLS // 2):
            ids[two.enqueue(len(ids))] = len(ids)
        eventually(lambda: alive.job(last)["status"] == "completed", what="work beside the dead one")  # noqa: B023
        assert alive.call("GET", "/health").json == {"ok": True, "nodeId": node}
        killed.start()

    def ended() -> bool:
        return {job["status"] for job in state(two.clients[0])["jobs"]} == {"completed"}

    eventually(ended, 120, every=0.2, what="the end of every job")
    shown = state(two.clients[0])
    assert {job["id"]: job["result"]["stdout"] for job in shown["jobs"]} == {x: f"done {n}\n" for x, n in ids.items()}
    assert Counter(two.done()) == Counter(range(len(ids)))
    assert [host["activeLeases"] for host in shown["hosts"]] == [0] * HOSTS  # and nobody registered twice
    assert [process.poll() for process in two.hosts] == [None] * HOSTS


def test_a_job_that_is_under_way_when_its_coordinator_dies_is_finished_at_the_other(
    two: Coordinators, hosts: None
) -> None:
    job = two.enqueue(0, seconds=LEASE_MS / 1000 + 1)  # longer than its lease: heartbeats go to the other one too
    eventually(lambda: two.done() == [0], what="the job's beginning")
    two.spines[0].kill9()
    other = two.clients[1]
    eventually(lambda: other.job(job)["status"] == "completed", what="its end")
    assert (two.done(), other.job(job)["attempts"]) == ([0], 1)
    following = two.enqueue(1)
    eventually(lambda: other.job(following)["status"] == "completed", what="the next one")
    two.spines[0].start()


def test_both_show_one_truth_under_names_of_their_own_and_have_nothing_to_copy(two: Coordinators) -> None:
    first, second = two.clients
    first.register("h", "truth")
    ids = [first.enqueue("truth"), second.enqueue("truth")]
    taken = second.claim("h")
    assert taken is not None
    assert taken["id"] == ids[0]
    shown = [state(client) for client in two.clients]
    assert [each.pop("nodeId") for each in shown] == ["node-0", "node-1"]
    assert shown[0] == shown[1]
    assert [job["status"] for job in shown[0]["jobs"] if job["id"] in ids] == ["leased", "queued"]
    for client, node in ((first, "node-0"), (second, "node-1")):
        answer = client.post("/v1/replicate/snapshot", shown[0])
        assert answer == {"ok": True, "changed": False, "nodeId": node}
    # What a client of several does: the same call again, at the next address, when an answer got lost.
    assert first.complete(taken["id"], "h").status == 200
    assert second.complete(taken["id"], "h").json["job"]["status"] == "completed"
    assert first.host("h")["activeLeases"] == second.host("h")["activeLeases"] == 0
    for spine in two.spines:
        assert "skyclaw.peers_must_share_the_store" in spine.log()


def test_a_key_that_was_used_at_one_is_known_at_the_other(two: Coordinators) -> None:
    first, second = two.clients
    first.register("keyed", "keyed")
    body = {"payload": {"kind": "shell"}, "requirement": {"requiredCapabilities": ["keyed"]}}
    made = [client.post("/v1/jobs", body, X_Idempotency_Key="k1")["job"] for client in (first, second, first)]
    assert made[0] == made[1] == made[2]
    claimed = [client.post("/v1/hosts/keyed/claim", {}, X_Idempotency_Key="k2")["job"] for client in (first, second)]
    assert claimed[0] == claimed[1]
    other = second.call("POST", "/v1/jobs", {"payload": {"kind": "other"}}, {"X-Idempotency-Key": "k1"})
    assert (other.status, other.json) == (409, {"error": "idempotency key reuse conflict for route /v1/jobs"})


def test_a_host_gets_no_more_than_it_may_from_both_at_once(two: Coordinators) -> None:
    first, second = two.clients
    first.register("eager", "eager", maxParallel=2)
    for _ in range(12):
        first.enqueue("eager")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: two.clients[n % 2].claim("eager"), range(16)))
    assert len({job["id"] for job in taken if job is not None}) == 2
    assert len([job for job in taken if job is not None]) == 2
    assert second.host("eager")["activeLeases"] == 2


def test_an_address_of_a_peer_that_is_none_is_refused(tmp_path: Path, database: str) -> None:
    settings: dict[str, str | None] = {"SPINE_DATABASE_URL": database, "SKYCLAW_TOKEN": SKYCLAW_TOKEN}
    process = SpineProcess(tmp_path / "spine", settings | {"SKYCLAW_PEER_URLS": "node-2:8787"})
    with pytest.raises(SpineFailed, match="ended with 78"):
        process.start()
    assert "SKYCLAW_PEER_URLS: 'node-2:8787' is not an http or https address" in process.log()
