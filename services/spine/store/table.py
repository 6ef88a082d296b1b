"""What every model is made from."""

import peewee as pw


class Table(pw.Model):
    """Unbound: statements are compiled for the dialect of the engine that runs them."""
