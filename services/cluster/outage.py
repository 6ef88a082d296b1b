"""A time in which the store is away: who asks it each second tells of it once, and once that it is over."""


class Outage:
    """What one thread has told of the store's being away."""

    def __init__(self) -> None:
        self._kind: type[Exception] | None = None

    def is_news(self, error: Exception) -> bool:
        """Note a failed try; return whether it is to be told: the first one, or one of another kind.

        Not by the text: of several stores that are away each try names another one.
        """
        news, self._kind = type(error) is not self._kind, type(error)
        return news

    def ends(self) -> bool:
        """Note a try that came through; return whether it ended an outage."""
        ended, self._kind = self._kind is not None, None
        return ended
