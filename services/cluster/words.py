"""What `spine-cluster` prints: tables for people, JSON for programs. Texts of others lose what a terminal obeys."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from cluster.backend import FOR_EVER_SECONDS, Event, Leader, NodeState
from contract.clock import iso


def say_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def clean(text: str) -> str:
    """Return a text without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, its columns as wide as what is in them."""
    lines = [list(heads), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def leader(found: Leader | None) -> dict[str, Any] | None:
    """Return a leader for JSON."""
    return None if found is None else found._asdict()


def remaining(found: Leader) -> str:
    """Say how long a leader leads unless it renews."""
    return "without an end" if found.remaining_seconds >= FOR_EVER_SECONDS else f"{found.remaining_seconds:.1f} s"


def nodes(found: Iterable[NodeState], leader_id: str | None) -> None:
    """Print the nodes."""
    table(
        ("NODE", "STATE", "ROLE", "LAST HEARD", "NAME", "CAPABILITIES"),
        [
            (
                node.node_id,
                node.state,
                "leader" if node.node_id == leader_id else "-",
                f"{node.age_seconds:.0f} s ago",
                node.name or "-",
                " ".join(node.capabilities) or "-",
            )
            for node in found
        ],
    )


def event(found: Event) -> str:
    """Return an event as a line, with its time by the store's clock."""
    more = " ".join(f"{name}={clean(str(value))}" for name, value in found.payload.items())
    return f"{iso(found.at_ms)} {clean(found.type)} {more}".rstrip()
