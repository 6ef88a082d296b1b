"""The command `spine-dispatch`: its subcommands, its help, and how a failure is told."""

import os
import signal
import sys
from collections.abc import Sequence

from contract import __version__, killpoints
from contract.env import SettingsError
from dispatch import config, settings
from dispatch.arguments import Arguments
from dispatch.desk import Desk
from dispatch.faults import EXITS, FAILED, OK, USAGE, Fault, Usage
from dispatch.gateway.errors import GatewayError
from dispatch.table import VERBS, Verb

_ASKED = "_SPINE_DISPATCH_COMPLETE"
"""The variable by which a shell asks for completions."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    try:
        code = call(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has gone. The signal stays ignored: a gateway's connection that breaks would end us by it too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def call(argv: Sequence[str]) -> int:
    """Carry out one subcommand and return the exit code."""
    words = list(argv)
    if words and words[0] in ("-h", "--help", "help"):
        print(usage())
        return OK
    if words and words[0] == "--version":
        print(f"spine-dispatch, version {__version__}")
        return OK
    if words[:1] == ["completion"] or _ASKED in os.environ:
        from dispatch import completing  # only a shell needs it: others start sooner without

        completing.answer(words)
    verb = VERBS.get(words[0]) if words else None
    if verb is None:
        told = f"{words[0]!r} is no subcommand" if words else "a subcommand is needed"
        print(f"[{config.NAME}] {told}\n{usage()}", file=sys.stderr)
        return USAGE
    if "--help" in words[1:] or "-h" in words[1:]:
        print(usage_of(verb))
        return OK
    return _carry_out(verb, words[1:])


def _carry_out(verb: Verb, words: list[str]) -> int:
    try:
        found = settings.from_env()
    except SettingsError as e:
        for fault in e.faults:
            print(f"[{config.NAME}] {fault}", file=sys.stderr)
        return FAILED
    killpoints.arm(found.kill_point, found.kill_point_file)
    with Desk(found, config.load(found.config_folders)) as desk:
        try:
            return verb.run(desk, Arguments(words))
        except Usage as e:
            desk.note(e.text)
            desk.note(f"see spine-dispatch {verb.name} --help")
            return e.exit_code
        except Fault as e:
            desk.note(e.text)
            desk.answer(ok=False, error=e.text, code=e.code)
            return e.exit_code
        except GatewayError as e:
            desk.note(e.text)
            desk.answer(ok=False, error=e.text, code=e.code)
            return FAILED
        except SettingsError as e:
            text = "; ".join(e.faults)
            desk.note(text)
            desk.answer(ok=False, error=text, code="settings")
            return FAILED
        except KeyboardInterrupt:
            return FAILED


def usage() -> str:
    """Return the help of the whole command."""
    rows = "\n".join(f"  {verb.name:<18} {verb.summary}" for verb in VERBS.values())
    exits = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXITS)
    return (
        "Usage: spine-dispatch SUBCOMMAND [--flag value | --flag=value | --flag]...\n\n"
        "Start and steer agent sessions on an OpenClaw gateway, by label.\n\n"
        f"Subcommands:\n{rows}\n\nExit codes:\n{exits}"
    )


def usage_of(verb: Verb) -> str:
    """Return the help of one subcommand."""
    rows = "\n".join(f"  {f'--{flag.name} {flag.value}'.strip():<28} {flag.meaning}" for flag in verb.flags)
    return f"Usage: spine-dispatch {verb.name} [FLAGS]\n\n{verb.summary}\n\nFlags:\n{rows}"


if __name__ == "__main__":
    main()
