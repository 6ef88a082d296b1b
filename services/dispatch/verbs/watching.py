"""`watch` and `recover`: seeing a label to its end, and beginning again what overload or a restart ended."""

from contract.errors import SpineError
from contract.signals import on_sigterm
from dispatch import leases, spines
from dispatch.arguments import Arguments
from dispatch.attempts import began, delivery
from dispatch.desk import Desk
from dispatch.faults import FAILED, OK, OVERLOAD, Fault
from dispatch.ledger import DONE
from dispatch.patience import Timings
from dispatch.recover import recover as begin_again
from dispatch.verbs.run import Stopped
from dispatch.watch import Unfinished, Watcher
from dispatch.watchers import HOUR_MS


def watch(desk: Desk, arguments: Arguments) -> int:
    """Wait for the end of a label's run and print what is to be delivered."""
    label = arguments.label()
    timings = Timings(poll=float(arguments.whole("poll-interval", 20, 1, 3600)))
    part = arguments.whole("part", 1, 1, 1_000_000)
    seconds = float(arguments.whole("slice", 0, 1, 86_400)) if arguments.given("slice") else None

    key, entry = arguments.text("key"), desk.ledger.entry(label) or {}
    if key is not None and entry.get("dispatchKey") != key:
        desk.note(f"{label}: was dispatched anew; its own watcher delivers")
        return OK

    if seconds is not None and entry and not entry.get("dispatchKey"):
        raise Fault(
            f"--slice: {label!r} was not dispatched from here, so that no next job can go on; watch it without --slice",
            "foreign_label",
        )

    def leave() -> None:
        raise Stopped

    on_sigterm(leave)
    watcher = Watcher(desk, label, leases.new_owner(), timings=timings, slice_seconds=seconds)
    try:
        ending = watcher.watch()
    except leases.Superseded:
        desk.note(f"{label}: was dispatched anew, or is watched elsewhere; nothing is delivered here")
        return OK
    except Unfinished as e:
        return _hand_over(desk, label, part, e.seconds)
    except Stopped:
        desk.note(f"{label}: stopped watching; nothing was changed, the next watcher goes on")
        return OVERLOAD  # its job is tried again, wherever the signal came from
    desk.say(delivery(desk.config.name, label, ending))
    return OK if ending.status == DONE else FAILED


def _hand_over(desk: Desk, label: str, part: int, seconds: float) -> int:
    """Submit the next part of the watch. This job ends only after that, so that a kill between loses nothing."""
    entry = desk.ledger.entry(label) or {}
    lacks = spines.lacking(desk)
    if lacks is not None:
        raise Fault(f"--slice: {lacks}", "no_spine")
    hours = desk.config.watcher_hours
    if desk.now() - began(entry) > hours * HOUR_MS:
        desk.say(f"[{desk.config.name}] {label}: was watched for {hours} hours, and is watched no longer")
        return FAILED
    try:
        spines.keep_watcher(desk, label, entry, part + 1, seconds)
    except SpineError as e:
        desk.note(f"{label}: the spine did not take the next part: {e.detail}")
        return OVERLOAD  # none of the job's permanent exits: it is tried again
    return OK


def recover(desk: Desk, arguments: Arguments) -> int:
    """Begin again what an overload ended or a restart of the gateway lost; prints only what it did."""
    said = begin_again(desk)
    if said:
        desk.say("\n".join(said))
    return OK
