"""Why a command was not carried out. Nothing was changed when one of these is raised."""


class Refused(RuntimeError):
    """The command cannot be carried out here as it was asked for; the message says what to do."""


class BrokenBackup(Refused):
    """The backup is not whole, not one of ours, or of a newer program."""
