"""The command `spine-head`: the group, its help and its exit codes."""

import click

from contract import __version__
from contract.completion import completion
from head import (
    bulk,
    enqueue,
    exits,
    fleet,
    groups,
    looping,
    messages,
    notices,
    opening,
    read,
    schedules,
    skill,
    steer,
    streams,
    submit,
    watching,
)
from head.desk import Desk, Head

_EXITS = "\n".join(f"{code:>5}  {meaning}" for code, meaning in exits.EXITS)


@click.group(
    cls=Head,
    epilog=f"\b\nExit codes:\n{_EXITS}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="spine-head")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Submit jobs to a spine, watch them, read what came of them.

    SPINE_BASE_URL says where the spine is; SPINE_TOKEN or SPINE_TOKEN_FILE holds a head's token. Output is made for
    people; --json makes it for programs.
    """
    ctx.obj = Desk()


for _command in (
    submit.submit,
    enqueue.shell,
    enqueue.automaton,
    read.listing,
    read.show,
    watching.watch,
    streams.logs,
    read.comment,
    opening.opening,
    streams.events,
    steer.approve,
    steer.reject,
    steer.review,
    steer.cancel,
    steer.retry,
    steer.adopt,
    steer.why,
    bulk.bulk,
    messages.messages,
    groups.groups,
    fleet.machines,
    fleet.machine,
    fleet.join_code,
    fleet.targets,
    notices.notices,
    schedules.schedules,
    looping.loop,
    skill.skill,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """Entry point."""
    cli(prog_name="spine-head")


if __name__ == "__main__":
    main()
