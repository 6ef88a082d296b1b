"""Logs of a node: standard error, a file that is rotated, the system's log under its tag."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cluster import log
from cluster.settings import Logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    logging.raiseExceptions = raises
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def wanted(path: Path | None = None, level: str = "INFO", max_bytes: int = 10_000) -> Logging:
    return Logging(level=level, path=path, max_bytes=max_bytes, backup_count=2)


def test_a_line_goes_to_standard_error_and_to_the_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "logs" / "heartbeat.log"
    assert log.configure(wanted(path), dev_log="/nonexistent") == []
    structlog.get_logger().warning("heartbeat.try_failed", attempt=1, nothing=None)
    structlog.get_logger().debug("unheard")
    line = path.read_text().strip()
    assert line.endswith(" WARNING heartbeat.try_failed attempt=1")
    assert capsys.readouterr().err.strip() == line
    assert path.stat().st_mode & 0o007 == 0


def test_the_file_is_rotated(tmp_path: Path) -> None:
    log.configure(wanted(tmp_path / "a.log", max_bytes=1024), dev_log="/nonexistent")
    for n in range(200):
        structlog.get_logger().info("line", n=n)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]


def test_a_file_that_could_not_be_opened_for_a_while_is_written_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    log.configure(wanted(folder / "a.log"), dev_log="/nonexistent")
    structlog.get_logger().info("before")
    folder.rename(tmp_path / "elsewhere")
    structlog.get_logger().info("lost")
    folder.mkdir()
    (folder / "a.log").write_text("another's\n")
    structlog.get_logger().info("after")
    assert [line.split()[-1] for line in (folder / "a.log").read_text().splitlines()] == ["another's", "after"]


def test_every_file_of_a_rotation_is_kept_from_others(tmp_path: Path) -> None:
    log.configure(wanted(tmp_path / "a.log", max_bytes=1024), dev_log="/nonexistent")
    for n in range(200):
        structlog.get_logger().info("line", n=n)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o640] * 3


WRITER = """
import sys
from pathlib import Path
import structlog
from cluster import log
from cluster.settings import Logging
log.configure(Logging(level="INFO", path=Path("a.log"), max_bytes=4096, backup_count=1000), dev_log="/nonexistent")
for n in range(1000):
    structlog.get_logger().info("line", who=int(sys.argv[1]), n=n)
"""


def test_two_processes_rotate_one_file_and_lose_no_line(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", WRITER, who], cwd=tmp_path, stderr=subprocess.DEVNULL)
        for who in ("1", "2")
    ]
    assert [one.wait(60) for one in both] == [0, 0]
    files = list(tmp_path.iterdir())
    lines = [line.split(" ", 2)[2] for path in files for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(f"line who={who} n={n}" for who in (1, 2) for n in range(1000))
    sizes = sorted(path.stat().st_size for path in files)
    assert sizes[1] > 4096 * 0.9, "a file is full before it is set aside; one is begun"


def test_a_systems_log_that_is_gone_is_no_noise(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    place = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(str(place))
        log.configure(wanted(), dev_log=str(place))
    place.unlink()
    structlog.get_logger().info("line", n=1)
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()] == ["line n=1"]


def test_the_systems_log_gets_the_tag(tmp_path: Path) -> None:
    place = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(place)
        system.settimeout(5)
        assert log.configure(wanted(), dev_log=place) == []
        structlog.get_logger().error("heartbeat.failed", attempt=3)
        assert system.recv(1000) == b"<11>clawster: ERROR heartbeat.failed attempt=3"


def test_a_place_that_cannot_be_logged_to_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert log.configure(wanted(tmp_path / "file" / "a.log"), dev_log="/nonexistent") == [
        f"{tmp_path}/file/a.log: not logged to: File exists"
    ]


def test_secrets_are_masked(capsys: pytest.CaptureFixture) -> None:
    log.configure(wanted(), dev_log="/nonexistent")
    structlog.get_logger().info("told", url="redis://:sesame-open-0001@h:6379/0")
    assert "sesame" not in capsys.readouterr().err
