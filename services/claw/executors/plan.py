"""The executor of `plan`: someone thinks, nothing is changed, and a person's review decides about what follows.

The result is `{plan, next}`: the plan's text, and the spec of the job that carries it out once the review has accepted
it. Submitting that job is the head's business.
"""

from typing import Any

from claw.outcome import BadResult
from claw.spec import BadSpec, Planned, parse

TEXT_MOST_CHARS = 32_000
"""A variable of the environment holds 128 KiB at most; a character takes up to four bytes."""

_PROMPT = """\
Make a plan for the task below. Change nothing, run nothing that has effects, push nothing: a person reads your plan
first, and the task is carried out only when it has been accepted. Say what you would do, step by step, what you would
touch, how one can tell that it is done, and what could go wrong. Your answer is the plan.

The task:

"""


def prompt(task: str) -> str:
    """Return what an agent is given."""
    return _PROMPT + task


def result(planned: Planned, said: dict[str, Any], output: str) -> dict[str, Any]:
    """Return the result of a planning: what the result file says, else what was printed.

    Raises:
        BadResult: there is no plan, or what is to follow it cannot be run.
    """
    text = said.get("plan", output.strip())
    if not isinstance(text, str) or not text.strip():
        raise BadResult("there is no plan: print it, or write it as `plan` into the result file (SPINE_RESULT_FILE)")
    if len(text) > TEXT_MOST_CHARS:
        raise BadResult(f"the plan has more than {TEXT_MOST_CHARS} characters; make it shorter")
    following = said["next"] if "next" in said else _next(planned, text)
    if following is None:
        return {**said, "plan": text}
    try:
        parse(following)
    except BadSpec as e:
        raise BadResult(f"what is to follow the plan cannot be run: next.{e}") from e
    return {**said, "plan": text, "next": following}


def _next(planned: Planned, text: str) -> Any:
    """Return the spec that follows: `then`, else the task itself; either of them with the plan in it."""
    then = planned.task if planned.then is None else planned.then
    if isinstance(then, str):
        return f"{then}\n\nCarry out this plan, which has been accepted:\n\n{text}"
    if isinstance(then, dict) and isinstance(then.get("env", {}), dict):
        return {**then, "env": {"PLAN": text, **then.get("env", {})}}
    return then
