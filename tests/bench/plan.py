"""How much is measured: the whole run, or a short one that only shows that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Numbers of calls, jobs, claws and rounds; seconds where they say so."""

    rounds: int = 7
    clients: int = 32
    calls: int = 3000
    dialect_rounds: int = 7
    dialect_jobs: int = 3000
    few: int = 1000
    many: int = 1_000_000
    depth_rounds: int = 9
    depth_claims: int = 500
    claws: int = 1000
    rate: int = 200
    waiting_seconds: float = 8.0
    waiting_rounds: int = 3
    idle: int = 5000
    idle_seconds: float = 7.0
    idle_windows: int = 3
    settle_seconds: float = 2.0
    renewals: bool = True
    schedules: int = 1000
    firing_rounds: int = 5
    firing_every_seconds: int = 10
    firing_lead_seconds: float = 12.0
    firing_seconds: float = 2.5
    shared_rounds: int = 3
    shared_calls: int = 1000
    shared_claws: int = 100
    shared_rate: int = 50
    shared_seconds: float = 8.0
    page_rounds: int = 5
    page_looks: int = 40
    open_pages: int = 200


WHOLE = Plan()
SMOKE = Plan(
    rounds=1,
    clients=4,
    calls=40,
    dialect_rounds=1,
    dialect_jobs=40,
    few=20,
    many=200,
    depth_rounds=1,
    depth_claims=20,
    claws=10,
    rate=50,
    waiting_seconds=0.3,
    waiting_rounds=1,
    idle=20,
    idle_seconds=0.2,
    idle_windows=1,
    settle_seconds=0.0,
    renewals=False,
    schedules=20,
    firing_rounds=1,
    firing_every_seconds=10,
    firing_lead_seconds=2.5,
    firing_seconds=0.2,
    shared_rounds=1,
    shared_calls=40,
    shared_claws=10,
    shared_rate=20,
    shared_seconds=0.3,
    page_rounds=1,
    page_looks=3,
    open_pages=5,
)
