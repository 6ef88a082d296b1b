"""The claw: claims jobs from a spine, runs them under a lease, and reports what came of them."""

import contract.lean  # noqa: F401 — before any library
