"""The profile `chat` of the Compose project: healthy beside the others, answers on Discord, shows no secret."""

import json
from collections.abc import Iterator

import pytest
from tests.support.fake_discord import TOKEN, FakeDiscord, User
from tests.support.stack import Stack

pytestmark = pytest.mark.docker


@pytest.fixture
def ada(stack: Stack) -> Iterator[User]:
    """A person whom the chat front answers; it has been started as a person does, and is gone afterwards."""
    with FakeDiscord(host=stack.here("outside")) as discord:
        person = discord.user("ada")
        secret = stack.folder / "secrets" / "discord.token"
        secret.write_text(f"{TOKEN}\n")
        secret.chmod(0o444)
        before = stack.configure({"ALLOWED_USER_ID": str(person.id), "DISCORD_API_URL": discord.url})
        try:
            stack.run("--profile", "chat", "up", "--detach", "--no-build", "--wait", "chat")
            yield person
        finally:
            stack.run("--profile", "chat", "rm", "--stop", "--force", "chat")
            stack.configure(before)
            secret.unlink()


def test_the_profile_starts_a_chat_front_that_answers_and_is_shut_as_the_others_are(stack: Stack, ada: User) -> None:
    job = stack.head.submit({"target": "any", "spec": "kept", "requires": ["a-sun"]})
    dm = ada.dm()
    dm.send(f"status {job.id}")
    assert "queued" in dm.await_reply().content
    assert stack.health("chat") == "healthy"
    attributes = stack.container("chat").attrs
    host = attributes["HostConfig"]
    assert (attributes["Config"]["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("10004:10004", True, ["ALL"])
    assert (host["Memory"], host["PortBindings"] or {}) == (256 * 1024 * 1024, {})
    code, environ = stack.sh("chat", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    shown = environ + json.dumps(attributes) + stack.logs("chat")
    secrets = {name: (stack.folder / "secrets" / name).read_text().strip() for name in ("chat.token", "discord.token")}
    assert (code, [name for name, secret in secrets.items() if secret in shown]) == (0, [])
    laid = stack.sh("chat", "cd /run/secrets && ls")[1].split()
    assert laid == ["chat-notices.secret", "discord.token", "token"]
    stack.head.cancel(job.id)
