"""Take the pictures of the dashboard: `make screenshots` writes dashboard-*.webp beside this file.

A spine and three claws run as real processes, with jobs in each place that a page has for one. Needs what the tests of
the dashboard need: a Docker Engine in which Chromium runs.
"""

import argparse
import base64
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from playwright.sync_api import BrowserContext, Page, ViewportSize, expect, sync_playwright
from tests.support.chromium import Chromium
from tests.support.claw_process import Machine
from tests.support.eventually import eventually
from tests.support.looking import sign_in
from tests.support.server import Server
from tests.support.spine_process import TOKENS, SpineProcess

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent.parent / "examples" / "greeter"
CLAWS = {"left-claw": "left-token-0001", "right-claw": "right-token-0001", "build-box": "build-token-0001"}
WAIT_SECONDS = 120.0
QUALITY = 82
# The kernel of whoever takes the pictures is nobody's business.
PLAIN_SYSTEM = """(release) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replace(release, "6.1.0");
}"""


class Device(NamedTuple):
    """A screen: its size in points, and how many dots a point has."""

    size: ViewportSize
    density: float


DEVICES = {
    "desktop": Device(ViewportSize(width=1180, height=1060), 1.5),
    "phone": Device(ViewportSize(width=390, height=800), 2),
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = ("board", "job", "machines")
PICTURES = [f"dashboard-{page}-{device}-{scheme}.webp" for page in PAGES for device in DEVICES for scheme in SCHEMES]

# What the demonstration's repository has beside the example: a tool that says much in colours, and does not end.
CHECK = r"""#!/bin/sh
case $1 in
  prepare) echo "12 modules found" ;;
  test)
    for n in 1 2 3 4 5 6 7 8 9; do printf '\033[32mok\033[0m    module %s of 12\n' "$n"; done
    printf '\033[33mslow\033[0m  module 10 of 12: 4.1 s\n'
    exec sleep 3600 ;;
esac
"""
GREET = (
    "python3 -B -m unittest -v && python3 release.py && "
    """echo '{"notes": "Released, with a line in the change log.", "howToTest": ["python3 -m unittest", """
    """"read CHANGELOG.md"]}' > "$SPINE_RESULT_FILE\""""
)


class Fleet:
    """A spine and its claws at work; `jobs` has the ids of those that a picture shows."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.repository = _repository(folder)
        spine = SpineProcess(folder / "spine", {"CLAW_TOKENS": f"build-box={CLAWS['build-box']}"}).start()
        stack.callback(spine.kill9)
        self.server = Server(spine)
        self.machines = {
            name: Machine(folder / name, name, token, spine.url, {"CLAW_ALLOWED_REPOS": str(folder)})
            for name, token in CLAWS.items()
        }
        for machine in self.machines.values():
            stack.callback(machine.crash)
        self.jobs: dict[str, str] = {}

    def submit(self, label: str, target: str, run: str = "", **fields: Any) -> str:
        """Submit a job; return its id."""
        spec = ({"run": run} if run else {}) | fields.pop("spec", {})
        self.jobs[label] = str(self.server.head.submit(label=label, target=target, spec=spec, **fields)["id"])
        return self.jobs[label]

    def until(self, label: str, status: str) -> None:
        """Wait for a job to get somewhere."""
        job = self.jobs[label]
        eventually(lambda: self.server.head.job(job)["status"] == status, WAIT_SECONDS, every=0.2, what=label)

    def work(self) -> None:
        """Bring jobs to each place that the pages show."""
        for machine in self.machines.values():
            machine.run()
        # What ends first: one after the other on each machine.
        for n, (label, target) in enumerate(
            (
                ("Count the lines", "left-claw"),
                ("Look for old files", "right-claw"),
                ("Check the clock", "build-box"),
                ("Measure the disk", "left-claw"),
                ("List the tools", "right-claw"),
            )
        ):
            self.submit(label, target, f"echo step {n}; uname -s")
        self.submit("Check the links", "build-box", "echo '3 of 214 links lead nowhere'; exit 2", maxAttempts=1)
        repository = {"repo": str(self.repository)}
        self.submit("Release the greeter", "left-claw", GREET, spec=repository, needsReview=True)
        for label in list(self.jobs):
            self.until(label, "dead" if label == "Check the links" else "done")
        phases = [{"name": "prepare", "run": "sh check.sh prepare"}, {"name": "test", "run": "sh check.sh test"}]
        self.submit("Run all tests", "right-claw", spec=repository | {"phases": phases}, priority=5)
        self.submit("Build the pages", "build-box", "echo 'reading 38 pages'; sleep 3600")
        self.until("Run all tests", "running")
        self.until("Build the pages", "running")
        head = self.server.head
        head.post(f"/jobs/{self.jobs['Run all tests']}/comment", {"text": "Module 10 is slower than yesterday."})
        self.submit("Measure the start", "right-claw", "true")
        self.submit("Train on the graphics card", "any", "true", requires=["gpu"])
        self.submit("Publish the release", "left-claw", "true", after=[self.jobs["Run all tests"]])
        self.submit("Delete old branches", "left-claw", "true", needsApproval=True)
        job = {"target": "left-claw", "spec": {"run": "true"}, "label": "Back up"}
        head.post("/schedules", {"name": "nightly", "cron": "0 3 * * *", "timezone": "UTC", "job": job})
        log = f"/jobs/{self.jobs['Run all tests']}/log"
        eventually(lambda: b"module 10" in head.get(log).body, WAIT_SECONDS, every=0.2, what="the log")


def _repository(folder: Path) -> Path:
    """Make the repository of the example, and the bare one that a claw clones."""
    source, bare = folder / "source", folder / "greeter.git"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "reports"))
    (source / "check.sh").write_text(CHECK, encoding="utf-8")
    who = "-c user.name=Greeter -c user.email=greeter@localhost"
    for line in (
        f"git init --quiet --initial-branch=main {shlex.quote(str(source))}",
        f"git -C {shlex.quote(str(source))} add --all",
        f"git {who} -C {shlex.quote(str(source))} commit --quiet --message 'Greet by name'",
        f"git clone --quiet --bare {shlex.quote(str(source))} {shlex.quote(str(bare))}",
    ):
        subprocess.run(shlex.split(line), check=True, timeout=60)
    return bare


def _picture(page: Page, path: Path) -> None:
    """Write what is on the screen; WebP, because a page of text takes a third of what it takes as PNG."""
    page.evaluate(PLAIN_SYSTEM, os.uname().release)
    session = page.context.new_cdp_session(page)
    try:
        taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    finally:
        session.detach()
    path.write_bytes(base64.b64decode(taken["data"]))


def _visit(context: BrowserContext, fleet: Fleet, device: str, pages: Sequence[str], folder: Path) -> None:
    """Take the pictures of one device, which is signed in once."""
    page = context.new_page()
    url = fleet.server.process.url
    sign_in(page, url, TOKENS["HEAD_TOKEN"])
    paths = {"board": "/ui", "job": f"/ui/jobs/{fleet.jobs['Run all tests']}", "machines": "/ui/machines"}
    for name in pages:
        page.goto(f"{url}{paths[name]}")
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        if name == "job":
            expect(page.get_by_text("module 10 of 12").first).to_be_visible()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            _picture(page, folder / f"dashboard-{name}-{device}-{scheme}.webp")


@contextmanager
def at_work() -> Iterator[Fleet]:
    """Give a fleet at work; all of it is ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fleet-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        fleet = Fleet(Path(folder), stack)
        fleet.work()
        yield fleet


def take(folder: Path, devices: Sequence[str] = tuple(DEVICES), pages: Sequence[str] = PAGES) -> None:
    """Write the pictures of some pages on some devices into a folder."""
    with at_work() as fleet, ExitStack() as stack:
        chromium = Chromium()
        stack.callback(chromium.stop)
        playwright = stack.enter_context(sync_playwright())
        expect.set_options(timeout=WAIT_SECONDS * 1000)
        browser = playwright.chromium.connect_over_cdp(chromium.address, timeout=WAIT_SECONDS * 1000)
        for device in devices:
            size, density = DEVICES[device]
            context = browser.new_context(viewport=size, device_scale_factor=density, locale="en-GB", timezone_id="UTC")
            _visit(context, fleet, device, pages, folder)
            context.close()


def main() -> None:
    """Take all pictures, into this folder or the one that is named."""
    parser = argparse.ArgumentParser(description="Take the pictures of the dashboard.")
    parser.add_argument("folder", type=Path, nargs="?", default=HERE)
    take(parser.parse_args().folder)


if __name__ == "__main__":
    main()
