"""The server: it keeps every job, event, log and blob, and hands work out under leases."""

import contract.lean  # noqa: F401 — before any library
