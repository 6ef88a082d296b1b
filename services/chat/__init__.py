"""The chat front: people ask the fleet from a chat, see what came of it, and decide with a button."""
