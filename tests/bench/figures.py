"""Figures: several values of one thing, a gate, and the verdict."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Gate:
    """What a median must be at least, or at most; `goal` is where it shall go."""

    side: Literal["at least", "at most"]
    limit: float
    goal: float | None = None

    def holds(self, value: float) -> bool:
        """Tell whether a value passes."""
        return value >= self.limit if self.side == "at least" else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.side == "at least" else "≤"
        goal = "" if self.goal is None else f" (goal {self.goal:.2f})"
        return f"{sign} {number(self.limit)}{goal}"


@dataclass(frozen=True)
class Figure:
    """One row of the page: a value a round. `missing`: why there is none."""

    name: str
    values: Sequence[float] = ()
    unit: str = ""
    gate: Gate | None = None
    missing: str = ""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """`holds`, `FAILS`, `not taken`, or nothing where no gate stands."""
        if not self.values:
            return "**not taken**"
        if self.gate is None:
            return ""
        return "holds" if self.gate.holds(self.median) else "**FAILS**"

    @property
    def cells(self) -> tuple[str, ...]:
        """Name, gate, median, min..max, verdict."""
        gate = "" if self.gate is None else str(self.gate)
        if not self.values:
            return self.name, gate, "", "", f"{self.verdict}: {self.missing}"
        spread = f"{number(min(self.values))} .. {number(max(self.values))}"
        return self.name, gate, f"{number(self.median)} {self.unit}".strip(), spread, self.verdict


@dataclass
class Part:
    """The figures of one part of the run, and words about it."""

    title: str
    text: str
    figures: list[Figure] = field(default_factory=list)


def number(value: float) -> str:
    """Write a number with about three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
