"""A fleet with a Mac in it, deployed over SSH as a person does it; and claws whose jobs use the tools of a person.

No Mac can be had, so a Linux machine stands in for it: its `uname` says Darwin, and its `launchctl` notes how it is
called and starts what a property list names (tests/support/mac.py). What Ansible asks the kernel itself is answered by
Linux, so the release is that of Linux. What this cannot show is on the list in docs/howto/mac.md.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.deploy.controller import Controller, Played
from tests.support import mac
from tests.support.eventually import until_status
from tests.support.systemd_host import Host, Hosts

from contract.head_client import HeadClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first one makes machines and release

ROOM = "/var/tmp/launchd"  # what the launchctl that stands in keeps
HOME = "/home/deploy"
PLIST = f"{HOME}/Library/LaunchAgents/org.spinal-cord.claw.plist"
SKILL = ".openclaw/skills/spinal-cord/SKILL.md"
GATEWAY = "a-gateway-token-0001"
QUICK = {"CLAW_HEARTBEAT_SECONDS": 1, "CLAW_TICK_SECONDS": 1, "CLAW_WAIT_SECONDS": 2, "CLAW_DRAIN_SECONDS": 2}


class Fleet(NamedTuple):
    """A machine with spine, head and a claw, and the one that says that it is a Mac."""

    box: Host
    mac: Host
    controller: Controller
    folder: Path
    login: dict[str, Any]

    def inventory(self, user: str = "alice", **more: Any) -> Path:
        """Write an inventory; `more` are variables of the Mac, `user` is whose tools the jobs of the other claw use."""
        path = self.folder / "hosts.yml"
        url = f"http://{self.box.address}:36725"
        box = {"ansible_host": self.box.address, "spine_listen": ["0.0.0.0:36725"], "spine_url": url}
        groups = {"spine": {"hosts": {"box": box | {"claw_user": user, "claw_settings": QUICK}}}}
        groups["head"] = {"hosts": {"box": {"head_skill_users": ["alice"]}}}
        variables = {"ansible_host": self.mac.address, "claw_settings": QUICK, "claw_gateway_token": GATEWAY}
        groups["claws"] = {"hosts": {"box": None, "mac": variables}}
        for group, further in more.items():
            groups[group] = {"hosts": {"mac": further}}
        path.write_text(yaml.safe_dump({"all": {"vars": self.login, "children": groups}}))
        return path

    def play(self, playbook: str, *words: str, inventory: Path | None = None, code: int = 0) -> Played:
        """Run a playbook."""
        return self.controller.play(inventory or self.inventory(), playbook, *words, code=code)

    def token(self, name: str) -> str:
        return (self.folder / "secrets" / f"{name}.token").read_text().strip()

    def done(self, target: str, command: str) -> str:
        """Have a claw run something; return what that printed."""
        head = HeadClient(f"http://{self.box.address}:36725", self.token("head"))
        job_id = head.submit({"target": target, "spec": {"run": command}}).id
        until_status(head, job_id, "done", seconds=180)
        return head.read_log(job_id).decode().partition("\n")[2].strip()  # the first line is the claw's

    def notes(self) -> list[str]:
        """Return what launchctl was told since it was asked last, without questions."""
        said = self.mac.run(f"cat {ROOM}/notes 2>/dev/null; rm -f {ROOM}/notes", check=False).text.splitlines()
        return [line for line in said if not line.startswith("print")]


@pytest.fixture(scope="module")
def fleet(hosts: Hosts, wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The machines, with nothing on them yet, and the release."""
    folder = tmp_path_factory.mktemp("mac")
    box, stand_in = hosts.start("box"), hosts.start("mac")
    box.run("useradd --create-home alice")
    stand_in.put({f"/usr/local/bin/{name}": text for name, text in mac.tools("/usr/bin/python3").items()}, mode=0o755)
    stand_in.run(f"install -d -m 1777 {ROOM}")
    controller = Controller(folder / "checkout", wheelhouse)
    try:
        controller.release()
        yield Fleet(box, stand_in, controller, folder, hosts.login())
    finally:
        controller.close()
    hosts.remove(box, stand_in)


def test_refusals_come_before_any_change(fleet: Fleet) -> None:
    text = fleet.play("site", inventory=fleet.inventory(head={}), code=2).text
    assert "mac: is a Mac, and only a claw is set up there; its groups say head and claw." in " ".join(text.split())
    assert "docs/howto/mac.md" in text
    text = fleet.play("site", inventory=fleet.inventory("nobody-here"), code=2).text
    assert "box: there is no user nobody-here, and none is made." in " ".join(text.split())
    twice = json.dumps({"claw_settings": {"OPENCLAW_GATEWAY_TOKEN": "another"}})
    text = " ".join(fleet.play("site", "--extra-vars", twice, code=2).text.split())
    assert "mac: claw_gateway_token is a word without blanks, and takes the place of OPENCLAW_GATEWAY_TOKEN" in text
    assert "box: claw_gateway_token" not in text
    assert GATEWAY not in text
    assert fleet.play("site", "--check").changed["mac"] > 0
    for host in (fleet.box, fleet.mac):
        host.run("! ls -d /opt/spinal-cord /etc/spinal-cord /home/*/.openclaw 2>/dev/null")
    assert fleet.notes() == []


def test_a_deployment_with_a_mac(fleet: Fleet) -> None:
    text = fleet.play("site", "--diff").text
    assert [secret for secret in (*map(fleet.token, ("head", "box", "mac")), GATEWAY) if secret in text] == []
    release = fleet.mac.run("readlink /opt/spinal-cord/current").text.strip()
    said = fleet.mac.run(
        f"stat -c '%U %a %n' /opt/spinal-cord/{release} /opt/spinal-cord/{release}/RELEASE /etc/spinal-cord/secrets"
        f" /etc/spinal-cord/secrets/* /etc/spinal-cord/*.env {PLIST} {HOME}/Library/Logs/spinal-cord"
        f" {HOME}/.local/state/spinal-cord/claw"
    )
    assert said.text.splitlines() == [
        f"root 755 /opt/spinal-cord/{release}",
        f"root 644 /opt/spinal-cord/{release}/RELEASE",
        "root 711 /etc/spinal-cord/secrets",
        "deploy 600 /etc/spinal-cord/secrets/mac.gateway-token",
        "deploy 600 /etc/spinal-cord/secrets/mac.token",
        "deploy 600 /etc/spinal-cord/claw.env",
        f"deploy 644 {PLIST}",
        f"deploy 700 {HOME}/Library/Logs/spinal-cord",
        f"deploy 700 {HOME}/.local/state/spinal-cord/claw",
    ]
    assert fleet.notes() == ["bootout gui/1000/org.spinal-cord.claw", f"bootstrap gui/1000 {PLIST}"]
    assert fleet.mac.run("ls /etc/systemd/system/spinal-*", check=False).code != 0
    assert fleet.done("mac", "id -un; echo $PATH").startswith("deploy\n/opt/homebrew/bin:")
    named = fleet.mac.run("grep GATEWAY /etc/spinal-cord/claw.env").text
    assert named == 'OPENCLAW_GATEWAY_TOKEN_FILE="/etc/spinal-cord/secrets/mac.gateway-token"\n'
    assert fleet.done("mac", "env | grep -c GATEWAY || true") == "0"


def test_jobs_of_a_claw_on_linux_use_the_tools_of_a_person(fleet: Fleet) -> None:
    assert fleet.done("box", "id -un; touch ~/was-here && ls ~").split() == ["alice", "was-here"]
    assert fleet.box.run("stat -c %U /home/alice/was-here /var/lib/spinal-claw/box").text.split() == ["alice"] * 2


def test_their_agents_have_the_skill(fleet: Fleet) -> None:
    # On a machine that is a head too an agent gets the head's, which tells of no claw.
    for host, user, of_a_claw in ((fleet.box, "alice", False), (fleet.mac, "deploy", True)):
        assert host.run(f"stat -c '%U %a' /home/{user}/{SKILL}").text == f"{user} 644\n"
        skill = host.run(f"cat /home/{user}/{SKILL}").text
        assert "name: spinal-cord" in skill
        assert ("You are the claw" in skill) is of_a_claw
        assert [name for name in ("head", "box", "mac") if fleet.token(name) in skill] == []


def test_a_second_deployment_changes_nothing(fleet: Fleet) -> None:
    head = HeadClient(f"http://{fleet.box.address}:36725", fleet.token("head"))
    head.submit({"target": "box", "spec": {"run": "true"}, "delaySeconds": 3600})  # a skill tells of jobs that wait
    assert fleet.play("site").changed == {"box": 0, "localhost": 0, "mac": 0}
    assert fleet.notes() == []


def test_rotation_hands_the_new_token_to_a_claw_that_runs(fleet: Fleet) -> None:
    before = fleet.token("mac")
    fleet.play("rotate", "--extra-vars", "rotate_name=mac")
    assert fleet.token("mac") != before
    assert fleet.mac.run("cat /etc/spinal-cord/secrets/mac.token").text.strip() == fleet.token("mac")
    label = "gui/1000/org.spinal-cord.claw"
    assert fleet.notes() == [f"kill SIGHUP {label}", f"bootout {label}", f"bootstrap gui/1000 {PLIST}"]
    assert fleet.done("mac", "echo goes on") == "goes on"


def test_doctor_knows_a_mac(fleet: Fleet) -> None:
    code, machines = fleet.controller.doctor(fleet.inventory())
    assert machines["mac"]["faults"] == []
    assert machines["mac"]["units"] == "1 of 1 active"
    assert machines["mac"]["token"] == "mac ok"
    assert code == 0


def test_a_deployment_mends_an_agent_and_a_skill_and_gives_a_claw_back_to_its_own_user(fleet: Fleet) -> None:
    # Killed, and not started again by what stands in for launchd; and a skill that somebody has changed.
    fleet.mac.run(f"pkill -f '[v]env/bin/claw run'; echo changed > {HOME}/{SKILL}")
    changed = fleet.play("site", inventory=fleet.inventory("claw")).changed
    assert changed["mac"] == 2
    assert fleet.notes()[-1] == f"bootstrap gui/1000 {PLIST}"
    assert fleet.done("mac", "echo back") == "back"
    assert fleet.mac.run(f"cat {HOME}/{SKILL}").text != "changed\n"
    assert changed["box"] > 0
    fleet.box.run("! ls /etc/systemd/system/spinal-claw*@box.service.d/user.conf 2>/dev/null")
    assert fleet.done("box", "id -un") == "claw"


def test_uninstalling_takes_the_agent_off_and_leaves_what_it_kept(fleet: Fleet) -> None:
    fleet.play("uninstall")
    assert fleet.notes() == [f"bootout {domain}/1000/org.spinal-cord.claw" for domain in ("gui", "user")]
    fleet.mac.run(f"! ls -d {PLIST} /opt/spinal-cord /etc/spinal-cord 2>/dev/null")
    fleet.mac.run(f"test -d {HOME}/.local/state/spinal-cord/claw")
