"""The transitions of a job as a literal table: what the tests hold against the product, taken from nothing of it.

A column is a status that a job may be in; `+` means that the action takes it from there.
"""

from typing import NamedTuple

STATUSES = ("queued", "running", "done", "failed", "dead", "waiting", "cancelled")

_ROWS = """
action          queued running done failed dead waiting cancelled | to        | event           | who
submit          .      .       .    .      .    .       .         | queued    | job.created     | head
hold            .      .       .    .      .    .       .         | waiting   | job.created     | head
ready           .      .       .    .      .    +       .         | queued    | job.ready       | spine, head
claim           +      .       .    .      .    .       .         | running   | job.claimed     | claw
complete        .      +       .    .      .    .       .         | done      | job.completed   | owner, head
complete_late   +      .       .    .      .    .       .         | done      | job.completed   | owner
fail_requeue    .      +       .    .      .    .       .         | queued    | job.failed      | owner, head
fail_backoff    .      +       .    .      .    .       .         | waiting   | job.failed      | owner, head
fail_overload   .      +       .    .      .    .       .         | waiting   | job.failed      | owner, head
fail            .      +       .    .      .    .       .         | failed    | job.failed      | owner, head
fail_late       +      .       .    .      .    .       .         | failed    | job.failed      | owner
exhaust         .      +       .    .      .    .       .         | dead      | job.dead        | owner, head
release         .      +       .    .      .    .       .         | queued    | job.released    | owner, head
release_later   .      +       .    .      .    .       .         | waiting   | job.released    | owner, head
expire          .      +       .    .      .    .       .         | queued    | job.expired     | reaper
expire_backoff  .      +       .    .      .    .       .         | waiting   | job.expired     | reaper
expire_dead     .      +       .    .      .    .       .         | dead      | job.dead        | reaper
bury            +      .       .    .      .    .       .         | dead      | job.dead        | claw
cancel          +      +       .    .      .    +       .         | cancelled | job.cancelled   | head, spine
reject          .      .       .    .      .    +       .         | cancelled | job.rejected    | head
rework          .      .       +    .      .    .       .         | queued    | job.reviewed    | head
retry           .      .       .    +      +    .       +         | queued    | job.retried     | head
adopt           +      +       .    +      +    +       +         | done      | job.adopted     | head
"""


class Row(NamedTuple):
    """What one action does."""

    action: str
    sources: frozenset[str]
    target: str
    event: str
    who: str


def _read() -> tuple[Row, ...]:
    _header, *lines = _ROWS.strip().splitlines()
    rows = []
    for line in lines:
        left, target, event, who = (part.strip() for part in line.split("|"))
        action, *marks = left.split()
        sources = frozenset(status for status, mark in zip(STATUSES, marks, strict=True) if mark == "+")
        rows.append(Row(action, sources, target, event, who))
    return tuple(rows)


MATRIX = _read()
ENDED = frozenset({"done", "failed", "dead", "cancelled"})
