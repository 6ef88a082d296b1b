"""Whether a claw can see its own worker: a /proc that hides processes, as its mount says."""

import pytest

from claw.process.identity import hidden_by

PLAIN = "25 30 0:23 / /sys rw - sysfs sysfs rw\n26 30 0:24 / /proc rw,nosuid - proc proc rw\n"


@pytest.mark.parametrize(
    ("mounts", "hidden"),
    [
        (PLAIN, False),
        ("", False),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,hidepid=invisible\n", True),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,hidepid=2\n", True),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,hidepid=noaccess,subset=pid\n", True),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,hidepid=0\n", False),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,gid=7,hidepid=invisible\n", False),
        (PLAIN + "99 30 0:88 / /proc rw - proc proc rw,gid=8,hidepid=invisible\n", True),
        ("99 30 0:88 / /proc rw - proc proc rw,hidepid=invisible\n" + PLAIN, False),
        (PLAIN + "99 30 0:88 / /proc/sys rw - proc proc rw,hidepid=invisible\n", False),
    ],
)
def test_hidden_processes(mounts: str, hidden: bool) -> None:
    assert hidden_by(mounts, {7, 100}) is hidden
