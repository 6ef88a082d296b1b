"""The detached worker: `python -m claw.worker <state folder>`.

The first line of its standard input is the token, the second the file that the token came from, or nothing.
"""

import signal
import sys
from pathlib import Path

import msgspec
import structlog

from claw import exits, settings
from claw.leash import Leash
from claw.modes import worker as mode
from claw.process.guard import hide_memory
from claw.runner.attempt import Attempt
from claw.runner.connect import connect
from claw.state import Journal
from contract import killpoints, logs

log = structlog.get_logger()


def main(argv: list[str]) -> int:
    """Run the job that the journal holds; the exit code is for people only, the journal tells the rest."""
    hide_memory()
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return exits.OK  # whoever started us died before writing us down
    file = sys.stdin.readline().strip()
    used = settings.from_env(token=line.strip(), token_file=Path(file) if file else None)
    logs.configure("claw", used.log_level, used.log_format, machine=used.name)
    killpoints.arm(used.kill_point, used.kill_point_file)
    journal = Journal(Path(argv[1]))
    used = msgspec.structs.replace(used, handed_file=journal.handed_token)
    held, note = journal.load()
    if held is None or held.job is None or held.outcome is not None:
        log.error("claw.worker_without_job", note=note)
        return exits.OK
    leash = Leash()
    signal.signal(signal.SIGTERM, lambda *_: leash.pull("drain", "the claw is stopping"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    client = connect(used, journal, sleep=leash.wait)
    Attempt(used, client, journal, held, leash, patient=True).carry_on(mode.walk)
    return exits.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv))
