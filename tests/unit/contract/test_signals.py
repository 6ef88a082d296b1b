"""A process that is told to end does so, also when the signal interrupts no call of its main thread."""

import os
import signal
import subprocess
import sys

import pytest
from tests.support.spine_process import REPO

# With the mask another thread gets the signal, so that the blocking call is not interrupted: as when the signal comes
# in the moment before the call.
PROGRAM = """
import signal, socket, sys, threading
from contract.signals import on_sigterm
on_sigterm(lambda: sys.exit(7))
if "masked" in sys.argv:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
here, there = socket.socketpair()
try:
    print("ready", flush=True)
    here.recv(1)
finally:
    print("left", flush=True)
"""


@pytest.mark.parametrize("how", ["plain", "masked"])
def test_it_leaves_a_blocking_call_by_an_exception(how: str) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / "services")}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, how], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(20) == 7
        finally:
            process.kill()
        assert process.stdout.read() == "left\n"
