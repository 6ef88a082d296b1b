"""The chat front: the fleet from a phone. Commands in a chat become jobs, and what comes of them is said there."""
