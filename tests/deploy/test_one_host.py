"""install.sh: one host without Ansible. As a plain user where no systemd runs, and as root where it does."""

import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.models.containers import Container
from tests.deploy import native
from tests.support.engine import ONE_STREAM, run_in
from tests.support.eventually import eventually
from tests.support.systemd_host import Host, Hosts, Output

from .conftest import ROOT, Start

pytestmark = pytest.mark.timeout(900)  # three environments are made

BARE = "spinal-cord/bare:bookworm"
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
Shell = Callable[..., Output]


@pytest.mark.parametrize("role", ["spine", "claw", "head", "chat"])
def test_the_examples_have_every_setting_with_its_default_and_meaning(role: str) -> None:
    text = (ROOT / "install" / f"{role}.env.example").read_text()
    said = re.findall(r"^# (.*)\n#([A-Z_]+)=(.*)$", text, re.MULTILINE)
    unwritten = {"required": "", "the host's name": "", "the claw's name": ""}
    assert said == [
        (setting.meaning, setting.name, unwritten.get(setting.default, setting.default))
        for setting in importlib.import_module(f"{role}.settings").SETTINGS
        if not re.search(r"_TOKENS?$|_SECRET$|KILL_POINT|TRACEPARENT", setting.name)
    ]


# --- a plain user, and no systemd -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell(start_container: Start, wheelhouse: Path) -> Shell:
    """Run a command on a bare machine, as a person who is not root; it must succeed unless it is not checked."""
    machine: Container = start_container(
        BARE,
        network_mode="none",
        volumes={str(ROOT): {"bind": "/checkout", "mode": "ro"}, str(wheelhouse): {"bind": "/wheels", "mode": "ro"}},
    )

    def run(command: str, check: bool = True, user: str = "person", **env: str) -> Output:
        environment = {"HOME": "/home/person", "LANG": "C.UTF-8", **PIP, **env}
        words = ["timeout", "--kill-after=10", "200", "bash", "-c", f"{ONE_STREAM}{command}"]
        code, output = run_in(machine, words, user=user, environment=environment, workdir="/home/person")
        found = Output(code, output.decode(errors="replace"))
        assert found.code == 0 or not check, f"{command}: {found.code}\n{found.text}"
        return found

    return run


@pytest.mark.docker
def test_packages_that_cannot_be_had_leave_nothing_that_looks_whole(shell: Shell) -> None:
    home = "/home/person/unlucky"
    shell(f"mkdir {home} && echo of-a-test-0123456789 > {home}/token")
    install = f"/checkout/install.sh head --token-file {home}/token --no-start"
    said = shell(install, check=False, HOME=home, PIP_FIND_LINKS="/nowhere")
    assert said.code == 1
    assert said.text.splitlines()[-1].endswith("could not be installed; what runs goes on running")
    assert shell(f"find {home}/.local -name '.complete*' -o -name current").text == ""


HERE = "/home/person/.local/share/spinal-cord"
CONFIG = "/home/person/.config/spinal-cord"
STATE = "/home/person/.local/state/spinal-cord"
SPINAL = f"{HERE}/bin/spinal"
HEAD = f"set -a; . {CONFIG}/head.env; set +a; {HERE}/current/venv/bin/spine-head"


@pytest.fixture(scope="module")
def installed(shell: Shell) -> Shell:
    """Spine, head and a claw, installed and started by that person."""
    said = shell("/checkout/install.sh spine").text
    assert f"* * * * * {SPINAL} start spine" in said
    shell("echo a-gateway-token-0001 > ~/gateway")
    given = f"--token-file {CONFIG}/secrets/left-claw.token --gateway-token-file ~/gateway"
    shell(f"/checkout/install.sh claw --name left-claw {given}")
    shell("/checkout/install.sh head")
    return shell


@pytest.mark.docker
def test_everything_runs_and_does_a_job(installed: Shell) -> None:
    for role in ("spine", "claw", "head"):
        assert re.fullmatch(rf"{role} runs \(\d+\)\n", installed(f"{SPINAL} status {role}").text)
    assert "hello" in installed(f"{HEAD} submit --target left-claw --run 'echo hello' --wait").text
    modes = (
        f"stat -c '%a %n' {CONFIG} {CONFIG}/*.env {CONFIG}/secrets {CONFIG}/secrets/* {STATE} | cut -d' ' -f1 | sort -u"
    )
    assert installed(modes).text.split() == ["600", "700"]
    assert f'OPENCLAW_GATEWAY_TOKEN_FILE="{CONFIG}/secrets/left-claw.gateway-token"' in (
        installed(f"cat {CONFIG}/claw.env").text.splitlines()
    )
    assert "GATEWAY" not in installed(f"{HEAD} submit --target left-claw --run env --wait").text


# The answer of the chat front's /health, whatever its status.
HEALTH = """python3 -c 'from http.client import *; c = HTTPConnection("127.0.0.1", 36727, timeout=10)
c.request("GET", "/health"); print(c.getresponse().read().decode())'"""


@pytest.mark.docker
def test_a_chat_front_runs_and_waits_for_a_discord_that_it_cannot_reach(installed: Shell) -> None:
    installed("echo a-bot-token-0001 > ~/bot")
    said = installed("/checkout/install.sh chat --discord-token-file ~/bot --allow 123456789 --allow 234567890").text
    assert f"* * * * * {SPINAL} start chat" in said
    assert re.fullmatch(r"chat runs \(\d+\)\n", installed(f"{SPINAL} status chat").text)
    env = installed(f"cat {CONFIG}/chat.env").text.splitlines()
    assert {'ALLOWED_USER_ID="123456789,234567890"', f'DISCORD_TOKEN_FILE="{CONFIG}/secrets/chat.discord-token"'} <= {
        *env
    }
    assert installed(f"stat -c %a {CONFIG}/chat.env {CONFIG}/secrets/chat.*").text.split() == ["600"] * 3
    eventually(
        lambda: '"transports": {"discord": false}' in installed(HEALTH, check=False).text, 30, what="its word of itself"
    )
    assert "a-bot-token" not in installed(f"cat {STATE}/chat.log; cat /proc/[0-9]*/environ 2>/dev/null || true").text


@pytest.mark.docker
def test_start_brings_back_what_was_killed_and_leaves_alone_what_runs(installed: Shell) -> None:
    before = installed(f"{SPINAL} status spine").text
    installed(f"{SPINAL} start spine")
    assert installed(f"{SPINAL} status spine").text == before
    installed(f"kill -9 $(cat {STATE}/spine.pid)")
    eventually(lambda: installed(f"{SPINAL} status spine", check=False).code == 3)
    installed(f"{SPINAL} start spine")
    assert installed(f"{SPINAL} status spine").text != before
    eventually(lambda: installed(f"{HEAD} list", check=False).code == 0, 20, what="the spine")


@pytest.mark.docker
def test_another_installation_keeps_settings_and_tokens_and_lets_the_job_go_on(installed: Shell) -> None:
    kept = f"cat {CONFIG}/*.env {CONFIG}/secrets/* {CONFIG}/tokens.digests | sha256sum"
    before = installed(kept).text
    run = "echo begun >> /tmp/marks; while [ ! -e /tmp/gate ]; do sleep 0.1; done; echo ended >> /tmp/marks"
    job = installed(f"{HEAD} submit --target left-claw --run {shlex.quote(run)}").text.split()[-1]
    eventually(lambda: installed("cat /tmp/marks", check=False).text == "begun\n", 20, what="the job's begin")
    claw = installed(f"{SPINAL} status claw").text
    installed("/checkout/install.sh claw --name left-claw; /checkout/install.sh spine")
    assert installed(f"{SPINAL} status claw").text != claw
    installed("touch /tmp/gate")
    installed(f"{HEAD} watch {job}")
    assert installed("cat /tmp/marks").text == "begun\nended\n"
    assert installed(kept).text == before


@pytest.mark.docker
def test_a_claw_by_crontab(installed: Shell) -> None:
    installed(f"{SPINAL} stop claw")
    said = installed("/checkout/install.sh claw --name left-claw --tick").text
    line = next(line for line in said.splitlines() if line.startswith("* * * * * "))
    job = installed(f"{HEAD} submit --target left-claw --run 'echo hello'").text.split()[-1]
    installed(f"env -i HOME=/home/person PATH=/usr/bin:/bin /bin/sh -c {shlex.quote(line.removeprefix('* * * * * '))}")
    installed(f"{HEAD} watch {job}")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("/checkout/install.sh", 2, "./install.sh spine"),
        ("/checkout/install.sh broker", 2, "./install.sh spine"),
        ("/checkout/install.sh claw --name", 2, "./install.sh spine"),
        ("/checkout/install.sh claw --name Über", 1, "cannot be a claw's name"),
        ("/checkout/install.sh claw --name head", 1, "head cannot be a claw's name"),
        ("/checkout/install.sh spine --claw all", 1, "all cannot be a claw's name"),
        ("XDG_CONFIG_HOME=/tmp/f /checkout/install.sh chat --token-file ~/gateway --discord-token-file ~/gateway", 1,
         "ALLOWED_USER_ID: missing"),
        ("PYTHON=/bin/true-ly /checkout/install.sh head", 1, "Python 3.11 or newer with venv and pip is needed"),
        ("XDG_CONFIG_HOME=/tmp/c /checkout/install.sh head", 1, "no token for head: give --token-file"),
        ("XDG_CONFIG_HOME=/tmp/d /checkout/install.sh head --token-file /none", 1, "/none is not there, or empty"),
        ("XDG_CONFIG_HOME=/tmp/g /checkout/install.sh claw --name left-claw --token-file ~/gateway "
         "--gateway-token-file /none", 1, "--gateway-token-file: /none is not there, or empty"),
        ("XDG_CONFIG_HOME=/tmp/e /checkout/install.sh spine --no-start >/dev/null && "
         "echo LEASE_SECONDS=x >> /tmp/e/spinal-cord/spine.env && XDG_CONFIG_HOME=/tmp/e /checkout/install.sh spine",
         1, "LEASE_SECONDS: 'x' is not a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(shell: Shell, command: str, code: int, said: str) -> None:
    done = shell(command, check=False)
    assert (done.code, said in done.text) == (code, True), done.text


@pytest.mark.docker
def test_what_was_removed_does_not_run_and_what_it_kept_is_there(installed: Shell) -> None:
    said = installed("/checkout/install.sh remove all").text
    assert f"spine is off; what it was told and what it kept is still in {CONFIG} and {STATE}/spine" in said
    installed(f"test ! -e {HERE} && test -s {STATE}/spine/spine.db && test -s {CONFIG}/spine.env")
    assert installed("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").text.count("spinal-cord") == 0
    installed("/checkout/install.sh remove all")  # again


@pytest.mark.docker
def test_root_without_systemd_is_sent_away(shell: Shell) -> None:
    done = shell("/checkout/install.sh spine", check=False, user="root")
    assert done.code == 1
    assert done.text == "install.sh: systemd does not run here: run this as the user that the service is to run as\n"


# --- root, and systemd ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(hosts: Hosts, wheelhouse: Path) -> Host:
    """A machine with systemd on which root has installed a spine and a claw."""
    made = hosts.start("one-host", read_only={"/wheels": wheelhouse, "/checkout": ROOT})
    made.put({"/etc/systemd/system/spinal-spine.socket.d/listen.conf": native.LISTEN})
    given = " ".join(f"{name}={value}" for name, value in PIP.items())
    made.run(f"{given} /checkout/install.sh spine --claw third-claw", seconds=200)
    made.put({"/root/gateway": "a-gateway-token-0001\n"}, mode=0o600)
    made.run(f"{given} /checkout/install.sh claw --name third-claw --gateway-token-file /root/gateway", seconds=200)
    return made


@pytest.fixture
def calls(host: Host) -> native.Calls:
    """A head's calls, with the token that was made there."""
    return native.Calls(host.address, token=host.run("cat /etc/spinal-cord/secrets/head.token").text.strip())


UNITS = ("spinal-spine.socket", "spinal-spine.service", "spinal-claw@third-claw.service")


@pytest.mark.docker
def test_units_run_and_do_a_job(host: Host, calls: native.Calls) -> None:
    assert [unit for unit in UNITS if not host.active(unit)] == []
    said = host.run(f"systemctl is-enabled {' '.join(map(shlex.quote, UNITS))}").text.split()
    assert said == ["enabled"] * 3
    calls.until(calls.submit(target="third-claw", spec={"run": "true"}), "done")
    modes = host.run("cd /etc/spinal-cord; stat -c %a secrets secrets/head.token claw-third-claw.env").text.split()
    assert modes == ["700", "600", "600"]
    gateway = "third-claw.gateway-token"
    assert host.run(f"stat -c '%a %U' /etc/spinal-cord/secrets/{gateway}").text == "600 root\n"
    pid = host.main_pid(UNITS[2])
    told = host.run(f"tr '\\0' '\\n' < /proc/{pid}/environ").text
    assert f"OPENCLAW_GATEWAY_TOKEN_FILE=/run/credentials/{UNITS[2]}/gateway-token" in told.splitlines()
    assert "a-gateway-token-0001" not in told
    assert host.run(f"cat /run/credentials/{UNITS[2]}/gateway-token").text == "a-gateway-token-0001\n"


@pytest.mark.docker
def test_a_chat_front_is_a_unit_that_has_its_secrets_as_credentials(host: Host) -> None:
    host.put({"/root/bot": "a-bot-token-0001\n"}, mode=0o600)
    given = " ".join(f"{name}={value}" for name, value in PIP.items())
    host.run(f"{given} /checkout/install.sh chat --discord-token-file /root/bot --allow 123456789", seconds=200)
    unit = "spinal-chat.service"
    assert host.active(unit)
    assert '"transports"' in host.run(HEALTH).text
    assert host.run(f"cat /run/credentials/{unit}/discord-token").text == "a-bot-token-0001\n"
    assert host.run("cd /etc/spinal-cord; stat -c %a chat.env secrets/chat.*").text.split() == ["600"] * 3
    told = host.run(f"tr '\\0' '\\n' < /proc/{host.main_pid(unit)}/environ; journalctl -u {unit} --no-pager").text
    assert f"DISCORD_TOKEN_FILE=/run/credentials/{unit}/discord-token" in told.splitlines()
    assert "a-bot-token" not in told


@pytest.mark.docker
def test_another_installation_hands_the_job_over(host: Host, calls: native.Calls) -> None:
    run = "echo begun >> ~/marks; while [ ! -e ~/gate ]; do sleep 0.1; done; echo ended >> ~/marks"
    job = calls.submit(target="third-claw", spec={"run": run})
    eventually(lambda: host.run("cat /var/lib/claw/marks", check=False).text == "begun\n", 20, what="the job's begin")
    before = {unit: host.main_pid(unit) for unit in UNITS[1:]}
    for words in ("claw --name third-claw", "spine"):
        host.run(f"/checkout/install.sh {words}", seconds=200)
    for unit, pid in before.items():
        eventually(lambda unit=unit, pid=pid: host.main_pid(unit) not in (0, pid), 20, what=unit)  # type: ignore[misc]
    host.run("touch /var/lib/claw/gate")
    assert calls.until(job, "done")["attempts"] == 1
    assert host.run("cat /var/lib/claw/marks").text == "begun\nended\n"


@pytest.mark.docker
def test_removed_units_are_gone_and_data_stays(host: Host) -> None:
    host.run("/checkout/install.sh remove all", seconds=100)
    left = host.run("systemctl list-units --all --no-legend 'spinal-*'; ls /etc/systemd/system | grep spinal").text
    assert left == "spinal-spine.socket.d\n"  # what a person has added
    host.run(
        "test ! -e /opt/spinal-cord && test -s /var/lib/spinal-spine/spine.db && test -s /etc/spinal-cord/spine.env"
    )
