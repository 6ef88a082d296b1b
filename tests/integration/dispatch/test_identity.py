"""The file of a device's identity: one for all processes, for this user alone, never overwritten when damaged."""

import errno
import threading
from pathlib import Path

import pytest
from tests.integration.dispatch.conftest import connect
from tests.support.fake_gateway import FakeGateway

from contract.env import SettingsError
from dispatch.gateway import identity


def test_many_processes_at_once_get_one_identity(fake: FakeGateway, tmp_path: Path) -> None:
    found: list[str] = []

    def one() -> None:
        with connect(fake, tmp_path) as client:
            found.append(client.device_id)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_an_identity_that_others_can_read_is_refused(fake: FakeGateway, tmp_path: Path) -> None:
    with connect(fake, tmp_path):
        pass
    (tmp_path / "device.json").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        connect(fake, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"seed": "AAAA"}', b'{"seed": 5}', b"\xff\xfe", b'{"seed":"not base64!"}']
)
def test_a_damaged_identity_is_named_and_stays(fake: FakeGateway, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "device.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="damaged"):
        connect(fake, tmp_path)
    assert path.read_bytes() == content


def test_a_home_that_is_a_file(fake: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(SettingsError, match="SPINE_DISPATCH_HOME"):
        connect(fake, tmp_path / "home")


def test_a_token_that_cannot_be_kept_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = identity.load(tmp_path)
    monkeypatch.setattr(identity, "write_durably", full)
    with pytest.raises(SettingsError, match=r"SPINE_DISPATCH_HOME: .* cannot be used: No space left on device"):
        found.keep_token("ws://here", "token")
