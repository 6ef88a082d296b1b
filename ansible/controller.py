"""What the machine does from which a fleet is deployed: builds releases, and runs one playbook at a time.

A release is one file per platform: the wheels of all roles for several Pythons, their locks, units and plists. Its name
has a digest of what it is made from, so the same sources are the same release and are built once. Its images are one
more file per platform, built when a machine is to run them, and tagged with the release's name.
"""

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RELEASES = ROOT / "build" / "releases"
# What pip calls the platforms. A wheel for an older system runs on a newer one; pip wants each name spelt out.
PLATFORMS = {
    "linux-x86_64": ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "linux-aarch64": ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
    "darwin-arm64": ["macosx_12_0_arm64"],
    "darwin-x86_64": ["macosx_12_0_x86_64"],
}
# What an engine calls those on which containers run.
ENGINE_PLATFORMS = {"linux-x86_64": "linux/amd64", "linux-aarch64": "linux/arm64"}
IMAGES = ("spine", "head", "claw", "chat")
PLAYBOOKS = ("site", "tokens", "rollback", "rotate", "uninstall")
PYTHONS = ("3.11", "3.12", "3.13")
SOURCES = ("LICENSE", "README.md", "images", "launchd", "pyproject.toml", "services", "systemd")
LOCKS = ("build.txt", "chat.txt", "claw.txt", "cluster.txt", "head.txt", "spine.txt")
KEPT = 5  # releases of which files stay
SHOWN = ("machine", "release", "units", "clock", "free", "token", "capabilities")
SKEW_SECONDS = 60
FREE_MB = 500
EXIT_BUSY = 75
EXIT_CONFIG = 78


def main() -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    release = commands.add_parser("release", help="build the release of this checkout; print its name")
    release.add_argument("--platform", action="append", choices=PLATFORMS, help="all of them without it")
    release.add_argument("--python", action="append", choices=PYTHONS, help="all of them without it")
    pictures = commands.add_parser("images", help="build the images of this checkout's release; print what was built")
    pictures.add_argument("--release", help="the name that the release must have")
    pictures.add_argument("--platform", action="append", choices=ENGINE_PLATFORMS, required=True)
    play = commands.add_parser("play", help="run a playbook; no other may run meanwhile")
    play.add_argument("--inventory", type=Path, required=True)
    play.add_argument("playbook", choices=PLAYBOOKS)
    play.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="handed to ansible-playbook")
    doctor = commands.add_parser("doctor", help="ask every machine how it does; exit 1 when something is wrong")
    doctor.add_argument("--inventory", type=Path, required=True)
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if given.command == "doctor":
        return examine(given.inventory, given.json)
    if given.command == "release":
        print(build(given.platform or list(PLATFORMS), given.python or list(PYTHONS)))
        return 0
    if given.command == "images":
        return images(given.release or name(), given.platform)
    return run(given.playbook, given.inventory, given.rest)


# --- releases --------------------------------------------------------------------------------------------------------


def name() -> str:
    """Return `<version>-<digest of the sources>`."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    digest = hashlib.sha256()
    for path in files():
        digest.update(f"{path.relative_to(ROOT)}\0{os.access(path, os.X_OK)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{version}-{digest.hexdigest()[:12]}"


def files() -> Iterator[Path]:
    """Yield the files that a release is made from, in a fixed order."""
    for source in SOURCES:
        top = ROOT / source
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in path.as_posix():
                yield path
    yield from (ROOT / "requirements" / lock for lock in LOCKS)


def build(platforms: list[str], pythons: list[str]) -> str:
    """Make the files of this release that are not there yet; return its name."""
    release = name()
    RELEASES.mkdir(parents=True, exist_ok=True)
    for platform in platforms:
        path = RELEASES / f"{release}-{platform}-py{'-'.join(pythons)}.tar.gz"
        # Ansible looks for it under this name, whatever Pythons it was built for.
        link = RELEASES / f"{release}-{platform}.tar.gz"
        if not path.exists():
            print(f"wheelhouse: {platform}, Python {', '.join(pythons)} …", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=RELEASES) as folder:
                fill(Path(folder), release, platform, pythons)
                pack(Path(folder), path)
        fresh = link.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path.name)
        fresh.replace(link)
    forget(release)
    return release


def for_python(lock: str, python: str) -> str:
    """Return what of a lock is for a Python such as 3.11, whatever its last number; the rest is as it was.

    pip itself asks the Python that it runs on of a marker, not the one of the machine.
    """
    kept = []
    for block in re.split(r"^(?=\S)", lock, flags=re.MULTILINE):
        if asks := re.search(r" ; python_(?:full_)?version (<|<=|>|>=) '([0-9.]+)'(?= \\$)", block, re.MULTILINE):
            if not fits(python, *asks.groups()):
                continue
            block = block[: asks.start()] + block[asks.end() :]
        kept.append(block)
    return "".join(kept)


def fits(python: str, how: str, than: str) -> bool:
    """Tell whether any release of this Python is older (`<`) or newer (`>`) than a version, or that one (`=`)."""
    bound = tuple(map(int, than.split(".")))
    first, last = ((*map(int, python.split(".")), patch) for patch in (0, 99))
    return first < bound if how == "<" else first <= bound if how == "<=" else last > bound


def fill(folder: Path, release: str, platform: str, pythons: list[str]) -> None:
    """Put everything that a machine needs into a folder."""
    wheels = folder / "wheels"
    for python in pythons:
        targets = [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
        # A lock has all that its packages need, and of that pip would ask its own Python too.
        only = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation=cp"]
        with tempfile.TemporaryDirectory() as locks:
            for lock in ("spine", "claw", "head", "cluster", "chat"):
                lock_file = Path(locks, f"{lock}.txt")
                lock_file.write_text(
                    for_python((ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8"), python)
                )
                only += ["--requirement", str(lock_file)]
            pip("download", *only, *targets, "--python-version", python, "--dest", str(wheels))
    with tempfile.TemporaryDirectory() as source:
        for path in files():
            copy = Path(source, path.relative_to(ROOT))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), source)
    for path in files():
        where = path.relative_to(ROOT)
        if where.parts[0] in ("launchd", "requirements", "systemd"):
            copy = folder / where
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    (folder / "RELEASE").write_text(f"{release}\n{platform}\n{' '.join(pythons)}\n", encoding="utf-8")


def pip(*words: str) -> None:
    """Run this environment's pip; its complaint goes to the terminal.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *words], timeout=900)
    if done.returncode:
        sys.exit(f"wheelhouse: pip {words[0]} failed (exit code {done.returncode})")


def pack(folder: Path, path: Path) -> None:
    """Make one file of a folder, under its name only when it is whole."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    part = path.with_suffix(".part")
    with tarfile.open(part, "w:gz", compresslevel=1) as archive:
        for top in sorted(folder.iterdir()):
            archive.add(top, arcname=top.name, filter=plain)
    part.replace(path)


def forget(release: str) -> None:
    """Delete the files of all but the newest releases, and of their images."""
    ages: dict[str, float] = {release: float("inf")}
    for path in RELEASES.glob("*.tar.gz"):
        owner = path.name[: path.name.index("-", path.name.index("-") + 1)]  # <version>-<digest>
        ages[owner] = max(ages.get(owner, 0.0), path.lstat().st_mtime)
    for old in sorted(ages, key=ages.__getitem__, reverse=True)[KEPT:]:
        for path in RELEASES.glob(f"{old}-*.tar.gz"):
            path.unlink()


# --- images ----------------------------------------------------------------------------------------------------------


def images(release: str, platforms: list[str]) -> int:
    """Make the files of this release's images that are not there yet, and print their names."""
    for platform in platforms:
        path = RELEASES / f"{release}-images-{platform}.tar.gz"
        if path.exists():
            continue
        if release != name():
            sys.exit(f"images: this checkout is {name()}, no longer {release}")
        bake(release, ENGINE_PLATFORMS[platform], path)
        print(path.name)
    forget(release)
    return 0


def bake(release: str, platform: str, path: Path) -> None:
    """Build the images of one platform and save them in one file, under its name only when it is whole.

    Raises:
        SystemExit: the engine here cannot, or the build failed.
    """
    said = asked("docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
    builder = asked("docker", "buildx", "inspect")
    if said is None or builder is None:
        sys.exit(
            "images: a machine is to run containers, and no Docker with buildx answers here to build their images; "
            "install it, or set spine_mode, head_mode, claw_mode and chat_mode to native"
        )
    own = said.strip()
    known = [line for line in builder.splitlines() if line.startswith("Platforms:")]
    if platform not in [own, *re.findall(r"[a-z]+/[a-z0-9/]+", "".join(known))]:
        sys.exit(
            f"images: Docker builds {own} here, and cannot build {platform}, which a machine needs to run containers; "
            "install qemu-user-static and binfmt-support, "
            "or set spine_mode, head_mode, claw_mode and chat_mode to native there"
        )
    tags = [f"spinal-cord/{image}:{release}" for image in IMAGES]
    fresh = [tag for tag in tags if asked("docker", "image", "inspect", tag) is None or platform != own]
    # The Makefile knows which certificates a build is to trust here.
    foreign = [] if platform == own else [f"PLATFORM={platform}"]
    built = subprocess.run(
        ["make", "--silent", "--no-print-directory", "images", f"TAG={release}", *foreign],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800,
    )  # fmt: skip
    if built.returncode:
        sys.exit(f"{built.stdout}\nimages: the build failed (exit code {built.returncode})")
    RELEASES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RELEASES) as folder:
        part = Path(folder, path.name)
        plain = part.with_suffix("")
        if asked("docker", "save", "--output", str(plain), *tags) is None:
            sys.exit("images: docker save failed; is there room for 400 MB?")
        with plain.open("rb") as saved, gzip.open(part, "wb", compresslevel=1) as packed:
            shutil.copyfileobj(saved, packed, 1 << 20)
        part.replace(path)
    # What is kept is the file; the engine here keeps only what it had, and its cache.
    for tag in fresh:
        asked("docker", "image", "rm", tag)


def asked(*words: str) -> str | None:
    """Return what a command prints, None when it fails or is not there."""
    with contextlib.suppress(OSError):
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        return done.stdout if done.returncode == 0 else None
    return None


# --- playbooks -------------------------------------------------------------------------------------------------------


def run(playbook: str, inventory: Path, rest: list[str]) -> int:
    """Run a playbook on an inventory, alone."""
    if not inventory.exists():
        print(f"deploy: there is no {inventory}; copy ansible/inventory/example.yml and fill it in", file=sys.stderr)
        return EXIT_CONFIG
    with (inventory.parent / f".{inventory.name}.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            print(f"deploy: another one works on {inventory} (pid {holder}); nothing was done", file=sys.stderr)
            return EXIT_BUSY
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        # A rollback finds out by itself which release was before.
        release = [] if playbook == "rollback" else ["--extra-vars", f"host_release={name()}"]
        return ansible(playbook, inventory, [*release, *rest], lock=lock.fileno()).returncode


def ansible(
    playbook: str, inventory: Path, rest: list[str], capture: bool = False, lock: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run ansible-playbook of this environment with our settings; it holds the lock even when we are gone."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    words = [program, "--inventory", str(inventory.resolve()), *(word for word in rest if word != "--")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(HERE / "ansible.cfg")}
    # It finds its siblings by PATH, and this environment is not activated.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    return subprocess.run(
        [*words, str(HERE / f"{playbook}.yml")],
        env=environment,
        cwd=HERE,
        capture_output=capture,
        text=True,
        pass_fds=() if lock is None else (lock,),
    )


# --- how the machines do ---------------------------------------------------------------------------------------------


def examine(inventory: Path, as_json: bool) -> int:
    """Ask every machine, print what it says and what is wrong with it; return 1 when something is."""
    if not inventory.exists():
        print(f"doctor: there is no {inventory}", file=sys.stderr)
        return EXIT_CONFIG
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        done = ansible("doctor", inventory, ["--extra-vars", f"doctor_file={file}"], capture=True)
        if not file.exists():
            print(done.stdout + done.stderr, file=sys.stderr)
            return EXIT_CONFIG
        found = json.loads(file.read_text(encoding="utf-8"))
    machines = [verdict(host, told) for host, told in found.items()]
    if as_json:
        print(json.dumps({"machines": machines}))
    else:
        rows = [("MACHINE", "RELEASE", "UNITS", "CLOCK", "FREE", "TOKEN", "CAPABILITIES")]
        rows += [tuple(str(machine[key]) for key in SHOWN) for machine in machines]
        widths = [max(len(row[n]) for row in rows) for n in range(len(SHOWN))]
        for row in rows:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        for machine in machines:
            for fault in machine["faults"]:
                print(f"{machine['machine']}: {fault}")
    return 1 if any(machine["faults"] for machine in machines) else 0


def verdict(host: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a machine said, and `faults`: a line for each thing that is not as it should be."""
    empty: dict[str, Any] = dict.fromkeys(SHOWN, "-") | {"machine": host, "faults": []}
    if told.get("unreachable") or "stdout_lines" not in told:
        return empty | {"faults": [f"does not answer ({str(told.get('msg', 'no answer')).strip().splitlines()[-1]})"]}
    lines = [line.split("\t") for line in told["stdout_lines"] if line.count("\t") == 2]
    said = {kind: [(one, two) for k, one, two in lines if k == kind] for kind, _, _ in lines}
    release = said["release"][0][0] or "none"
    faults = [] if release != "none" else ["no release is installed: make deploy"]
    for unit, state in said.get("unit", []):
        more = "docs/howto/mac.md" if unit.startswith("org.") else f"journalctl -u {unit}"
        faults += [] if state == "active" else [f"{unit} is {state or 'not there'}: {more}"]
    for unit, runs in said.get("runs", []):
        faults += [] if runs in ("", release) else [f"{unit} runs {runs}, not {release}: make deploy"]
    skew = round(float(said["clock"][0][0]) - float(said["clock"][0][1]))
    faults += [] if abs(skew) <= SKEW_SECONDS else [f"its clock is {skew} s off: timedatectl set-ntp true"]
    free = min((int(size) for size, _ in said.get("free", [])), default=0)
    faults += [] if free >= FREE_MB else [f"{free} MB are free"]
    tokens = said.get("token", [])
    faults += [f"the token of {name} does not work: {state}" for name, state in tokens if not state.startswith("ok")]
    units = said.get("unit", [])
    return empty | {
        "release": release,
        "units": f"{sum(state == 'active' for _, state in units)} of {len(units)} active",
        "clock": f"{skew:+d} s",
        "free": f"{free} MB",
        "token": ", ".join(f"{name} {state.split()[0]}" for name, state in tokens) or "-",
        "capabilities": next((state.removeprefix("ok ") for _, state in tokens if state.startswith("ok ")), "") or "-",
        "faults": faults,
    }


if __name__ == "__main__":
    sys.exit(main())
