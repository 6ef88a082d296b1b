"""What a job says of itself, in short: texts as they came, not yet clean for a terminal or a page."""

from typing import Any


def what(label: str | None, spec: Any) -> str:
    """Say what a job is: its label, or what its spec begins with."""
    if label:
        return label
    if not isinstance(spec, dict):
        return str(spec)
    phases = spec.get("phases")
    if isinstance(phases, list) and phases:
        return " → ".join(str(p.get("name", n)) if isinstance(p, dict) else str(n) for n, p in enumerate(phases, 1))
    run = spec.get("run")
    if run:
        return " ".join(map(str, run)) if isinstance(run, list) else str(run)
    plan, builtin = spec.get("plan"), spec.get("builtin")
    if isinstance(plan, str) or isinstance(builtin, str):
        return f"plan: {plan}" if isinstance(plan, str) else str(builtin)
    return ", ".join(map(str, spec))


def phase(progress: Any) -> str:
    """Say where the work stands, from whatever a claw sent as progress; empty when it says nothing."""
    if not isinstance(progress, dict):
        return "" if progress is None else str(progress)
    name = next((progress[key] for key in ("phase", "step", "message", "note") if progress.get(key)), "")
    index, of = progress.get("index"), progress.get("of")
    if isinstance(index, int) and isinstance(of, int):
        return f"phase {index} of {of}: {name}" if name else f"phase {index} of {of}"
    return str(name)


def percent(progress: Any) -> float | None:
    """Return how much is done in 0…100, when the progress says so; a claw that lies stays within."""
    value = progress.get("percent") if isinstance(progress, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(min(100, max(0, value)))


def span(seconds: float) -> str:
    """Say a length of time: `12 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
