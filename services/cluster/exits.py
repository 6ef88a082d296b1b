"""Every exit code of `spine-cluster`. Those above 63 are sysexits.h's."""

from contract.exits import Exit

OK = 0
ERROR = 1
USAGE = 2
NO_LEADER = 3
REFUSED_DATA = 65
UNREACHABLE = 69
REPLACED = 75
CONFIG = 78
INTERRUPTED = 130

EXITS: tuple[Exit, ...] = (
    Exit(OK, "done; `start` after SIGTERM or SIGINT: it has handed over and left"),
    Exit(ERROR, "any other fault; `heartbeat --once`: it was not sent"),
    Exit(USAGE, "wrong arguments"),
    Exit(NO_LEADER, "`elect`: nobody came to lead within a lease and two seconds"),
    Exit(REFUSED_DATA, "the store does not take what was given, or does not let this node in"),
    Exit(UNREACHABLE, "the store cannot be reached"),
    Exit(REPLACED, "another process has joined under this node id"),
    Exit(CONFIG, "a setting, or a file of settings, cannot be used"),
    Exit(INTERRUPTED, "interrupted (Ctrl-C), but for `start` and `heartbeat`"),
)
