"""Every text that the front says in words of its own. Those of the broker's bot are as there, word for word."""

JOB_PREFIX = "Job created: "
PLAN_PREFIX = "Plan job: "
APPROVAL_PREFIX = "Approval job: "
COOLDOWN = "Please wait a few seconds between commands."
NO_RESULT = "(no result)"

USAGE = {
    "ping": "ping <text>",
    "capabilities": "capabilities",
    "plan": "plan <text>",
    "approve": "approve <plan_id>",
    "status": "status <job_id>",
    "submit": "submit <task>",
    "jobs": "jobs [mine|<status>]",
    "why": "why <job_id>",
    "cancel": "cancel <job_id> [reason]",
    "reject": "reject <job_id> [reason]",
    "review": "review accept <job_id>` or `review rework <job_id> <text>",
    "comment": "comment <job_id> <text>",
    "help": "help",
}
"""How each command is written; the order is that of the help."""

_MEANT = {
    "ping": "ask a claw for a sign of life",
    "capabilities": "ask a claw what it can do",
    "plan": "have a plan made",
    "approve": "approve a plan, or a job that waits for approval",
    "status": "how a job stands, and its result",
    "submit": "give the fleet a task (`submit @<target> <task>` for one machine)",
    "jobs": "what waits and runs, or your own jobs",
    "why": "why a job does not run",
    "cancel": "end a job",
    "reject": "refuse a job that waits for approval",
    "review": "accept a result, or send it back",
    "comment": "tell whoever works on a job something",
    "help": "this list",
}


def created(prefix: str, job_id: str) -> str:
    """Say that a job is there, and that its result will follow."""
    return f"{prefix}`{job_id}`. Waiting for result…"


def still_running(job_id: str) -> str:
    """Say that it takes longer."""
    return f"Still running. Job ID: {job_id} (try: status {job_id})"


def at_the_cap(most: int) -> str:
    """Refuse one job more."""
    return f"You have the maximum number of jobs in progress ({most}). Wait for one to finish or use `status <id>`."


def usage(command: str) -> str:
    """Say how a command is written."""
    return f"Usage: `{USAGE[command]}`"


def unknown_command() -> str:
    """Say which commands there are."""
    return "Unknown command. Use: " + ", ".join(f"`{written}`" for written in USAGE.values()) + "."


def help_text() -> str:
    """Say what each command does."""
    return "\n".join(f"`{USAGE[name]}` — {_MEANT[name]}" for name in USAGE)


def no_such_job(job_id: str) -> str:
    """Say that nobody knows the job."""
    return f"There is no job `{job_id}`."


SPINE_AWAY = "The spine does not answer. Nothing was changed; try again in a moment."
SPINE_UNSURE = "The spine did not answer in time. Whether the job was created is not known: look with `jobs mine`."
SPINE_BUSY = "The spine is busy. Nothing was changed; try again in a moment."
NOT_ALLOWED = "The spine does not let the chat front do this."
CANNOT_KEEP = "The chat front cannot write to its disk. Nothing was changed; its log says why."
NOT_CREATED = "The chat front was stopped before the job was created. Send it again."
TOO_LONG = "This is too long for a job. Put it where the claws can read it, and say where."
NOT_AWAITING = "It does not wait for this decision, or somebody was faster."
NOTHING_TO_APPROVE = "It is no plan, and does not wait for approval."
ENDED_ALREADY = "The job has ended already."
REWORK_TEXT = "Say what is to be done differently: `review rework <job_id> <text>`"
NO_JOBS = "No jobs."
BUTTONS = {
    "accept": ("Accept", "good"),
    "rework": ("Rework", "plain"),
    "approve": ("Approve", "good"),
    "reject": ("Reject", "bad"),
    "cancel": ("Cancel", "bad"),
}
"""Label and style of each button."""
REWORK_TITLE = "Send it back"
REWORK_LABEL = "What is to be done differently?"


def no_such_part(job_id: str, parts: int) -> str:
    """Say how far a result goes."""
    return f"What job `{job_id}` has to say has {parts} part{'' if parts == 1 else 's'}: `status {job_id} {parts}`"


def refused(detail: str) -> str:
    """Pass on why the spine does not take it."""
    return f"The spine does not take it: {detail}"


def bad_spec(why: str) -> str:
    """Refuse a spec that is not JSON."""
    return f"What begins with a brace is read as a spec in JSON, and this is none: {why}"


def newer_result(job_id: str) -> str:
    """Refuse a decision about a result that is not the newest."""
    return f"A newer result has come since. Look at it first: `status {job_id}`"


def approved(job_id: str) -> str:
    """Say that a job may run."""
    return f"Approved: job `{job_id}`."


def rejected(job_id: str) -> str:
    """Say that it will not."""
    return f"Rejected: job `{job_id}`."


def accepted(job_id: str) -> str:
    """Say that a result is taken."""
    return f"Accepted: job `{job_id}`."


def sent_back(job_id: str) -> str:
    """Say that there will be another round."""
    return f"Sent back: job `{job_id}`."


def cancelled(job_id: str) -> str:
    """Say that it has ended."""
    return f"Cancelled: job `{job_id}`."


def was_cancelled(job_id: str) -> str:
    """Say what came of a job that nobody wants any more."""
    return f"Job `{job_id}` was cancelled."


def commented(job_id: str) -> str:
    """Say that the comment is kept."""
    return f"Comment added to job `{job_id}`."


def approved_before(plan_id: str, job_id: str) -> str:
    """Say that a plan is approved once."""
    return f"Plan `{plan_id}` was approved already, by job `{job_id}`."
