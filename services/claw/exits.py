"""Every exit code of the claw's own commands, and what the exit code of a job's command means.

The numbers above 63 are those of sysexits.h.
"""

OK = 0
"""Done; or another pass holds the lock, so that this one had nothing to do."""
CHECK_FAILED = 1
"""`claw doctor` found a fault."""
USAGE = 2
"""Wrong arguments (click's own code)."""
UNREACHABLE = 69
"""The spine could not be reached; what is held stays held."""
CANNOT_WRITE = 73
"""A file cannot be written, or is there already (`claw join` without --force)."""
REFUSED = 77
"""The spine refuses what was asked: a join code that is not valid, a machine that is revoked."""
CONFIG = 78
"""A setting cannot be used (each fault is named on standard error), or the spine does not know the token (any more)."""

CHILD_OK = 0
"""The job is complete."""
CHILD_UNAVAILABLE = 69
"""EX_UNAVAILABLE: released, with the last line of output as the reason."""
CHILD_TEMPORARY = 75
"""EX_TEMPFAIL: failed, requeued."""
CHILD_FORBIDDEN = 77
"""EX_NOPERM: failed for good."""
CHILD_CANNOT_EXECUTE = 126
"""The command is there and cannot be executed (as shells say it)."""
CHILD_NOT_FOUND = 127
"""There is no such command (as shells say it)."""
