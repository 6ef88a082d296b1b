"""Three bare machines become a fleet over SSH, and stay one: bad machines, other tokens, upgrades, kills, restarts.

A story: each test goes on where the one before it has left the fleet.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from tests.deploy.controller import Controller, kill_group
from tests.deploy.fleet import HEAD, LEFT, MACHINES, RIGHT, SPINE, Fleet
from tests.deploy.work import Work, knocking
from tests.support.eventually import eventually
from tests.support.fake_discord import TOKEN as DISCORD_TOKEN
from tests.support.fake_discord import FakeDiscord
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.mock_model import ANSWER
from tests.support.receiver import Receiver
from tests.support.systemd_host import Host, Hosts

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

NAMES = ("head", "left-claw", "right-claw")
SIGNING = "whsec_" + base64.b64encode(b"a key that signs a notice").decode()
UNCHANGED = dict.fromkeys(["localhost", *MACHINES], 0)


@pytest.fixture(scope="module")
def fleet(hosts: Hosts, wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three bare machines, and a controller with a release to bring to them."""
    folder = tmp_path_factory.mktemp("fleet")
    controller = Controller(folder / "checkout", wheelhouse)
    try:
        controller.release()
        fleet = Fleet(hosts, controller, folder / "inventory")
        yield fleet
        hosts.remove(*fleet.all)
    finally:
        controller.close()


@pytest.fixture(scope="module")
def receiver(fleet: Fleet) -> Iterator[Receiver]:
    """Whom the spine tells of what ends."""
    made = Receiver(host=fleet.engine_address)
    fleet.settle(
        "head-box", spine_notices={"room": {"channel": "webhook", "url": f"{made.url}/room", "secrets": [SIGNING]}}
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(fleet: Fleet) -> Iterator[FakeGateway]:
    """On which the texts for left-claw, and for no other, become sessions."""
    with FakeGateway(host=fleet.engine_address) as made:
        fleet.settle("left-claw", claw_gateway_token=TOKEN, claw_settings={"OPENCLAW_GATEWAY_URL": made.url})
        yield made


# --- from bare machines -----------------------------------------------------------------------------------------------


def test_a_check_of_bare_machines_changes_nothing(fleet: Fleet) -> None:
    played = fleet.play("site", "--check", "--diff")
    assert "failed=1" not in played.text
    for host in fleet.all:
        left = host.run("ls -d /opt/spinal-cord /etc/spinal-cord /etc/systemd/system/spinal-* 2>/dev/null", check=False)
        assert left.text == ""
    assert not fleet.secrets.exists()


@pytest.mark.usefixtures("receiver", "gateway")
def test_they_become_a_fleet(fleet: Fleet) -> None:
    played = fleet.play("site", "--diff")
    assert [secret for secret in (TOKEN, SIGNING) if secret in played.text] == []
    assert [name for name in MACHINES if not played.changed[name]] == []
    left = fleet.submit("--target", "left-claw", "--run", "hostname")
    assert (left["status"], left["claimedBy"], left["attempts"]) == ("done", "left-claw", 1)
    assert left["result"]["notes"].splitlines()[-1] == "left-claw"
    either = fleet.submit("--target", "any", "--run", "hostname")
    assert either["status"] == "done"
    assert either["claimedBy"] in ("left-claw", "right-claw")
    code, told = fleet.doctor()
    assert (code, sorted(told), [told[name]["faults"] for name in MACHINES]) == (0, MACHINES, [[], [], []])
    assert told["head-box"]["units"] == "3 of 3 active"
    assert {told[name]["release"] for name in MACHINES} == set(fleet.releases().values())


def test_a_second_run_changes_nothing_and_no_output_has_a_secret(fleet: Fleet) -> None:
    pids = fleet.units()
    checked = fleet.play("site", "--check", "--diff")
    assert checked.changed == UNCHANGED
    played = fleet.play("site", "-v", "--diff")
    assert played.changed == UNCHANGED
    secrets = [*map(fleet.token, NAMES), TOKEN, SIGNING]
    assert [secret for secret in secrets if secret in checked.text + played.text] == []
    assert fleet.units() == pids


def test_a_text_is_a_session_by_the_gateway_s_token_and_its_end_is_told(
    fleet: Fleet, gateway: FakeGateway, receiver: Receiver
) -> None:
    meta = {"agent": {"id": "main", "model": "mock/answers"}}
    job = fleet.head().submit(target="left-claw", spec="What is six times seven?", meta=meta, notify=["@room"])
    (call,) = receiver.calls(1, seconds=180)
    assert (call.path, call.json["type"], call.json["subject"]) == ("/room", "spine.job.completed", job["id"])
    assert fleet.head().job(job["id"])["result"]["notes"] == ANSWER
    assert gateway.connects[-1]["auth"]["token"] == TOKEN
    seen = fleet.submit("--target", "left-claw", "--run", "env")["result"]["notes"]
    assert "GATEWAY" not in seen


TAKE_OFF_CHAT = """
systemctl disable --now spinal-chat.service
rm -r /etc/systemd/system/spinal-chat.service* /etc/spinal-cord/chat.env /etc/spinal-cord/secrets/chat.*
systemctl daemon-reload
"""


def test_a_chat_front_joins_answers_and_changes_its_token(fleet: Fleet) -> None:
    only = ("--limit", "head-box,localhost")
    with FakeDiscord(host=fleet.engine_address) as discord:
        ada = discord.user("ada")
        fleet.content["all"]["children"]["chat"] = {"hosts": {"head-box": None}}
        told = {"ALLOWED_USER_ID": str(ada.id), "DISCORD_API_URL": discord.url}
        fleet.settle("head-box", chat_discord_token=DISCORD_TOKEN, chat_settings=told)
        played = fleet.play("site", "--diff", *only)
        discord.await_connected(seconds=180)
        ada.dm().send("jobs done")
        assert "done" in ada.dm().await_reply().content
        again = fleet.play("site", "-v", "--diff", *only)
        assert (again.changed, fleet.doctor()[1]["head-box"]["faults"]) == ({"localhost": 0, "head-box": 0}, [])
        secrets = (DISCORD_TOKEN, fleet.token("chat"))
        assert [secret for secret in secrets if secret in played.text + again.text] == []
        assert where_is(fleet.box, DISCORD_TOKEN) == [
            "/etc/spinal-cord/secrets/chat.discord-token",
            "/run/credentials/spinal-chat.service/discord-token",
        ]
        old = fleet.token("chat")
        fleet.play("rotate", "--extra-vars", "rotate_name=chat", *only)
        assert fleet.token("chat") != old
        discord.await_connected(2, seconds=180)
        asked = ada.dm().send("jobs done")
        assert "done" in ada.dm().await_reply(after=asked).content
        # The story goes on without it.
        fleet.box.run(TAKE_OFF_CHAT)
        del fleet.content["all"]["children"]["chat"]
        fleet.settle("head-box")


def test_a_claw_that_looks_once_a_minute_and_one_that_stays_again(fleet: Fleet) -> None:
    only, right = ("--limit", "right-claw,localhost"), fleet.right
    timer, each = "spinal-claw-tick@right-claw.timer", "spinal-claw-tick@right-claw.service"

    def state() -> tuple[str, ...]:
        look = f"systemctl is-active {RIGHT} {timer}; systemctl is-enabled {RIGHT} {timer}"
        return tuple(right.run(look, check=False).text.split())

    fleet.settle("right-claw", claw_kind="timer")
    fleet.play("site", "--check", *only)
    assert state() == ("active", "inactive", "enabled", "disabled")
    fleet.play("site", *only)
    assert state() == ("inactive", "active", "disabled", "enabled")
    job = fleet.head().submit(target="right-claw", spec={"run": "hostname"})
    # The timer's own passes are a minute apart.
    done = eventually(
        lambda: right.run(f"systemctl start {each}", seconds=180) and ended(fleet, job["id"]), 180, what="its end"
    )
    assert (done["status"], done["claimedBy"]) == ("done", "right-claw")
    assert fleet.play("site", *only).changed == {"localhost": 0, "right-claw": 0}
    assert fleet.doctor()[1]["right-claw"]["faults"] == []
    fleet.settle("right-claw", claw_kind=None)
    fleet.play("site", *only)
    assert state() == ("active", "inactive", "enabled", "disabled")


def ended(fleet: Fleet, job_id: str) -> dict[str, Any] | None:
    """Return a job when it has ended."""
    job: dict[str, Any] = fleet.head().job(job_id)
    return job if job["finishedAt"] else None


def where_is(host: Host, token: str) -> list[str]:
    """Return where a token is: files, environments and command lines of processes, the journal, what systemd tells."""
    half = len(token) // 2
    script = f"""
    what() {{ printf %s%s {token[:half]} {token[half:]}; }}
    cd /
    grep -rlaF -f <(what) --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev . 2>/dev/null | sed s/^.//
    for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do grep -qaF -f <(what) $file 2>/dev/null && echo $file; done
    journalctl --no-pager --output=export | grep -qaF -f <(what) && echo journal
    systemctl show '*' | grep -qaF -f <(what) && echo systemctl
    exit 0
    """
    return sorted(host.run(script, seconds=240).text.split())


def test_a_machine_has_its_own_token_and_no_other(fleet: Fleet) -> None:
    found = {
        (host.name, name): where_is(host, fleet.token(name)) for host in (fleet.box, fleet.right) for name in NAMES
    }
    none: list[str] = []
    assert found == {
        ("head-box", "head"): ["/etc/spinal-cord/secrets/head.token", f"/run/credentials/{HEAD}/token"],
        ("head-box", "left-claw"): none,
        ("head-box", "right-claw"): none,
        ("right-claw", "head"): none,
        ("right-claw", "left-claw"): none,
        ("right-claw", "right-claw"): [
            "/etc/spinal-cord/secrets/right-claw.token",
            f"/run/credentials/{RIGHT}/token",
        ],
    }
    secrets = {"gateway": TOKEN, "aliases": SIGNING}
    others = {(host.name, name): where_is(host, secret) for host in fleet.all for name, secret in secrets.items()}
    assert {place: paths for place, paths in others.items() if paths} == {
        ("head-box", "aliases"): ["/etc/spinal-cord/notices.json", f"/run/credentials/{SPINE}/notices.json"],
        ("left-claw", "gateway"): [
            "/etc/spinal-cord/secrets/left-claw.gateway-token",
            f"/run/credentials/{LEFT}/gateway-token",
        ],
    }
    for host, path in ((fleet.box, "notices.json"), (fleet.left, "secrets/left-claw.gateway-token")):
        assert host.run(f"stat -c '%a %U:%G' /etc/spinal-cord/{path}").text == "600 root:root\n"
    modes = fleet.right.run("stat -c '%a %U:%G' /etc/spinal-cord/secrets /etc/spinal-cord/secrets/*").text.splitlines()
    assert modes == ["700 root:root", "600 root:root"]
    assert {path.stat().st_mode & 0o777 for path in fleet.secrets.iterdir()} == {0o600}


def test_services_are_shut_in_and_their_units_without_fault(fleet: Fleet) -> None:
    for unit, most in ((SPINE, 2.0), (HEAD, 2.0), (LEFT, 3.0), (RIGHT, 3.0)):
        host, file = fleet.host_of(unit), re.sub("@.*", "@.service", unit)
        level = re.search(r"exposure level for \S+: (\d+\.\d)", host.run(f"systemd-analyze security {unit}").text)
        assert level is not None
        assert float(level[1]) <= most, (unit, level[0])
        said = host.run(f"systemd-analyze verify --recursive-errors=one /etc/systemd/system/{file}", check=False)
        assert [line for line in said.text.splitlines() if "spinal" in line] == []


# --- machines that are not fit ----------------------------------------------------------------------------------------


@contextmanager
def unfit(fleet: Fleet) -> Iterator[None]:
    """One machine with a wrong clock, no Python that will do and no room; on another one a unit was edited."""
    unit = "/etc/systemd/system/spinal-claw@.service"
    # Its kernel's clock is the one of all containers.
    fleet.right.put({"/usr/local/bin/date": '#!/bin/sh\nexec /bin/date -d "+10 minutes" "$@"\n'}, mode=0o755)
    fleet.right.run("mkdir -p /small && mount -t tmpfs -o size=40m none /small")
    fleet.left.run(f"cp -p {unit} /root/kept; echo '# mine' >> {unit}")
    fleet.settle("right-claw", host_pythons=["python3.9", "python2"], host_root="/small/spinal-cord")
    try:
        yield
    finally:
        fleet.settle("right-claw", host_pythons=None, host_root=None)
        fleet.left.run(f"mv /root/kept {unit}")
        fleet.right.run("umount /small; rm /usr/local/bin/date")


@contextmanager
def down(fleet: Fleet) -> Iterator[None]:
    fleet.hosts.cut(fleet.right)
    try:
        yield
    finally:
        fleet.hosts.join(fleet.right)


BAD = {
    "not fit": (
        unfit,
        [
            r"right-claw: its clock is (599|60[0-9]) s off the controller's, more than 60 s",
            "right-claw: no Python 3.11, 3.12 or 3.13 with venv and pip",
            r"right-claw: \d+ MB are free, 500 MB are needed in /small/spinal-cord and /var/lib",
            r"left-claw: spinal-claw@.service in /etc/systemd/system was edited by hand",
        ],
    ),
    "down": (down, [r"right-claw +: ok=\d+ +changed=0 +unreachable=1"]),
}


@pytest.mark.parametrize("case", BAD)
def test_machines_that_are_not_fit_are_all_told_of_before_anything_is_changed(fleet: Fleet, case: str) -> None:
    make, told = BAD[case]
    pids = fleet.units()
    with make(fleet):
        played = fleet.play("site", code=None)
    assert played.code in (2, 4), played.text
    text = " ".join(played.text.split())
    assert [fault for fault in told if not re.search(fault, text)] == [], played.text
    assert set(played.changed.values()) == {0}, played.text
    assert fleet.units() == pids
    assert fleet.submit("--target", "any", "--run", "true")["status"] == "done"


# --- work in flight ---------------------------------------------------------------------------------------------------


def rotate(fleet: Fleet, host: Host, name: str) -> None:
    """Change a token while its owner's machine calls all the time; the old one ends, and is nowhere on it."""
    old = fleet.token(name)
    with knocking(host, fleet.url, name) as knocks:
        fleet.play("rotate", "--extra-vars", f"rotate_name={name}")
    assert knocks.failed == []
    assert knocks.calls > 20
    assert fleet.token(name) != old
    gone = replace(fleet.head(), token=old)
    eventually(lambda: gone.get("/jobs").status == 401, what="the old token's end")
    assert where_is(host, old) == []


def test_a_claw_s_token_is_changed_and_no_call_is_refused(fleet: Fleet) -> None:
    work = Work(fleet)
    with work.going_on():
        rotate(fleet, fleet.left, "left-claw")
    assert work.reckon() == []
    assert work.long_job()["attempts"] == 1
    # The claw itself was never refused, nor had it any other trouble.
    assert [line for line in fleet.left.journal(LEFT).splitlines() if '"level": "' in line and "info" not in line] == []


def test_the_head_s_token_is_changed_and_no_call_is_refused(fleet: Fleet) -> None:
    rotate(fleet, fleet.box, "head")
    assert fleet.submit("--target", "left-claw", "--run", "true")["status"] == "done"


def test_a_deployment_that_was_cut_off_is_taken_up_and_an_upgrade_loses_nothing(fleet: Fleet) -> None:
    before, pids = fleet.releases(), fleet.units()
    release = fleet.controller.bump("9.0.1")
    assert release.startswith("9.0.1-")
    work = Work(fleet)
    with work.going_on():
        first = fleet.controller.begin(fleet.inventory, "site")
        try:
            laying = f"ls -d /opt/spinal-cord/releases/{release}*"
            eventually(lambda: fleet.right.run(laying, check=False).code == 0, 120, every=0.05, what="the half of it")
        finally:
            kill_group(first)
        assert (fleet.releases(), fleet.units()) == (before, pids)
        fleet.play("site")
    assert work.reckon() == []
    assert fleet.releases() == dict.fromkeys(MACHINES, release)
    for unit, pid in fleet.units().items():
        assert f"/releases/{release}/" in fleet.host_of(unit).run(f"tr '\\0' ' ' < /proc/{pid}/cmdline").text
    assert fleet.box.run("ls /var/backups/spinal-cord").text.split() == [f"before-{release}"]
    # What is locked as it was is not installed again: its files are those of the release before.
    links = "stat -c %h /opt/spinal-cord/releases/*/venv/lib/python3*/site-packages/click/core.py"
    assert [host.run(links).text.split() for host in fleet.all] == [["2", "2"]] * 3
    copied = "find /opt/spinal-cord/current/venv/bin/python* /opt/spinal-cord/current/venv/lib64 ! -type l"
    assert [host.run(copied).text for host in fleet.all] == [""] * 3


@contextmanager
def changed_store(box: Host) -> Iterator[None]:
    """A store on which a release has been that has one migration more than any here."""
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=10); c.execute(sys.argv[2]); c.commit()"
    change = f"python3 -c {quote(script)} /var/lib/private/spinal-spine/spine.db"
    box.run(f"{change} {quote('INSERT INTO schema_migrations VALUES (9000, 0)')}")
    yield
    box.run(f"{change} {quote('DELETE FROM schema_migrations WHERE version = 9000')}")


def test_a_store_of_a_newer_release_is_not_given_to_an_older_one(fleet: Fleet) -> None:
    before, pids = fleet.releases(), fleet.units()
    with changed_store(fleet.box):
        played = fleet.play("rollback", code=2)
    assert "A newer release has changed the store" in " ".join(played.text.split())
    assert set(played.changed.values()) == {0}
    assert (fleet.releases(), fleet.units()) == (before, pids)


def test_back_to_the_release_before(fleet: Fleet) -> None:
    work, newer = Work(fleet), fleet.releases()["head-box"]
    with work.going_on():
        fleet.play("rollback")
    assert work.reckon() == []
    assert {release.partition("-")[0] for release in fleet.releases().values()} == {"0.1.0"}
    assert newer.startswith("9.0.1-")
    assert fleet.submit("--target", "left-claw", "--run", "true")["status"] == "done"
    assert fleet.doctor()[0] == 0


def test_a_deployment_that_failed_half_way_is_put_back_everywhere(fleet: Fleet) -> None:
    before, server = fleet.releases(), fleet.controller.folder / "services/spine/worker.py"
    whole = server.read_text()
    server.write_text(
        f"{whole}\n\nSpineWorker.init_process = lambda self: 1 / 0  # it passes every check, and does not start\n"
    )
    broken = fleet.controller.bump("9.0.3")
    fleet.play("site", code=2)
    assert fleet.releases() == before | {"head-box": broken}
    fleet.play("rollback")
    assert fleet.releases() == before
    assert fleet.submit("--target", "left-claw", "--run", "true")["status"] == "done"
    # It never ran, so it is nothing to go back to.
    assert "has no release" in " ".join(fleet.play("rollback", code=2).text.split())
    server.write_text(whole)


# --- kills and restarts -----------------------------------------------------------------------------------------------


def test_kill_9_of_every_service_and_the_job_goes_on(fleet: Fleet) -> None:
    work = Work(fleet)
    pids = fleet.kill_all()
    fleet.until_all_run(but=pids)
    assert work.reckon() == []
    assert work.long_job()["attempts"] == 1


@pytest.mark.parametrize("blow", ["left-claw restarts", "head-box loses its power", "all lose their power"])
def test_machines_come_back_in_any_order_and_the_job_is_done(fleet: Fleet, blow: str) -> None:
    work = Work(fleet)
    if blow == "left-claw restarts":
        fleet.left.reboot()
    elif blow == "head-box loses its power":
        fleet.box.crash()
    else:
        fleet.crash_all()
    fleet.until_all_run()
    assert work.reckon() == []
    # Whose claw went down with its machine began anew, under a fence of its own.
    assert work.long_job()["fence"] == (1 if blow == "head-box loses its power" else 2)
    assert fleet.submit("--target", "any", "--run", "true")["status"] == "done"


# --- how they do, and the end -----------------------------------------------------------------------------------------


def test_the_doctor_tells_what_is_wrong(fleet: Fleet) -> None:
    fleet.left.run(f"systemctl stop {LEFT}")
    fleet.hosts.cut(fleet.right)
    try:
        code, told = fleet.doctor()
    finally:
        fleet.hosts.join(fleet.right)
        fleet.left.run(f"systemctl start {LEFT}")
    assert code == 1
    assert told["head-box"]["faults"] == []
    assert told["left-claw"]["faults"] == [f"{LEFT} is inactive: journalctl -u {LEFT}"]
    assert [fault.startswith("does not answer (") for fault in told["right-claw"]["faults"]] == [True]


def test_it_is_taken_off_again_and_what_was_kept_stays(fleet: Fleet) -> None:
    jobs = len(fleet.head().get("/jobs?limit=1000").json["jobs"])
    assert jobs > 10
    fleet.play("uninstall")
    for host in fleet.all:
        gone = "/opt/spinal-cord /etc/spinal-cord /etc/systemd/system/spinal-* /etc/systemd/system/*/spinal-*"
        assert host.run(f"ls -d {gone} 2>/dev/null", check=False).text == ""
        assert host.run("systemctl list-units --all --no-legend 'spinal-*'").text == ""
    assert "spine.db" in fleet.box.run("ls /var/lib/private/spinal-spine").text
    assert fleet.secrets.is_dir()
    assert set(fleet.play("uninstall").changed.values()) == {0}
