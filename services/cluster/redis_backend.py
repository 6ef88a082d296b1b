"""A cluster whose store is Redis: the one place where redis is imported."""

import redis

AWAY: tuple[type[Exception], ...] = (redis.ConnectionError, redis.TimeoutError)
"""What redis raises when the server cannot be reached, or does not answer in time."""
