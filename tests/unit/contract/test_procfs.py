"""What /proc tells of a process."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.eventually import eventually

from contract.procfs import over, stat_fields

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")

# Its first thread ends, and another one waits until there is nothing more to read.
SECOND_THREAD_STAYS = """
import ctypes, os, threading
threading.Thread(target=os.read, args=(0, 1)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def fields(pid: int) -> list[str]:
    found = stat_fields(pid)
    assert found is not None
    return found


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "pthread_exit"), reason="the C library has no pthread_exit")
def test_a_process_goes_on_behind_its_first_thread() -> None:
    with subprocess.Popen([sys.executable, "-c", SECOND_THREAD_STAYS], stdin=subprocess.PIPE) as process:
        assert not over(fields(process.pid))
        eventually(lambda: fields(process.pid)[0] == "Z", what="the end of its first thread")
        assert not over(fields(process.pid))
        process.kill()
        eventually(lambda: over(fields(process.pid)), what="its end")
        assert fields(process.pid)[0] == "Z"
    assert fields(process.pid) == []
    assert over([])
