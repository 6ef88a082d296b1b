"""Templates to bytes. Every text is escaped; what is not is marked in the template."""

from functools import cache
from typing import Any, NamedTuple

import jinja2

from contract.clock import iso
from contract.states import Status
from contract.told import span
from spine.queue.access import Principal
from spine.web import words

# A badge for each status of the transition table, and what people call it.
LEGEND = {
    Status.QUEUED: "ready, no claw has taken it yet",
    Status.RUNNING: "a claw holds its lease",
    Status.WAITING: "for a time, another job or a person",
    Status.DONE: "ended well",
    Status.FAILED: "ended, and asks for no other attempt",
    Status.DEAD: "ended, with no attempt left",
    Status.CANCELLED: "somebody called it off",
}


class Page(NamedTuple):
    """What every page knows. `now` in ms; `cursor` behind which a browser listens for events; no principal: nobody."""

    nav: str = ""
    principal: Principal | None = None
    now: int = 0
    cursor: str = ""
    base: str = ""
    path: str = ""
    version: str = ""

    @property
    def may(self) -> bool:
        """Whether who looks may change things."""
        return self.principal is not None and self.principal.is_head


def render(template: str, page: Page, values: dict[str, Any]) -> bytes:
    """Return a page."""
    return _environment().get_template(template).render(page=page, **values).encode()


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("spine.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"iso": iso, "line": words.line, "text": words.text, "number": words.number, "size": words.size}
    found.filters |= {"span": span, "link": words.link, "pretty": words.pretty}
    found.globals |= {"legend": {status.value: told for status, told in LEGEND.items()}}
    return found
