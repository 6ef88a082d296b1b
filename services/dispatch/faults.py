"""What a verb says when it does not do what was asked: its text, its exit code, its stable word for programs."""

OK = 0
FAILED = 1
USAGE = 2
STUCK = 1

OVERLOAD = 75
PERMANENT = 77
ABORTED = 143

EXITS: tuple[tuple[int, str], ...] = (
    (OK, "done; nothing stuck to tell of"),
    (FAILED, "refused, failed, or something stuck is told of"),
    (USAGE, "an argument is missing or wrong, or there is no such subcommand"),
    (
        OVERLOAD,
        "run: the model is overloaded or the gateway is away, watch: a signal ended it; later it may go well",
    ),
    (PERMANENT, "run: it fails however often it is tried"),
    (ABORTED, "run: a signal ended it, and the session was aborted"),
)


class Fault(Exception):
    """A verb cannot do what was asked: exit 1.

    Attributes:
        code: a stable word, printed as `code`.
    """

    exit_code = FAILED

    def __init__(self, text: str, code: str = "failed") -> None:
        super().__init__(text)
        self.text, self.code = text, code


class Usage(Fault):
    """The arguments cannot be used: exit 2."""

    exit_code = USAGE

    def __init__(self, text: str) -> None:
        super().__init__(text, "usage")


class Rejected(Fault):
    """A gate holds a `done` or a check-in back: exit 1, and a line that begins with REJECTED."""

    def __init__(self, text: str, code: str = "rejected") -> None:
        super().__init__(f"REJECTED: {text}", code)
