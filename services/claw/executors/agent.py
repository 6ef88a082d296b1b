"""The executor of a text spec: any agent's command line, by the template in CLAW_AGENT_COMMAND."""

from claw.executors.base import Place, Refused


def command(template: tuple[str, ...], place: Place) -> list[str]:
    """Return the argument list with {spec_file} and {workspace} filled in; other braces stay as they are.

    Raises:
        Refused: no command is set.
    """
    if not template:
        raise Refused(
            "spec is a text, which needs an agent: set CLAW_AGENT_COMMAND on this claw, such as "
            "'my-agent --task {spec_file}', or submit an object with run or phases"
        )
    values = {"{spec_file}": str(place.spec_file), "{workspace}": str(place.workspace)}
    return [_fill(word, values) for word in template]


def _fill(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
