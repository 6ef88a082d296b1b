"""Telling the world: aliases, what is said, the channels, and the sender that empties the outbox."""
