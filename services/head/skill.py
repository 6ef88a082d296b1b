"""`spine-head skill`: the spine's skill document in an agent's folder of skills."""

from pathlib import Path

import click

from contract.durable import write_durably
from contract.env import SettingsError
from head import settings
from head.desk import Desk, as_json, pass_desk
from head.words import Line

_NAME = "spinal-cord"


@click.command()
@click.argument("verb", metavar="VERB", type=click.Choice(["install", "refresh"]))
@click.option("--folder", metavar="PATH", help="Another folder of skills.  [default: HEAD_SKILLS_DIR]")
@as_json
@pass_desk
def skill(desk: Desk, verb: str, folder: str | None, json: bool) -> None:
    """Write the spine's skill into an agent's skills; refresh only when the spine has another one.

    The file is FOLDER/spinal-cord/SKILL.md. Restart or reload the agent when it has changed.
    """
    room = (Path(folder) if folder else settings.from_env().skills_dir) / _NAME
    path, tag = room / "SKILL.md", room / ".etag"
    try:
        etag = tag.read_text("utf-8").strip() if verb == "refresh" and path.exists() and tag.exists() else None
        found = desk.client().skill_unless(etag)
        if found is not None:
            room.mkdir(parents=True, exist_ok=True)
            tag.unlink(missing_ok=True)  # never the new tag beside the old text
            write_durably(path, found.text.encode(), 0o644)
            if found.etag:
                write_durably(tag, found.etag.encode(), 0o644)
    except (OSError, UnicodeDecodeError) as e:
        raise SettingsError([f"{path}: {getattr(e, 'strerror', None) or e}"]) from e
    if json:
        desk.screen.json({"path": str(path), "changed": found is not None})
    else:
        desk.screen.say(Line(f"{'wrote' if found else 'unchanged:'} {path}"))
