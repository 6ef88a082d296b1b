"""Documents for whoever asks: /openapi.json, /llms.txt, and /skill.md with a part of its own for the token that asks.

That part holds only what the server itself knows: names of claws, limits, ids and fences. Nothing that a job, a comment
or a machine says stands in it, and no token. The built-in document takes it in front of its first section; a document
of SPINE_SKILL_MD_PATH, whose form is not known, gets it at its end.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

from falcon.asgi import Request, Response

from contract import __version__
from contract.errors import Unauthorized
from contract.states import UNFINISHED, Status
from contract.wire import ANY_TARGET, CLAIM_MOST, CLAIM_WAIT_MOST
from spine.api import openapi
from spine.api.calls import MARKDOWN, TEXT
from spine.api.core import Core
from spine.api.routes import ROUTES
from spine.queue.access import Principal, Role
from spine.settings import Settings
from spine.store import listing, machines
from spine.store.engine import Tx
from spine.store.listing import Filter

HELD_MOST = 100
BEAT_SECONDS = 10
_MIB = 1024 * 1024
_FIRST_SECTION = re.compile(r"^## ", re.MULTILINE)
_MAIN = ("submitJob", "listJobs", "readJob", "claimNextJobs", "heartbeat", "completeJob", "failJob", "releaseJob")
_ASIDE = ("health", "ready", "metrics", "readEvents", "listMachines")


class Held(NamedTuple):
    """A job that the asking claw holds."""

    job_id: str
    fence: int
    attempt: int
    max_attempts: int


class Standing(NamedTuple):
    """What the store knows of who asks. `open_jobs` by status and `fleet` by state are for those who see all."""

    principal: Principal
    state: str = "active"
    paused: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    open_jobs: tuple[tuple[str, int], ...] = ()
    fleet: tuple[tuple[str, int], ...] = ()


class Documents:
    """The three documents."""

    def __init__(self, core: Core) -> None:
        self._core = core
        path = core.settings.skill_md_path
        self._skill = path.read_text(encoding="utf-8") if path else built_in_skill()
        self._openapi, self._llms = "", llms_text()

    async def on_get_openapi(self, req: Request, resp: Response) -> None:
        """GET /openapi.json. Made when it is first asked for: it takes longer than all else that is made."""
        if not self._openapi:
            self._openapi = await asyncio.to_thread(openapi.text)
        _answer(req, resp, self._openapi, "application/json")

    async def on_get_llms(self, req: Request, resp: Response) -> None:
        """GET /llms.txt."""
        _answer(req, resp, self._llms, TEXT)

    async def on_get_skill(self, req: Request, resp: Response) -> None:
        """GET /skill.md: as it is without a token, with a part for the caller when there is one."""
        text = self._skill
        resp.set_header("Vary", "Authorization")
        if req.get_header("Authorization") is not None:
            text = await self._with_part(req, text)
            resp.set_header("Cache-Control", "private, no-cache")
        _answer(req, resp, text, MARKDOWN)

    async def _with_part(self, req: Request, text: str) -> str:
        """Add the caller's part. Who has a token that is not known is anyone (contract: native dialect, Routes)."""
        core = self._core
        try:
            principal = core.auth.reader(req).principal
        except Unauthorized:
            return text
        standing = await core.read(lambda tx: look(tx, principal))
        return joined(text, part(core.settings, standing), at_end=core.settings.skill_md_path is not None)


def _answer(req: Request, resp: Response, text: str, media: str) -> None:
    data = text.encode()
    tag = hashlib.sha256(data).hexdigest()[:16]
    resp.etag = tag
    if req.if_none_match and any(known in ("*", tag) for known in req.if_none_match):
        resp.status = 304
        return
    resp.content_type = media
    resp.data = data


def built_in_skill() -> str:
    """Return the skill document that ships with the server."""
    return (resources.files("spine.api") / "skill.md").read_text(encoding="utf-8")


# --- /llms.txt -------------------------------------------------------------------------------------------------------


def llms_text() -> str:
    """Return what there is to read here, in the manner of llms.txt."""
    return f"""# Spinal Cord

> A job queue for a fleet of agent machines. A head submits jobs, claws on other machines take them under a lease and
> report structured results, and the spine, which is this server, keeps every job, event, log and file.

Version {__version__}. HTTP with JSON; all but the documents and the probes asks for `Authorization: Bearer <token>`.
Errors are problem documents with a code in `error` and the fix in `detail`.

## Documents

- [Skill](/skill.md): how to submit, claim and report with curl. With a token, also what it may do and holds.
- [OpenAPI 3.1](/openapi.json): every route, what goes in, what comes out, and every error.

## Main routes

{_linked(_MAIN)}

## Optional

{_linked(_ASIDE)}
"""


def _linked(names: Iterable[str]) -> str:
    lines = {}
    for route in ROUTES:
        for call in route.calls:
            pointer = openapi.path_of(route, call).replace("~", "~0").replace("/", "~1")
            place = f"/openapi.json#/paths/{pointer}/{call.method.lower()}"
            lines[call.name] = f"- [{call.method} {route.path}]({place}): {call.text}"
    return "\n".join(lines[name] for name in names)


# --- the part for a token --------------------------------------------------------------------------------------------


def look(tx: Tx, principal: Principal) -> Standing:
    """Read what there is to tell to a caller."""
    if principal.is_claw:
        machine = machines.find(tx, principal.name)
        running = listing.matching(tx, Filter((Status.RUNNING.value,), machine=principal.name), None, 0, HELD_MOST)
        return Standing(
            principal,
            "active" if machine is None else machine.state,
            tuple(sorted(machines.paused_targets(tx) & {principal.name, ANY_TARGET})),
            tuple(Held(job.id, job.fence, job.attempts, job.max_attempts) for job in running),
        )
    waiting = [status.value for status in Status if status in UNFINISHED]
    states = ["revoked" if row.revoked_at is not None else row.state for row in machines.all_of(tx)]
    return Standing(
        principal,
        paused=tuple(sorted(machines.paused_targets(tx))),
        open_jobs=tuple((status, listing.count(tx, Filter((status,)))) for status in waiting),
        fleet=tuple((state, states.count(state)) for state in sorted(set(states))),
    )


def joined(text: str, addition: str, at_end: bool) -> str:
    """Put the part for a token into a document: in front of its first section, or at its end."""
    first = None if at_end else _FIRST_SECTION.search(text)
    if first is None:
        return f"{text.rstrip()}\n\n{addition}"
    return f"{text[: first.start()]}{addition}\n{text[first.start() :]}"


def part(settings: Settings, standing: Standing) -> str:
    """Write the part for a token."""
    principal = standing.principal
    told = _claw(settings, standing) if principal.is_claw else _overseer(standing)
    return "\n\n".join(["## For the token that asked", *told, _verbs(principal), _limits(settings)]) + "\n"


def _claw(settings: Settings, standing: Standing) -> list[str]:
    name = standing.principal.name
    told = [
        f"You are the claw `{name}`. You see and take jobs whose target is `{name}` or `{ANY_TARGET}`.",
        f"A lease lasts {_seconds(settings.lease_seconds)}. After `POST /jobs/claim` it lasts"
        f" {_seconds(min(settings.accept_lease_seconds, settings.lease_seconds))} until the first heartbeat or log."
        f" Send a heartbeat every {_seconds(beat_seconds(settings.lease_seconds))}.",
    ]
    if standing.state != "active":
        told.append(f"This machine is {standing.state}: finish what it holds; it is given nothing new.")
    told += [f"The target `{target}` is paused: its jobs stay queued." for target in standing.paused]
    if not standing.held:
        return [*told, "You hold no job now."]
    rows = [f"| `{job.job_id}` | {job.fence} | {job.attempt} of {job.max_attempts} |" for job in standing.held]
    return [*told, "You hold now:", "\n".join(["| job | fence | attempt |", "|---|---|---|", *rows])]


_ABOUT_ROLES: dict[Role, str] = {
    "head": "You are a **head**. You submit jobs, see all of them, decide on them, and look after the machines.",
    "viewer": "You are a **viewer**. You see everything and change nothing: every call that changes is refused.",
    "chat": "You are a **chat front**. You speak for people: you submit jobs one by one, see all of them, comment and "
    "decide on them, and nothing else.",
}


def _overseer(standing: Standing) -> list[str]:
    told = [_ABOUT_ROLES[standing.principal.role]]
    jobs = ", ".join(f"{count} {status}" for status, count in standing.open_jobs)
    told.append(f"Jobs that have not ended: {jobs}.")
    fleet = ", ".join(f"{count} {state}" for state, count in standing.fleet)
    told.append(f"Machines that have been heard of: {fleet or 'none'}.")
    if standing.paused:
        told.append("Paused targets: " + ", ".join(f"`{target}`" for target in standing.paused) + ".")
    return told


def _verbs(principal: Principal) -> str:
    rows = [
        f"| `{call.method} {openapi.path_of(route, call)}` | {call.text} |"
        for route in ROUTES
        for call in route.calls
        if principal.role in call.roles
    ]
    return "\n".join(["| you may call | |", "|---|---|", *rows])


def _limits(settings: Settings) -> str:
    rows = [
        ("body of a call, in JSON", _bytes(settings.body_max_bytes)),
        ("spec, meta, result, progress, error", f"{_bytes(settings.field_max_bytes)} each"),
        ("comment", _bytes(settings.comment_max_bytes)),
        ("upload", _bytes(settings.blob_max_bytes)),
        ("log of one attempt", _bytes(settings.log_max_bytes)),
        ("jobs in one claim", str(CLAIM_MOST)),
        ("wait of one claim", _seconds(CLAIM_WAIT_MOST)),
    ]
    return "\n".join(["| at most | |", "|---|---|", *(f"| {what} | {most} |" for what, most in rows)])


def beat_seconds(lease_seconds: int) -> int:
    """Return how often a heartbeat is due: three may be lost before a lease ends."""
    return max(1, min(BEAT_SECONDS, lease_seconds // 4))


def _seconds(count: int) -> str:
    return f"{count} s"


def _bytes(count: int) -> str:
    for size, unit in ((_MIB, "MiB"), (1024, "KiB")):
        if count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"
