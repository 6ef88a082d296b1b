"""The executor of a text spec by any agent's command line, after the template in CLAW_AGENT_COMMAND."""

from claw.executors.base import Place, Refused

WORD_MOST_BYTES = 120 * 1024
"""One argument of a program may have 128 KiB on Linux."""


def command(template: tuple[str, ...], place: Place) -> list[str]:
    """Return the argument list with {spec}, {spec_file} and {workspace} filled in; other braces stay as they are.

    Raises:
        Refused: no command is set, or the text is too long to be an argument.
    """
    if not template:
        raise Refused(
            "spec is a text, which needs an agent: set CLAW_AGENT_COMMAND on this claw, such as "
            "'my-agent --task {spec_file}', or install spine-dispatch and give it an OpenClaw gateway's token "
            "(OPENCLAW_GATEWAY_TOKEN); or submit an object with run or phases"
        )
    values = {"{spec_file}": str(place.spec_file), "{workspace}": str(place.workspace)}
    words = [_fill(word, values) for word in template]
    if any("{spec}" in word for word in template):
        text = place.spec_file.read_text(encoding="utf-8")
        words = [word.replace("{spec}", text) for word in words]  # last: what stands in the text is not filled in
        if any(len(word.encode()) > WORD_MOST_BYTES for word in words):
            raise Refused("spec: too long for {spec} in CLAW_AGENT_COMMAND of this claw; it needs {spec_file} there")
    return words


def _fill(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
