"""A real OpenClaw gateway on a free loopback port, as `make gateway` installed it: start, stop, kill, start again.

Everything that it writes lies below one folder, but what its Node compiled, which lies beside the packages.
"""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.mock_model import ANSWERS, MODELS
from tests.support.spine_process import free_port

TOKEN = "gateway-token-0001"
START_SECONDS = 180.0
"""It takes about ten on a machine that does nothing else, and a minute on one that runs everything."""
STOP_SECONDS = 30.0
CLI_SECONDS = 150.0
REPO = Path(__file__).resolve().parents[2]
# Read at import: the tests' own environment is cleaned of what configures a role.
CACHE = Path(os.environ.get("SPINE_GATEWAY_CACHE") or "~/.cache/spinal-cord/gateway").expanduser()


def installed() -> Path | None:
    """Return the folder with the packages that this commit wants; None when `make gateway` has not been run for it."""
    done = subprocess.run([REPO / ".ci" / "gateway.sh", "where"], capture_output=True, text=True, env=_environment())
    folder = Path(done.stdout.strip())
    return folder if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    return {**os.environ, "SPINE_GATEWAY_CACHE": str(CACHE)}


class GatewayFailed(Exception):
    """The gateway did not start, or ended by itself; the message carries the end of its output."""


class RealGateway:
    """One gateway, over its lives: on the same folder and the same port.

    Args:
        packages: what `installed` returned.
        folder: its home; made if absent.
        model_url: base URL of the model server.
        telegram: address and token of a Telegram Bot API; with it the gateway has that channel, open for everybody.
    """

    def __init__(self, packages: Path, folder: Path, model_url: str, telegram: tuple[str, str] | None = None) -> None:
        self.folder, self.port, self._telegram = folder, free_port(), telegram
        self._packages = packages
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "gateway.log"
        (folder / ".openclaw").mkdir(parents=True)
        (folder / "tmp").mkdir()
        self.config_path.write_text(json.dumps(self._config(model_url), indent=2))

    @property
    def config_path(self) -> Path:
        """Its configuration, with the token."""
        return self.folder / ".openclaw" / "openclaw.json"

    @property
    def url(self) -> str:
        """Base URL of its HTTP side; the WebSocket has the same host and port."""
        return f"http://127.0.0.1:{self.port}"

    def _config(self, model_url: str) -> dict[str, object]:
        model = {"reasoning": False, "input": ["text"], "contextWindow": 200_000, "maxTokens": 4096}
        cost = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
        models = [{"id": name, "name": name, "cost": cost, **model} for name in MODELS]
        provider = {"baseUrl": model_url, "apiKey": "none", "api": "openai-completions", "models": models}
        found: dict[str, object] = {
            "gateway": {
                "mode": "local",
                "port": self.port,
                "bind": "loopback",
                "auth": {"mode": "token", "token": TOKEN},
                "controlUi": {"enabled": False},
                # So that a request with a forwarded address counts as one from elsewhere.
                "trustedProxies": ["127.0.0.1"],
            },
            "logging": {"file": str(self.folder / "tmp" / "openclaw.log")},
            "plugins": {"enabled": False},
            "models": {"mode": "replace", "providers": {"mock": provider}},
            "agents": {
                "defaults": {
                    "workspace": str(self.folder / "workspace"),
                    "skipBootstrap": True,
                    "model": {"primary": f"mock/{ANSWERS}"},
                }
            },
        }
        if self._telegram is not None:
            url, token = self._telegram
            policy = {"dmPolicy": "open", "groupPolicy": "open", "allowFrom": ["*"]}
            groups = {"*": {"requireMention": False}}
            found["channels"] = {"telegram": {"apiRoot": url, "botToken": token, "groups": groups, **policy}}
            # No others than these, and what is installed later: it starts in half the time.
            found["plugins"] = {"allow": ["telegram"], "entries": {"telegram": {"enabled": True}}}
        return found

    def environment(self) -> dict[str, str]:
        """Everything that the gateway and its own commands are given."""
        found = {
            "PATH": f"{self._node.parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "NODE_OPTIONS": "--max-old-space-size=512",
            "NODE_COMPILE_CACHE": str(self._packages / ".compiled"),
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_NO_RESPAWN": "1",
            "OPENCLAW_SKIP_CHANNELS": "1",
            "OPENCLAW_SKIP_CRON": "1",
            "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
        }
        if self._telegram is not None:
            del found["OPENCLAW_SKIP_CHANNELS"]
        return found

    @property
    def _node(self) -> Path:
        return self._packages / "node_modules" / ".bin" / "node"

    @property
    def _program(self) -> list[str]:
        return [str(self._node), str(self._packages / "node_modules" / "openclaw" / "openclaw.mjs")]

    def start(self) -> "RealGateway":
        """Start and wait until ready.

        Raises:
            GatewayFailed
        """
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start without waiting."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "gateway", "run", "--port", str(self.port), "--bind", "loopback"],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it says that it is ready.

        Raises:
            GatewayFailed
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise GatewayFailed(f"the gateway ended:\n{self.log_tail()}")
            if self._ready():
                return
            time.sleep(0.1)
        raise GatewayFailed(f"the gateway was not ready within {START_SECONDS:g} s:\n{self.log_tail()}")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return json.load(answer).get("ready") is True
        except (OSError, ValueError, urllib.error.HTTPError):
            return False

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def cli(self, *args: str) -> str:
        """Run one of OpenClaw's own commands, as an operator on this machine does; return its output."""
        done = subprocess.run(
            [*self._program, *args],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS,
        )
        assert done.returncode == 0, f"openclaw {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop it in order; one that does not end is killed, which is an error."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise
        self._sweep()

    def kill9(self) -> None:
        """Kill the gateway alone, as a machine without memory does; what it started ends by itself or is swept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._sweep()

    def _sweep(self) -> None:
        assert self._process is not None
        group = self._process.pid
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        eventually(lambda: not _alive(group), what="the end of what the gateway started")

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its output."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
