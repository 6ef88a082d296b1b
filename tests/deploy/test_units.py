"""The units on a machine with systemd: they start, are shut in, come back from kills and hangs, and lose no job."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.native import BIN, TOKENS, Calls, install
from tests.support.eventually import eventually
from tests.support.fake_discord import TOKEN as DISCORD_TOKEN
from tests.support.fake_discord import FakeDiscord, User
from tests.support.systemd_host import Host

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first one makes the machine

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SPINE, HEAD, LEFT = "spinal-spine.service", "spinal-head.service", "spinal-claw@left-claw.service"
CHAT = "spinal-chat.service"
LEDGER = "/var/lib/claw/ledger"
# Notes that it has begun, waits for its gate, notes its end.
GATE = "/var/lib/claw/gate"
GATED = f"echo begun $SPINE_FENCE >> {LEDGER}; while [ ! -e {GATE} ]; do sleep 0.1; done; echo ended >> {LEDGER}"


@pytest.fixture(scope="module")
def host(machine: Host) -> Iterator[Host]:
    """The machine, with everything laid by hand and started, and nothing of it afterwards."""
    install(machine)
    machine.run("systemctl enable --now spinal-spine.socket spinal-head.service 'spinal-claw@left-claw.service'")
    yield machine
    machine.run(
        "systemctl disable --now 'spinal-*' || true; rm -rf /etc/systemd/system/spinal-*; systemctl daemon-reload"
    )


@pytest.fixture
def calls(host: Host) -> Iterator[Calls]:
    """A head's calls, an empty ledger, a closed gate; after the test the gate is open."""
    host.run(f"rm -f {LEDGER} {GATE}")
    made = Calls(host.address)
    eventually(made.ready, 20, what="the spine")
    yield made
    host.run(f"touch {GATE}")


def ledger(host: Host) -> list[str]:
    return host.run(f"cat {LEDGER} 2>/dev/null", check=False).text.splitlines()


def begun(host: Host, calls: Calls) -> str:
    """Submit a job that waits for its gate, and wait until it runs."""
    job_id = calls.submit(target="left-claw", spec={"run": GATED})
    eventually(lambda: len(ledger(host)) == 1, 30, what="the job's begin")
    return job_id


def worker(host: Host, name: str = "left-claw") -> int | None:
    """Return the worker of the job that a claw holds, if it runs."""
    said = host.run(f"cat /var/lib/spinal-claw/{name}/current-job.json", check=False)
    pid = json.loads(said.text).get("workerPid") if said.code == 0 else None
    return pid if pid and host.run(f"kill -0 {pid}", check=False).code == 0 else None


def until_another_runs(host: Host, unit: str, before: int, seconds: float = 120) -> int:
    """Wait until a unit runs with another main process than before."""

    def look() -> int:
        found = host.unit(unit, "MainPID", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")
        pid = int(found["MainPID"])
        assert pid not in (0, before), found
        assert found["ActiveState"] == "active", found
        return pid

    return eventually(look, seconds, every=0.1, what=f"{unit} to come back")


@pytest.fixture(scope="module")
def discord(host: Host) -> Iterator[FakeDiscord]:
    """A Discord that the machine reaches."""
    with FakeDiscord(host=f"{host.address.rpartition('.')[0]}.1") as made:
        yield made


@pytest.fixture(scope="module")
def ada(host: Host, discord: FakeDiscord) -> Iterator[User]:
    """A person whom the chat front answers, which has been laid by hand and started."""
    person = discord.user("ada")
    address = f"SPINE_BASE_URL=http://{host.address}:36725\nDISCORD_API_URL={discord.url}\n"
    told = "LoadCredential=discord-token:/etc/spinal-cord/secrets/chat.discord-token\n"
    told += "Environment=DISCORD_TOKEN_FILE=%d/discord-token\n"
    host.put(
        {
            "/etc/spinal-cord/chat.env": f"{address}ALLOWED_USER_ID={person.id}\n",
            f"/etc/systemd/system/{CHAT}.d/secrets.conf": f"[Service]\n{told}",
        }
    )
    host.put({"/etc/spinal-cord/secrets/chat.discord-token": DISCORD_TOKEN}, mode=0o600)
    host.run(f"systemctl daemon-reload && systemctl start {CHAT}", seconds=100)
    yield person
    host.run(f"systemctl stop {CHAT}")


def health(host: Host) -> dict[str, Any]:
    """Return what the chat front says of itself, at the loopback of its machine."""
    ask = 'c = HTTPConnection("127.0.0.1", 36727, timeout=10); c.request("GET", "/health"); r = c.getresponse().read()'
    said = host.run(f"python3 -c 'from http.client import *; {ask}; print(r.decode())'", check=False)
    assert said.code == 0, f"{said.text}\n{host.journal(CHAT)[-2000:]}"
    found: dict[str, Any] = json.loads(said.text)
    return found


def well(host: Host) -> bool:
    """Tell whether the chat front hears Discord and the spine.

    Raises:
        AssertionError: not yet, with what it says.
    """
    said = health(host)
    assert said["ok"], f"{said}\n{host.journal(CHAT)[-2000:]}"
    return True


# --- what the files say -----------------------------------------------------------------------------------------------


def test_every_key_of_the_units_is_known(host: Host) -> None:
    named = [f"/etc/systemd/system/{unit.name.replace('@.', '@x.')}" for unit in sorted(UNITS.glob("spinal-*"))]
    host.run(
        "for unit in /checkout/systemd/spinal-*@.*; do ln -s $unit /etc/systemd/system/$(basename ${unit/@./@x.}); done"
    )
    try:
        said = host.run(f"systemd-analyze verify --recursive-errors=one {' '.join(named)}")
    finally:
        host.run("rm /etc/systemd/system/*@x.*")
    assert said.text == ""


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        ("spinal-spine.service", 20),
        ("spinal-head.service", 20),
        ("spinal-cluster.service", 20),
        ("spinal-chat.service", 20),
        ("spinal-claw@x.service", 30),
        ("spinal-claw-tick@x.service", 30),
    ],
)
def test_units_are_shut_in(host: Host, unit: str, most: int) -> None:
    file = f"/tmp/{unit}"
    host.run(f"cp /checkout/systemd/{unit.replace('@x.', '@.')} {file}")
    host.run(f"systemd-analyze security --offline=true --threshold={most} {file}")


def test_running_units_are_as_shut_in_as_their_files_say(host: Host) -> None:
    for unit, most in ((SPINE, 2.0), (HEAD, 2.0), (LEFT, 3.0)):
        said = host.run(f"systemd-analyze security --no-pager {unit}").text
        level = re.search(r"exposure level for \S+: (\d+\.\d)", said)
        assert level, said
        assert float(level[1]) <= most, said


def test_units_hold_no_secret_and_say_why() -> None:
    for unit in UNITS.glob("spinal-*"):
        text = unit.read_text()
        assert "TOKEN=" not in text, unit
        assert text.startswith("# "), f"{unit}: says what it is"


# --- how they run -----------------------------------------------------------------------------------------------------


def test_all_start_and_a_job_is_done(host: Host, calls: Calls) -> None:
    for unit in (SPINE, HEAD, LEFT):
        eventually(lambda unit=unit: host.active(unit), 20, what=unit)  # type: ignore[misc]
    job = calls.until(
        calls.submit(target="left-claw", spec={"run": "id -un; echo $TMPDIR; touch $TMPDIR/x /tmp/x"}), "done"
    )
    assert job["attempts"] == 1
    reviewed = calls.submit(target="left-claw", spec={"run": "true"}, needsReview=True, label="accept-me")
    eventually(lambda: (calls.job(reviewed)["review"] or {}).get("state") == "accepted", 20, what="the head's review")
    assert host.unit(SPINE, "StatusText") == {"StatusText": "serves"}
    eventually(lambda: host.unit(LEFT, "StatusText") == {"StatusText": "waits for jobs"}, 20, what="the claw's rest")


def test_the_spine_gets_its_aliases_as_a_credential_and_reaches_whom_they_name(host: Host, calls: Calls) -> None:
    drop_in = "/etc/systemd/system/spinal-spine.service.d"
    # The spine itself, for want of another receiver: a call to it shows that the unit lets calls out.
    hook = {"channel": "discord", "url": "http://127.0.0.1:36725/no-such-route?s3cret"}
    laid = "LoadCredential=notices.json:/etc/spinal-cord/notices.json\nEnvironment=SPINE_NOTICES_FILE=%d/notices.json\n"
    host.put({"/etc/spinal-cord/notices.json": json.dumps({"ops": hook})}, mode=0o600)
    host.run(f"mkdir -p {drop_in}")
    host.put({f"{drop_in}/notices.conf": f"[Service]\n{laid}"})
    try:
        host.run(f"systemctl daemon-reload && systemctl restart {SPINE}")
        eventually(calls.ready, 30, what="the spine with its aliases")
        job_id = calls.submit(target="left-claw", spec={"run": "true"}, notify=["@ops"])
        calls.until(job_id, "done")
        (notice,) = eventually(lambda: [n for n in calls.notices(job_id) if n["error"]], 30, what="a try")
        assert (notice["alias"], notice["error"]) == ("ops", "the receiver answered 404")
        assert "s3cret" not in host.run(f"journalctl -u {SPINE} --no-pager").text
    finally:
        host.run(f"rm -rf {drop_in} /etc/spinal-cord/notices.json; systemctl daemon-reload; systemctl restart {SPINE}")
    eventually(calls.ready, 30, what="the spine without them")


def test_a_call_starts_a_spine_that_does_not_run(host: Host, calls: Calls) -> None:
    host.run(f"systemctl stop {SPINE}")
    assert host.active("spinal-spine.socket")
    assert not host.active(SPINE)
    eventually(calls.ready, 20, what="an answer")
    assert host.active(SPINE)


def test_no_token_is_in_an_environment_a_command_line_or_the_journal(host: Host, calls: Calls) -> None:
    calls.until(calls.submit(target="left-claw", spec={"run": "env"}), "done")
    said = host.run("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'").text
    said += host.run("journalctl --no-pager; systemctl show 'spinal-*'").text
    assert "spinal-cord" in said
    assert [name for name, token in TOKENS.items() if token in said] == []
    # A copy of its own token for each service, and none for others.
    for unit, name in ((HEAD, "head"), (LEFT, "left-claw")):
        found = host.run(f"cat /run/credentials/{unit}/token; stat -c %a /run/credentials/{unit}").text.split()
        assert found == [TOKENS[name], "500"] or found == [TOKENS[name], "550"], found


def test_the_chat_front_answers_and_nobody_sees_its_secrets(host: Host, calls: Calls, ada: User) -> None:
    job_id = calls.submit(target="left-claw", spec={"run": "true"})
    calls.until(job_id, "done")
    eventually(lambda: well(host), 60, every=0.2, what="the chat front's health")
    dm = ada.dm()
    dm.send(f"status {job_id}")
    assert "done" in dm.await_reply().content
    level = re.search(r"level for \S+: (\d+\.\d)", host.run(f"systemd-analyze security --no-pager {CHAT}").text)
    assert level
    assert float(level[1]) <= 2.0
    said = host.run("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'").text
    said += host.run(f"journalctl --no-pager; systemctl show {CHAT}").text
    assert "spine-chat" in said
    assert [secret for secret in (TOKENS["chat"], DISCORD_TOKEN) if secret in said] == []
    found = host.run(
        f"cd /run/credentials/{CHAT} && cat token discord-token && stat -c %a:%u . /var/lib/spinal-chat/"
    ).text
    token, rest = found.split("\n", 1)
    assert (token, rest.startswith(DISCORD_TOKEN)) == (TOKENS["chat"], True)
    assert "/var/lib/spinal-chat" in host.run(f"systemctl show --property=Environment {CHAT}").text


# --- what happens to them ---------------------------------------------------------------------------------------------


def test_kill_9_and_all_are_back_and_the_job_goes_on(host: Host, calls: Calls) -> None:
    job_id, before = begun(host, calls), worker(host)
    pids = {unit: host.main_pid(unit) for unit in (SPINE, HEAD, LEFT)}
    host.run(f"kill -9 {' '.join(map(str, pids.values()))}")
    for unit, pid in pids.items():
        until_another_runs(host, unit, pid)
    assert before is not None
    assert worker(host) == before
    host.run(f"touch {GATE}")
    job = calls.until(job_id, "done")
    assert (job["attempts"], ledger(host)) == (1, ["begun 1", "ended"])


def test_a_chat_front_that_was_killed_is_back_and_waits_for_a_discord_that_is_away(
    host: Host, calls: Calls, discord: FakeDiscord, ada: User
) -> None:
    job_id = calls.submit(target="right-claw", spec="kept")
    eventually(lambda: well(host), 60, every=0.2, what="the chat front's health")
    with discord.away():
        before = host.main_pid(CHAT)
        host.run(f"kill -9 {before}")
        until_another_runs(host, CHAT, before, 60)
        assert eventually(lambda: health(host), 30)["transports"] == {"discord": False}
    eventually(lambda: well(host), 90, every=0.2, what="the chat front's health")
    dm = ada.dm()
    dm.send(f"status {job_id}")
    assert "queued" in dm.await_reply().content


@pytest.fixture
def impatient(host: Host) -> Iterator[None]:
    """Watchdogs of three seconds."""
    for unit in (SPINE, HEAD, LEFT):
        host.put({f"/etc/systemd/system/{unit}.d/impatient.conf": "[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\n"})
    host.run(f"systemctl daemon-reload; systemctl restart {SPINE} {HEAD} {LEFT}")
    yield
    host.run("rm /etc/systemd/system/*.d/impatient.conf; systemctl daemon-reload")
    host.run(f"systemctl restart {SPINE} {HEAD} {LEFT}")


@pytest.mark.usefixtures("impatient")
def test_one_that_hangs_is_restarted(host: Host, calls: Calls) -> None:
    job_id = begun(host, calls)
    before = {unit: host.main_pid(unit) for unit in (SPINE, HEAD, LEFT)}
    for pid in before.values():
        host.run(f"kill -STOP {pid}")
    for unit, pid in before.items():
        until_another_runs(host, unit, pid)
        assert "Watchdog timeout" in host.run(f"journalctl --boot --no-pager --unit='{unit}'").text
    host.run(f"touch {GATE}")
    assert calls.until(job_id, "done")["attempts"] == 1
    assert ledger(host) == ["begun 1", "ended"]


def test_a_claw_hands_its_job_over(host: Host, calls: Calls) -> None:
    job_id, before = begun(host, calls), worker(host)
    pid = host.main_pid(LEFT)
    host.run(f"systemctl reload {LEFT}")
    until_another_runs(host, LEFT, pid)
    assert worker(host) == before
    host.run(f"touch {GATE}")
    job = calls.until(job_id, "done")
    assert (job["attempts"], ledger(host)) == (1, ["begun 1", "ended"])
    eventually(lambda: worker(host) is None, what="the worker's end")


def test_a_claw_that_is_stopped_gives_its_job_back(host: Host, calls: Calls) -> None:
    job_id = begun(host, calls)
    host.run(f"systemctl stop {LEFT}")
    job = calls.job(job_id)
    assert (job["status"], job["attempts"], worker(host)) == ("queued", 0, None)
    host.run(f"touch {GATE}; systemctl start {LEFT}")
    calls.until(job_id, "done")


def passes_of(name: str, host: Host) -> int:
    return host.run(f"journalctl --boot --no-pager --unit=spinal-claw-tick@{name}.service").text.count("Finished ")


def test_passes_by_the_timer_do_a_job_once(host: Host, calls: Calls) -> None:
    timer = "spinal-claw-tick@right-claw.timer"
    quick = "[Timer]\nOnUnitActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=2s\nRandomizedDelaySec=0\n"
    host.put({f"/etc/systemd/system/{timer}.d/quick.conf": quick})
    host.run(f"systemctl daemon-reload; systemctl start {timer}")
    try:
        job_id = calls.submit(target="right-claw", spec={"run": GATED})
        eventually(lambda: len(ledger(host)) == 1, 20, what="the job's begin")
        before, passes = worker(host, "right-claw"), passes_of("right-claw", host)
        eventually(lambda: passes_of("right-claw", host) > passes + 1, 20, every=0.2, what="two more passes")
        assert before is not None
        assert worker(host, "right-claw") == before
        host.run(f"touch {GATE}")
        assert calls.until(job_id, "done")["attempts"] == 1
        assert ledger(host) == ["begun 1", "ended"]
    finally:
        host.run(f"systemctl stop {timer}; rm -r /etc/systemd/system/{timer}.d; systemctl daemon-reload")


def test_settings_that_cannot_be_used_end_in_a_failed_unit_and_not_in_a_loop(host: Host, calls: Calls) -> None:
    for unit, name in ((LEFT, "claw-left-claw"), (HEAD, "head"), (SPINE, "spine")):
        file = f"/etc/spinal-cord/{name}.env"
        host.run(f"cp -p {file} {file}.kept; printf 'SPINE_BASE_URL=nowhere\nLEASE_SECONDS=never\n' >> {file}")
        host.run(f"systemctl restart '{unit}'", check=False)
        eventually(lambda unit=unit: host.unit(unit, "ActiveState") == {"ActiveState": "failed"}, 20, what=unit)  # type: ignore[misc]
        assert host.unit(unit, "ExecMainStatus") == {"ExecMainStatus": "78"}
        if unit == SPINE:  # else every caller would start it again
            eventually(lambda: not host.active("spinal-spine.socket"), 20, what="the end of the socket")
        host.run(f"mv {file}.kept {file}; systemctl reset-failed")
        host.run(f"systemctl start {'spinal-spine.socket' if unit == SPINE else ''} '{unit}'")
    assert calls.ready()


def test_after_a_restart_of_the_machine_all_is_back_and_the_job_is_done(host: Host, calls: Calls) -> None:
    job_id = begun(host, calls)
    host.reboot()
    host.run(f"touch {GATE}")
    job = calls.until(job_id, "done", seconds=180)
    assert job["attempts"] <= 2
    for unit in (SPINE, HEAD, LEFT):
        eventually(lambda unit=unit: host.active(unit), 20, what=unit)  # type: ignore[misc]
    assert f"{BIN}/spine" in host.run(f"systemctl cat {SPINE}").text
