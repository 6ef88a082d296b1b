"""What stands in for a Mac, since none can be had: `uname`, `plutil` and a `launchctl` that notes how it is called.

This launchctl has agents: `bootstrap` starts what a property list names, in its folder and with its logs, `kill` and
`bootout` end it, `print` says whether it runs. It starts nothing again and knows no times.
"""

from pathlib import Path

LAUNCHCTL = """#!{python}
import json, os, plistlib, signal, subprocess, sys, time
from pathlib import Path

room = Path(os.environ.get("LAUNCHD", "/var/tmp/launchd"))
words = sys.argv[1:]
mask = os.umask(0)  # users share the notes
with open(room / "notes", "a", opener=lambda path, flags: os.open(path, flags, 0o666)) as notes:
    print(*words, file=notes)
os.umask(mask)


def runs(pid):
    try:
        return pid > 0 and Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


verb, (domain, uid, *label) = words[0], words[2 if words[0] == "kill" else 1].split("/")
if verb == "bootstrap":
    agent = plistlib.loads(Path(words[2]).read_bytes())
    label = [agent["Label"]]
agent_file = room / ".".join([domain, uid, *label])
known = json.loads(agent_file.read_text()) if label and agent_file.exists() else None
if verb == "bootstrap":
    if known:
        sys.exit("Bootstrap failed: 5: Input/output error")
    out, err = (open(agent[key], "a") for key in ("StandardOutPath", "StandardErrorPath"))
    started = subprocess.Popen(
        agent["ProgramArguments"], cwd=agent["WorkingDirectory"], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        env={{"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}}, start_new_session=True,
    )
    agent_file.write_text(json.dumps(started.pid))
elif verb == "print" and label:
    if known is None:
        sys.exit(113)
    print(f"state = running\\npid = {{known}}" if runs(known) else "state = not running")
elif verb in ("kill", "bootout"):
    if known is None:
        sys.exit(3)
    if runs(known):
        os.kill(known, getattr(signal, words[1]) if verb == "kill" else signal.SIGTERM)
    if verb == "bootout":
        deadline = time.monotonic() + 20
        while runs(known) and time.monotonic() < deadline:
            time.sleep(0.05)
        agent_file.unlink()
"""


def tools(python: str) -> dict[str, str]:
    """Return programs by name; `python` is the interpreter of one of them."""
    return {
        "uname": "#!/bin/sh\necho Darwin\n",
        "plutil": "#!/bin/sh\nexit 0\n",
        "launchctl": LAUNCHCTL.format(python=python),
    }


def install(folder: Path, python: str) -> None:
    """Put the programs into a folder of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tools(python).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
