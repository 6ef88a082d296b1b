"""What is sent to a service manager, byte for byte, and when nothing is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contract import sdnotify
from contract.liveness import Beacon
from contract.sdnotify import Notifier


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(ear: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(ear.recv(4096).decode())
        except BlockingIOError:
            return found


def test_the_words_of_the_protocol(ear: socket.socket) -> None:
    notifier = Notifier(ear.getsockname(), 5.0)
    notifier.ready("serves")
    notifier.status("two\nlines, and ü")
    notifier.alive()
    notifier.stopping("ends")
    assert heard(ear) == [
        "READY=1\nSTATUS=serves",
        "STATUS=two lines, and ü",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=ends",
    ]


def test_an_abstract_address() -> None:
    name = f"spinal-cord-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Notifier(f"@{name}").status("here")
        assert heard(listening) == ["STATUS=here"]


def test_a_busy_time_stretches_the_watchdog_until_the_next_word(ear: socket.socket) -> None:
    notifier = Notifier(ear.getsockname(), 10.0)
    notifier.alive(600)
    notifier.alive()
    assert heard(ear) == ["WATCHDOG=1\nWATCHDOG_USEC=610000000", "WATCHDOG=1\nWATCHDOG_USEC=10000000"]


def test_words_that_come_too_often_are_kept(ear: socket.socket) -> None:
    notifier = Notifier(ear.getsockname(), 10.0)
    for _ in range(50):
        notifier.alive()
    assert heard(ear) == ["WATCHDOG=1"]


def test_nobody_who_watches_is_fed(ear: socket.socket) -> None:
    Notifier(ear.getsockname()).alive()
    Notifier(None, 5.0).alive()
    assert heard(ear) == []


def test_a_manager_that_is_not_there_is_a_line_in_the_log(tmp_path: Path) -> None:
    with capture_logs() as lines:
        Notifier(str(tmp_path / "nobody")).ready("serves")
    assert [line["event"] for line in lines] == ["sdnotify.refused"]


@pytest.mark.parametrize(
    ("environ", "watched"),
    [
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "500000"}, 0.5),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, 0.0),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "30000000"}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_variables_are_taken_out_of_the_environment(environ: dict[str, str], watched: float) -> None:
    environ["KEPT"] = "1"
    assert sdnotify.take(environ).watchdog_seconds == watched
    assert environ == {"KEPT": "1"}


def test_one_beat_is_for_the_file_and_for_the_watchdog(ear: socket.socket, tmp_path: Path) -> None:
    beacon = Beacon(tmp_path / "alive", Notifier(ear.getsockname(), 10.0))
    beacon.beat()
    assert (tmp_path / "alive").read_text() == f"{os.getpid()}\n"
    beacon.beat(60)
    assert heard(ear) == ["WATCHDOG=1", "WATCHDOG=1\nWATCHDOG_USEC=70000000"]


def test_a_disk_that_takes_no_file_does_not_starve_the_watchdog(ear: socket.socket, tmp_path: Path) -> None:
    Beacon(tmp_path / "no" / "such" / "folder", Notifier(ear.getsockname(), 10.0)).beat()
    assert heard(ear) == ["WATCHDOG=1"]
