"""launchd/ by the rules that launchd has and no tool on Linux knows; its scripts with what stands in for a Mac.

Nothing of this has run on a Mac.
"""

import os
import plistlib
import re
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support.mac import install

from claw import cron

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "launchd"
ROLES = ("claw", "claw-tick", "head")
KNOWN: dict[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "StartInterval": int,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "AbandonProcessGroup": bool,
    "ProcessType": str,
    "Umask": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}
CONDITIONS = {"SuccessfulExit", "Crashed"}
SECRET = re.compile(r"token=|secret|password|spn_", re.IGNORECASE)


def faults(text: str, name: str) -> list[str]:
    """Return what launchd would not take, or would take otherwise than it is meant."""
    found = []
    for group in ElementTree.fromstring(text).iter("dict"):  # noqa: S314 - our own file
        keys = Counter(child.text for child in group if child.tag == "key")
        found += [f"{key} comes {count} times: the last one counts" for key, count in keys.items() if count > 1]
    read: dict[str, Any] = plistlib.loads(text.encode())
    for key, value in read.items():
        if key not in KNOWN:
            found.append(f"{key} is unknown")
        elif type(value) is not KNOWN[key]:
            found.append(f"{key} is {type(value).__name__}, not {KNOWN[key].__name__}")
    if read.get("Label") != name.removesuffix(".plist"):
        found.append("Label is not the file's name")
    words = read.get("ProgramArguments") or [""]
    paths = [words[0], *(read.get(key, "/") for key in ("WorkingDirectory", "StandardOutPath", "StandardErrorPath"))]
    found += [f"{path} is not a full path" for path in paths if not path.startswith("/")]
    found += [f"{word} is for a shell, and there is none" for word in words if re.search(r"[~$*?|&;<>`]", word)]
    found += [f"{path} is where anybody writes" for path in paths if path.startswith(("/tmp", "/var/tmp"))]
    if SECRET.search(" ".join([*words, *map(str, read.get("EnvironmentVariables", {}).items())])):
        found.append("a secret, in a file that everybody can read")
    if "KeepAlive" in read:
        found += [f"KeepAlive: {key} is unknown" for key in read["KeepAlive"].keys() - CONDITIONS]
        if "StartInterval" in read:
            found.append("KeepAlive beside a schedule")
        if read.get("ThrottleInterval", 0) < 10:
            found.append("KeepAlive without a pause between two starts")
    if read.get("ExitTimeOut", 20) == 0:
        found.append("ExitTimeOut 0 is for ever")
    if read.get("Umask") != 0o077:
        found.append("Umask is not 077 (in decimal 63)")
    return found


def render(role: str, folder: Path, home: str = "/Users/person") -> str:
    name = f"org.spinal-cord.{role}.plist"
    subprocess.run(
        [str(FOLDER / "install.sh"), role, "--render", str(folder)],
        env={"HOME": home, "PATH": "/usr/bin:/bin"},
        check=True,
    )
    return (folder / name).read_text()


@pytest.mark.parametrize("role", ROLES)
def test_property_lists_keep_the_rules(role: str, tmp_path: Path) -> None:
    assert faults(render(role, tmp_path), f"org.spinal-cord.{role}.plist") == []


def test_the_list_of_cron_entry_keeps_them_too() -> None:
    text = cron.launchd(
        ["/opt/spinal-cord/current/venv/bin/claw", "tick"], {"PATH": "/usr/bin"}, 1, Path("/Users/x/Library")
    )
    assert faults(text, f"{cron.LABEL}.plist") == []


@pytest.mark.parametrize("role", ROLES)
def test_paths_with_signs_of_their_own_come_through(role: str, tmp_path: Path) -> None:
    read = plistlib.loads(render(role, tmp_path, "/Users/a|b <c> d\\e").encode())
    assert read["ProgramArguments"][0] == "/Users/a|b <c> d\\e/.local/share/spinal-cord/current/launchd/wrapper.sh"


def test_what_each_is_for(tmp_path: Path) -> None:
    claw, tick, head = (plistlib.loads(render(role, tmp_path).encode()) for role in ROLES)
    for resident in (claw, head):
        assert resident["KeepAlive"] == {"SuccessfulExit": False}  # a clean stop stays one
        assert resident["ThrottleInterval"] == 30
        assert "StartInterval" not in resident
    assert (claw["ExitTimeOut"], claw["AbandonProcessGroup"]) == (75, True)  # the drain, and a worker that goes on
    assert (tick["StartInterval"], tick["AbandonProcessGroup"]) == (60, True)
    assert claw["ProgramArguments"][1:] == [
        "/Users/person/.config/spinal-cord/claw.env",
        "/Users/person/.local/share/spinal-cord/current/venv/bin/claw",
        "run",
    ]
    assert tick["ProgramArguments"][-1] == "tick"
    assert head["ProgramArguments"][-2:] == ["--policy", "/Users/person/.config/spinal-cord/policy.toml"]


BROKEN = {
    "<key>Umask</key>\n  <integer>63</integer>": ("<key>Umask</key><integer>77</integer>", "Umask is not 077"),
    "<key>RunAtLoad</key>\n  <true/>": ("<key>RunAtLoad</key><string>true</string>", "RunAtLoad is str"),
    "<key>ProcessType</key>": ("<key>ProcesType</key>", "ProcesType is unknown"),
    "<string>run</string>": ("<string>run &amp;&amp; true</string>", "is for a shell"),
    "<string>org.spinal-cord.claw</string>": ("<string>claw</string>", "Label is not"),
    "/Users/person/Library/Logs/spinal-cord/claw.out.log": ("/tmp/claw.log", "where anybody writes"),
    "<key>ThrottleInterval</key>\n  <integer>30</integer>": ("<key>RunAtLoad</key><true/>", "RunAtLoad comes 2 times"),
    "<key>SuccessfulExit</key>": ("<key>SucessfulExit</key>", "KeepAlive: SucessfulExit is unknown"),
    "<key>WorkingDirectory</key>": (
        "<key>EnvironmentVariables</key><dict><key>SPINE_TOKEN</key><string>spn_x</string></dict><key>WorkingDirectory</key>",
        "a secret",
    ),
}


@pytest.mark.parametrize("was", BROKEN)
def test_the_rules_see_a_fault(was: str, tmp_path: Path) -> None:
    text = render("claw", tmp_path)
    put, said = BROKEN[was]
    assert was in text
    assert any(said in fault for fault in faults(text.replace(was, put), "org.spinal-cord.claw.plist"))


# --- the wrapper ------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("a-secret-token\n")
    token.chmod(0o600)
    gateway = tmp_path / "gateway-token"
    gateway.write_text("a-gateway-token\n")
    gateway.chmod(0o600)
    made = tmp_path / "claw.env"
    made.write_text(f'CLAW_NAME="my mac\'s claw"\nSPINE_TOKEN_FILE={token}\nOPENCLAW_GATEWAY_TOKEN_FILE={gateway}\n')
    made.chmod(0o600)
    return made


def wrap(settings: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [str(FOLDER / "wrapper.sh"), str(settings), *words]
    return subprocess.run(command, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, timeout=180)


def test_the_wrapper_becomes_the_program_with_the_settings(settings: Path) -> None:
    script = (
        "import os; print(os.environ['CLAW_NAME'], os.environ['SPINE_TOKEN_FILE'], os.getpid() == int(os.environ['P']))"
    )
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            'P=$$ exec "$@"',
            "sh",
            str(FOLDER / "wrapper.sh"),
            str(settings),
            sys.executable,
            "-c",
            script,
        ],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == f"my mac's claw {settings.parent}/token True\n", done.stderr


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700, 0o666, 0o620])
@pytest.mark.parametrize("which", ["claw.env", "token", "gateway-token"])
def test_a_file_that_is_not_private_starts_nothing(settings: Path, which: str, mode: int) -> None:
    (settings.parent / which).chmod(mode)
    done = wrap(settings, "touch", str(settings.parent / "started"))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"wrapper: {settings.parent}/{which} can be read or written by others; chmod 600 it\n"
    assert not (settings.parent / "started").exists()


def test_a_file_of_another_user_starts_nothing(settings: Path, tmp_path: Path) -> None:
    somebody = tmp_path / "tools" / "id"
    somebody.parent.mkdir()
    somebody.write_text("#!/bin/sh\n[ $1 = -u ] && echo 12345 || echo somebody\n")
    somebody.chmod(0o755)
    done = wrap(settings, "true", PATH=f"{somebody.parent}:/usr/bin:/bin")
    assert done.returncode == 78
    assert done.stderr == f"wrapper: {settings} belongs to another user; chown it to somebody\n"


def test_a_link_is_followed_to_what_it_names(settings: Path) -> None:
    link = settings.parent / "link.env"
    link.symlink_to(settings)
    assert wrap(link, "true").returncode == 0
    settings.chmod(0o644)
    assert wrap(link, "true").returncode == 78


def test_a_file_that_is_missing_and_too_few_words(settings: Path) -> None:
    assert wrap(settings.parent / "none", "true").stderr == f"wrapper: {settings.parent}/none is not there\n"
    assert wrap(settings).returncode == 78
    (settings.parent / "token").unlink()
    assert wrap(settings, "true").returncode == 78


# --- install and uninstall --------------------------------------------------------------------------------------------


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a script sees of a Mac, with a claw that only waits. What launchd was told is noted in LAUNCHD."""
    home, room = tmp_path / "home", tmp_path / "launchd"
    current = home / ".local/share/spinal-cord/current"
    for folder in (room, current / "venv/bin", home / ".config/spinal-cord"):
        folder.mkdir(parents=True)
    install(tmp_path / "tools", sys.executable)
    (current / "launchd").symlink_to(FOLDER)
    (current / "venv/bin/claw").write_text("#!/bin/sh\nexec sleep 60\n")
    (current / "venv/bin/claw").chmod(0o755)
    for name in ("claw.env", "head.env"):
        (home / ".config/spinal-cord" / name).touch(mode=0o600)
    env = {"PATH": f"{tmp_path}/tools:/usr/bin:/bin", "HOME": str(home), "LAUNCHD": str(room)}
    yield env
    for role in ROLES:
        run("uninstall.sh", role, **env)


def notes(mac: dict[str, str]) -> list[str]:
    return (Path(mac["LAUNCHD"]) / "notes").read_text().splitlines()


def run(script: str, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(FOLDER / script), *words], env=env, capture_output=True, text=True, timeout=180)


def test_install_lays_everything_and_hands_it_to_launchd(mac: dict[str, str]) -> None:
    done = run("install.sh", "claw", **mac)
    home, uid = Path(mac["HOME"]), os.getuid()
    assert (done.returncode, done.stderr) == (0, "")
    agent = home / "Library/LaunchAgents/org.spinal-cord.claw.plist"
    assert agent.read_text() == render("claw", Path(mac["LAUNCHD"]), mac["HOME"])
    assert notes(mac) == [
        f"print gui/{uid}",
        f"print gui/{uid}/org.spinal-cord.claw",
        f"bootout gui/{uid}/org.spinal-cord.claw",
        f"bootstrap gui/{uid} {agent}",
        f"print gui/{uid}/org.spinal-cord.claw",
    ]
    assert stat.S_IMODE((home / "Library/Logs/spinal-cord").stat().st_mode) == 0o700
    assert run("install.sh", "claw", **mac).returncode == 0  # again


def test_install_hands_a_running_claw_over_before_it_takes_its_place(mac: dict[str, str]) -> None:
    assert run("install.sh", "claw", **mac).returncode == 0
    before = len(notes(mac))
    assert run("install.sh", "claw", **mac).returncode == 0
    label = f"gui/{os.getuid()}/org.spinal-cord.claw"
    told = [line for line in notes(mac)[before:] if not line.startswith("print")]
    assert told[:2] == [f"kill SIGHUP {label}", f"bootout {label}"]


def test_a_tick_takes_the_place_of_a_claw_that_stays(mac: dict[str, str]) -> None:
    agents = Path(mac["HOME"]) / "Library/LaunchAgents"
    assert run("install.sh", "claw", **mac).returncode == 0
    assert run("install.sh", "claw-tick", **mac).returncode == 0
    assert [path.name for path in agents.glob("*.plist")] == ["org.spinal-cord.claw-tick.plist"]
    assert f"bootout gui/{os.getuid()}/org.spinal-cord.claw" in notes(mac)


def test_uninstall_keeps_settings_and_state(mac: dict[str, str]) -> None:
    home = Path(mac["HOME"])
    assert run("install.sh", "head", **mac).returncode == 0
    assert run("uninstall.sh", "head", **mac).returncode == 0
    assert not (home / "Library/LaunchAgents/org.spinal-cord.head.plist").exists()
    assert (home / ".config/spinal-cord/head.env").exists()
    assert (home / ".local/state/spinal-cord/head").is_dir()
    assert run("uninstall.sh", "head", **mac).returncode == 0  # again


def test_install_says_what_is_missing(mac: dict[str, str]) -> None:
    (Path(mac["HOME"]) / ".config/spinal-cord/claw.env").unlink()
    done = run("install.sh", "claw", **mac)
    assert done.returncode == 1
    assert "claw.env is not there: write the settings first" in done.stderr
    assert not (Path(mac["LAUNCHD"]) / "notes").exists()
    assert run("install.sh", "spine", **mac).returncode == 2
    assert run("install.sh", "claw", "--prefix", **mac).returncode == 2
    (Path(mac["PATH"].split(":")[0]) / "uname").write_text("#!/bin/sh\necho Linux\n")
    assert "launchd is on a Mac only" in run("install.sh", "head", **mac).stderr
