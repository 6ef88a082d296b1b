"""What every role agrees on: states, records, errors, the client, retries, clock, environment, logs and redaction.

Nothing here knows a role; every role may import it.
"""

__version__ = "0.1.0"
