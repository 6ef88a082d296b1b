"""`enqueue`: start an agent's session, or go on in one."""

from typing import Any, get_args

from contract.errors import SpineError
from contract.wire import DeliveryMode
from dispatch import prompting, spines, starting, watchers
from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.faults import OK, Usage
from dispatch.ledger import OPEN, Entry
from dispatch.verbs import sessions

CHANNEL = "telegram"
WATCHER_UNWANTED = "--delivery-mode none: nothing is delivered, so that nobody watches"


def enqueue(desk: Desk, arguments: Arguments) -> int:
    """Keep the prompt, give it to the gateway, and say that it was accepted, which it then was."""
    label, task = arguments.label(), sessions.message(arguments)
    before = desk.ledger.entry(label)
    key, mode = sessions.session(arguments, before, sessions.agent_of(arguments), strict=True)
    agent = sessions.agent_of(arguments, key)
    timeout = arguments.whole("timeout", starting.TIMEOUT_SECONDS, 1, 2_592_000)
    fields = _fields(desk, arguments)
    verify = sessions.verifying(arguments)
    fields |= {"sessionKey": key, "mode": mode, "agent": agent, "timeoutSeconds": timeout, "timeout": timeout}
    if not arguments.given("timeout"):
        desk.note(f"--timeout is not given: the run ends after {timeout} s, however far it is")
    if before is not None and before.get("status") in OPEN:
        desk.note(f"{label}: was under way in {before.get('sessionKey')}; that session is nobody's now")
    lacks = spines.lacking(desk)
    fields["gatewayDelivers"] = lacks is not None and bool(fields["deliverTo"]) and fields["deliveryMode"] != "none"
    fields["watcherOwed"] = watchers.owed(desk, fields)
    prompt = prompting.prompt(
        task, label, desk.keeping(label), desk.config.agent_name(agent), bool(fields["deliverTo"])
    )
    accepted = sessions.begin(desk, label, fields, task, prompt, verify)
    entry = desk.ledger.entry(label) or {}
    job_id, lacks = _watcher(desk, label, entry) if fields["watcherOwed"] else (None, lacks)
    desk.answer(
        ok=True,
        label=label,
        sessionKey=entry.get("sessionKey"),
        runId=accepted.run_id,
        mode=mode,
        agent=agent,
        status="accepted",
        delivery=_delivery(entry, job_id, lacks),
        watchdog=_watchdog(desk, arguments, entry, job_id, lacks),
        message=f"accepted; spine-dispatch status --label {label} says how it goes",
    )
    return OK


def _fields(desk: Desk, arguments: Arguments) -> Entry:
    origin = arguments.text("origin")
    channel, colon, target = (origin or "").partition(":")
    if origin is not None and not (channel and colon and target):
        raise Usage("--origin: give CHANNEL:ID, such as telegram:12345")
    to = arguments.text("deliver-to") or target or desk.config.deliver_to
    why = None
    if arguments.has("no-monitor"):
        try:
            why = arguments.text("no-monitor")
        except Usage:
            why = "no reason given"
    given = arguments.whole("monitor-timeout", 0, 1, 100_000) if arguments.given("monitor-timeout") else None
    return {
        "model": arguments.text("model"),
        "thinking": arguments.text("thinking"),
        "origin": origin,
        "deliverTo": to,
        "deliverChannel": arguments.text("deliver-channel") or channel or desk.config.delivery_channel or CHANNEL,
        "deliveryMode": arguments.choice("delivery-mode", "announce", get_args(DeliveryMode)),
        "noMonitorReason": why,
        "monitorInterval": arguments.cron("monitor-interval", desk.config.watchdog_interval_cron),
        "monitorTimeoutMin": given,
        "repository": arguments.text("repo"),
    }


def _watcher(desk: Desk, label: str, entry: Entry) -> tuple[str | None, str | None]:
    """Submit the watcher's job; what is wrong with the spine is told, and the session goes on all the same."""
    try:
        job_id = watchers.file(desk, label, entry)
    except SpineError as e:
        lacks = f"the spine did not take the watcher: {e.detail}; recover, stuck, sync and enqueue file it when it does"
        desk.note(f"{label}: {lacks}")
        return None, lacks
    for line in watchers.file_owed(desk):
        desk.note(line)
    return job_id, None


def _delivery(entry: Entry, job_id: str | None, lacks: str | None) -> dict[str, Any] | None:
    target = entry.get("deliverTo")
    if not target and job_id is None and lacks is None:
        return None
    return {
        "scheduler": job_id,
        "gateway": bool(entry.get("gatewayDelivers")),
        "target": target,
        "channel": entry.get("deliverChannel") if target else None,
        **({"lacks": lacks} if lacks else {}),
        **({} if target else {"note": "--deliver-to is not given: ask for the answer by spine-dispatch result"}),
    }


def _watchdog(desk: Desk, arguments: Arguments, entry: Entry, job_id: str | None, lacks: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "enabled": job_id is not None,
        "jobId": job_id,
        "interval": entry.get("monitorInterval"),
        "timeout": entry.get("monitorTimeoutMin") or desk.config.watchdog_timeout_min,
    }
    if job_id is None:
        reason = entry.get("noMonitorReason") if arguments.has("no-monitor") else lacks or WATCHER_UNWANTED
        found |= {"skipped": True, "reason": reason}
    elif desk.settings.jobs_post_nothing is not None:
        found["lacks"] = desk.settings.jobs_post_nothing
    return found
