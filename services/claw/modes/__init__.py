"""How the phases of a job are walked: all in one go (worker), or one a tick (phases)."""
