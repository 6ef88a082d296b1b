"""What `make up-ha` starts: nine healthy containers, of which any one may go, also the primary database."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from tests.support.engine import run_in
from tests.support.eventually import eventually
from tests.support.stack import CLAWS, REPO, Stack, clean_environ

from contract.lease_client import LeaseClient

pytestmark = pytest.mark.docker

USERS = {
    **{"postgres-a": 10005, "postgres-b": 10005, "spine-a": 10001, "spine-b": 10001, "proxy": 10004},
    **{"head-a": 10003, "head-b": 10003, "left-claw": 10002, "right-claw": 10002},
}
OVERLAY = REPO / "tests" / "e2e" / "compose.ha.test.yaml"
STATUS = "postgres-a: {}\npostgres-b: {}\n"
GUARDED = "primary, commits wait for a standby, of which there are 1"


class Doubled(Stack):
    """The project of compose.ha.yaml."""

    def __init__(self, client: docker.DockerClient, folder: Path, image_tag: str) -> None:
        super().__init__(client, folder, image_tag)
        files = f"{self.folder}/compose.ha.yaml:{OVERLAY}"
        # A pause of the database must not end a lease: each job is then done once.
        self.configure({"COMPOSE_FILE": files, "LEASE_SECONDS": "60", "SPINE_ACCEPT_LEASE_SECONDS": "60"})
        self.files = files

    def ha(self, *words: str, code: int = 0) -> str:
        """Run ha.sh, which ends with this code; return what it printed."""
        command = [str(self.folder / "ha.sh"), *words]
        environ = clean_environ() | {"HA_COMPOSE_FILE": self.files}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def beside(self, service: str, script: str) -> str:
        """Run a script with what a service has that does not run; return what it printed."""
        return self.run("run", "--rm", "--no-deps", "-T", service, "sh", "-euc", script)


class Submitting:
    """A thread that submits one job after another through the proxy, each until it is answered."""

    def __init__(self, stack: Doubled) -> None:
        self._stack = stack
        self.ids: list[str] = []
        self.longest = 0.0
        self._over = threading.Event()
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._go, daemon=True)

    def _go(self) -> None:
        spec = {"target": "any", "spec": {"run": self._stack.ledger.note("done")}}
        try:
            while not self._over.wait(0.2):
                begun = time.monotonic()
                self.ids.append(self._stack.stubborn.submit(spec).id)
                self.longest = max(self.longest, time.monotonic() - begun)
        except Exception as e:  # noqa: BLE001 — told by the thread that waits
            self._failed.append(e)

    def __enter__(self) -> "Submitting":
        self._thread.start()
        return self

    def more(self, count: int) -> None:
        """Wait until so many further jobs have been acknowledged."""
        wanted, until = len(self.ids) + count, time.monotonic() + 60
        while len(self.ids) < wanted:
            assert not self._failed, self._failed
            assert time.monotonic() < until, f"{len(self.ids)} of {wanted} jobs"
            self._over.wait(0.05)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(90)
        assert not self._failed, self._failed

    def all_done_once(self) -> None:
        """See that every acknowledged job was done and reported, and done once."""
        for job_id in self.ids:
            job = self._stack.until_status(job_id, "done", seconds=60)
            assert (job.attempts, self._stack.ledger.marks(job_id)) == (1, ["done"])


@pytest.fixture(scope="module")
def doubled(engine: docker.DockerClient, image_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubled]:
    """The project, started as `make up-ha` does."""
    names = {name: f"spinal-cord/{name}:{image_tag}" for name in ("postgres", "proxy")}
    for name, image in names.items():
        context = str(REPO / "compose" / name)
        built = ["docker", "build", "--quiet", "--tag", image, context]
        subprocess.run(built, check=True, capture_output=True, timeout=600)
    stack = Doubled(engine, tmp_path_factory.mktemp("doubled"), image_tag)
    try:
        made = stack.script("tokens.sh", f"spinal-cord/spine:{image_tag}", "ha")
        assert made.returncode == 0, made.stderr
        stack.seconds_up = stack.up()
        stack.ha("guard")
        yield stack
    finally:
        stack.remove()
        for image in names.values():
            engine.images.remove(image)


def test_all_are_healthy_shut_in_and_do_a_job_that_came_by_the_proxy(
    doubled: Doubled, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds until nine containers were healthy", doubled.seconds_up)
    assert {service: doubled.health(service) for service in USERS} == dict.fromkeys(USERS, "healthy")
    assert doubled.ha("status") == STATUS.format(GUARDED, "standby")
    for service, user in USERS.items():
        found = doubled.container(service).attrs
        host = found["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"] or []) == (True, ["ALL"], []), service
        assert (host["SecurityOpt"], host["Privileged"]) == (["no-new-privileges:true"], False), service
        assert found["Config"]["User"] == f"{user}:{user}", service
        assert host["Memory"], service
    password = (doubled.folder / "secrets" / "database.password").read_text().strip()
    assert len(password) > 40
    for service in USERS:
        shown = str(doubled.container(service).attrs) + str(doubled.container(service).top())
        assert password not in shown, service
    job = doubled.head.submit({"target": "any", "spec": {"run": doubled.ledger.note("done")}})
    assert doubled.until_status(job.id, "done").claimed_by in CLAWS
    blob = doubled.head.upload("a.txt", b"for both")
    assert [doubled.head.download(blob.id) for _ in range(4)] == [b"for both"] * 4  # the proxy asks one after the other


def test_one_of_the_heads_acts_and_the_other_when_it_is_gone(doubled: Doubled) -> None:
    leases = LeaseClient(doubled.url, doubled.token("head"))

    def leader() -> str | None:
        holder = leases.lease("heads").holder
        return next((head for head in ("head-a", "head-b") if (holder or "").startswith(f"{head}")), None)

    first = eventually(leader, every=0.2, what="a head that leads")
    doubled.container(first).stop()
    other = {"head-a": "head-b", "head-b": "head-a"}[first]
    eventually(lambda: leader() == other, every=0.2, what="the other head in its place")
    doubled.container(first).start()


def test_a_spine_that_is_killed_is_not_missed(doubled: Doubled, record_property: Callable[[str, object], None]) -> None:
    with Submitting(doubled) as work:
        work.more(3)
        doubled.container("spine-a").kill()
        work.more(10)
        doubled.container("spine-a").start()
        work.more(3)
    work.all_done_once()
    record_property("seconds that a submit took at most while a spine was killed", work.longest)
    assert work.longest < 15
    doubled.until_health("spine-a", "healthy")


def test_a_primary_that_is_killed_has_its_standby_in_its_place(
    doubled: Doubled, record_property: Callable[[str, object], None]
) -> None:
    with Submitting(doubled) as work:
        work.more(5)
        doubled.container("postgres-a").kill()
        doubled.beside("postgres-a", 'mv "$PGDATA" "$PGDATA.lost"')
        assert "does not tell whether its commits waited" in doubled.ha("promote", "postgres-b", code=1)
        doubled.beside("postgres-a", 'mv "$PGDATA.lost" "$PGDATA"')
        assert doubled.ha("promote", "postgres-b").startswith("ha: postgres-b is the primary, and has no standby")
        work.more(10)
    work.all_done_once()
    record_property("seconds that a submit took at most while the primary was killed", work.longest)
    assert doubled.ha("status") == STATUS.format("does not answer", "primary, commits wait for no standby")
    # As `make up-ha`: the one that was killed comes back as the standby of the other.
    doubled.up()
    doubled.ha("guard")
    assert doubled.ha("status") == STATUS.format("standby", GUARDED)
    job = doubled.head.submit({"target": "any", "spec": {"run": "true"}})
    assert doubled.until_status(job.id, "done").status == "done"


def test_a_standby_that_was_away_for_longer_than_the_log_is_kept_is_copied_anew(doubled: Doubled) -> None:
    standby = "postgres-a" if "postgres-a: standby" in doubled.ha("status") else "postgres-b"
    primary = {"postgres-a": "postgres-b", "postgres-b": "postgres-a"}[standby]
    doubled.container(standby).stop()
    doubled.ha("alone")
    # 800 MiB of log, which has room for 512: of each segment next to nothing is written.
    piece = "SELECT pg_logical_emit_message(true, 'test', ''); SELECT pg_switch_wal();"
    for _ in range(2):
        code, output = run_in(doubled.container(primary), ["psql", "-Xqc", f"{piece * 25} CHECKPOINT", "postgres"])
        assert code == 0, output
    doubled.up()
    # Commits wait for nobody yet: what was acknowledged since may be on one disk.
    assert "nothing was changed\n" in doubled.ha("promote", standby, code=1)
    assert f"{primary}: primary, commits wait for no standby" in doubled.ha("status")
    doubled.ha("guard")
    assert "its data is copied anew" in doubled.container(standby).logs().decode()
    lines = {primary: GUARDED, standby: "standby"}
    assert doubled.ha("status") == STATUS.format(lines["postgres-a"], lines["postgres-b"])


def test_a_standby_that_was_killed_as_it_took_its_copy_goes_on_with_it(doubled: Doubled) -> None:
    standby = "postgres-a" if "postgres-a: standby" in doubled.ha("status") else "postgres-b"
    doubled.container(standby).kill()
    # As between the two moves: what it had is set aside, and the copy has not its place yet.
    doubled.beside(
        standby, 'touch "$PGDATA/of-the-copy" /data/late; mv "$PGDATA" "$PGDATA.whole"; mkdir "$PGDATA.aside"'
    )
    doubled.up()
    doubled.ha("guard")
    assert f"{standby}: standby" in doubled.ha("status")
    found = doubled.sh(
        standby, 'ls "$PGDATA/of-the-copy"; ls -d "$PGDATA.whole" "$PGDATA.aside" /data/late 2>/dev/null'
    )
    assert found[1].splitlines() == ["/data/cluster/of-the-copy"]
