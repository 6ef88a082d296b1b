"""Every exit code of `spine-chat`. Those above 63 are sysexits.h's."""

from contract.exits import Exit

OK = 0
CHECK_FAILED = 1
USAGE = 2
CANNOT_WRITE = 73
TEMPORARY = 75
CONFIG = 78

EXITS: tuple[Exit, ...] = (
    Exit(OK, "done; of `run`: it was told to end"),
    Exit(CHECK_FAILED, "`doctor` found a fault; of `run`: it broke, and is to be started again"),
    Exit(USAGE, "wrong arguments"),
    Exit(CANNOT_WRITE, "the folder CHAT_STATE_DIR cannot be used, or the address CHAT_LISTEN"),
    Exit(TEMPORARY, "another one runs on the same CHAT_STATE_DIR"),
    Exit(CONFIG, "a setting cannot be used; or the spine or the chat service refuses a token"),
)
