"""Agent sessions on an OpenClaw gateway: start them, steer them, know what became of them."""

import contract.lean  # noqa: F401 — before any library
