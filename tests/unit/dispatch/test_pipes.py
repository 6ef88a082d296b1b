"""Pipes that break: a reader that has gone ends the command quietly, a gateway that has gone does not end it."""

import signal
import subprocess
import sys

MAIN = "import sys\nfrom dispatch import cli\n"


def run(code: str, **more: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", MAIN + code], stderr=subprocess.PIPE, **more)


def test_a_connection_that_breaks_under_a_write_does_not_end_the_process() -> None:
    code = (
        "import socket\n"
        "def call(words):\n"
        "    ours, theirs = socket.socketpair()\n"
        "    theirs.close()\n"
        "    try:\n"
        "        ours.send(b'x')\n"
        "    except OSError:\n"
        "        return 7\n"
        "cli.call = call\n"
        "cli.main([])\n"
    )
    child = run(code)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (7, b"")


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    code = "sys.stdin.readline()\ncli.main(['--help'])\n"
    with run(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.write(b"\n")
        child.stdin.close()
        assert child.wait(30) == 128 + signal.SIGPIPE
        assert child.stderr.read() == b""
