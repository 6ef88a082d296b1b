"""Imported before anything else by the packages that are programs, and not by what others import: they start sooner."""

from contract.imports import without

with without("rich"):
    import structlog  # noqa: F401 — it would load all of rich, for tracebacks in colours; our logs are lines
