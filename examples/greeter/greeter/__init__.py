"""Says hello."""

__version__ = "1.4.0"


def greet(name: str) -> str:
    """Return a greeting for a name."""
    if not name.strip():
        raise ValueError("a greeting needs a name")
    return f"Hello, {name.strip()}!"
