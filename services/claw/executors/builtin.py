"""The executor of `builtin`: small jobs that the claw does itself, without starting a program."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from claw import capabilities, exits
from claw.executors.base import Place
from claw.process.run import Ended
from claw.settings import Settings
from claw.spec import BUILTINS
from contract.durable import write_durably


def _ping(settings: Settings) -> dict[str, Any]:
    return {"notes": "pong", "facts": capabilities.facts(settings)}


def _capabilities(settings: Settings) -> dict[str, Any]:
    found = capabilities.find(settings)
    return {"notes": ", ".join(found), "capabilities": found, "facts": capabilities.facts(settings)}


_DO: dict[str, Callable[[Settings], dict[str, Any]]] = dict(zip(BUILTINS, (_capabilities, _ping), strict=True))


def run(name: str, place: Place, settings: Settings) -> Ended:
    """Do one of BUILTINS; its result goes where a command's would go: into the result file."""
    begun = time.monotonic()
    write_durably(place.result_file, msgspec.json.encode(_DO[name](settings)))
    return Ended(exits.CHILD_OK, timed_out=False, stopped=False, seconds=time.monotonic() - begun)
