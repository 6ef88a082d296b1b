"""A real `spine-chat run` on a folder of its own: started, ended by a signal, killed, started again; what it logged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.fake_discord import TOKEN, Channel, FakeDiscord, Post
from tests.support.spine_process import REPO

CHAT_TOKEN = "chat-token-0001"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class ChatProcess:
    """One chat front, over its lives.

    Args:
        discord: None is without.
        env: settings over the defaults: the two servers, an address of its own for notices, no pause between two jobs.
    """

    def __init__(self, folder: Path, spine_url: str, discord: FakeDiscord | None, **env: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log_path = folder, folder / "chat.log"
        self._discord = discord
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(REPO / "services"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPINE_BASE_URL": spine_url,
            "SPINE_TOKEN": CHAT_TOKEN,
            **({} if discord is None else {"DISCORD_TOKEN": TOKEN, "DISCORD_API_URL": discord.url}),
            "BOT_COOLDOWN_SECONDS": "0",
            "CHAT_LISTEN": "127.0.0.1:0",
            "CHAT_STATE_DIR": str(folder / "state"),
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start a command on the same settings and log; by default `run`."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "chat.cli", *(words or ("run",))]
            settings = {"env": self.env | env, "cwd": self.folder, "stdin": subprocess.DEVNULL}
            return subprocess.Popen(command, stdout=log, stderr=log, **settings)

    def start(self, **env: str) -> "ChatProcess":
        """Start it, and wait until it hears what is written."""
        joined = 0 if self._discord is None else self._discord.gateway.joined
        begun = len(self.lines("chat.started"))
        self.env |= env
        self.process = self.launch()
        eventually(lambda: self.lines("chat.started")[begun:] or self._ended(), START_SECONDS, what="chat.started")
        if self._discord is not None:
            self._discord.await_connected(joined + 1, START_SECONDS)
        return self

    def stop(self) -> int:
        """End it by SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        assert self.process is not None
        return self.process.wait(STOP_SECONDS)

    def kill9(self) -> None:
        """End it without a word."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    @property
    def port(self) -> int:
        """Where its newest life listens for notices."""
        return int(self.lines("chat.listening")[-1]["port"])

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log with an event."""
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in found if line["event"] == event]

    def owed(self) -> list[str]:
        """Return the names of the files of what it owes."""
        return sorted(path.name for path in (self.folder / "state/owed").glob("*.json"))

    def _ended(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.log()}")


def ask(channel: Channel, text: str) -> Post:
    """Write something; return the first answer to it: of what was asked before, an end may be said at any moment."""
    asked = channel.send(text)

    def answers() -> list[Post]:
        return [post for post in channel.replies(asked) if post.reference == asked.id]

    return channel.discord.world.wait(answers, 60.0, f"an answer to {text!r}")[0]


def told(channel: Channel, text: str) -> str:
    """Write something; return what the first answer to it says."""
    return ask(channel, text).content
