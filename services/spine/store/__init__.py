"""Everything that speaks SQL, and nothing else does. `engine` is the interface; one module of statements per noun."""

from contract.imports import without

with without("psycopg"):
    import peewee  # noqa: F401 — here first: it would load the driver of a server also where the store is a file
