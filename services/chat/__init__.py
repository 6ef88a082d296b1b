"""The chat front: people ask the fleet from a chat, see what came of it, and decide with a button."""

import contract.lean  # noqa: F401 — before any library
