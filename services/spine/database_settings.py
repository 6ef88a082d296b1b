"""Where the store is when it is no file: read by `spine serve` and by the commands that work on a store."""

import os
from importlib.util import find_spec

from contract.env import EnvReader, Secret, SettingsError

_SCHEMES = ("postgresql://", "postgres://")
_FORM = "write postgresql://user:password@host:port/name"
MISSING = "psycopg is not installed; pip install 'spinal-cord[postgres]'"


def read(env: EnvReader) -> Secret | None:
    """Return the address of the store's database, None where the store is a file.

    What cannot be used is noted as a fault, without a word of the address.
    """
    url = env.secret("SPINE_DATABASE_URL")
    if url is not None and not url.startswith(_SCHEMES):
        env.faults.append(f"SPINE_DATABASE_URL: no address; {_FORM}")
    if url is not None and find_spec("psycopg") is None:
        env.faults.append(f"SPINE_DATABASE_URL: {MISSING}")
    return url


def url() -> Secret | None:
    """Return the same from this process's environment: all that a command needs which works on a store.

    Raises:
        SettingsError
    """
    env = EnvReader(os.environ)
    found = read(env)
    env.finish()
    return found


def target(to: str | None) -> str:
    """Return the database that a store is to be moved to: the one that a person names, or the one of the settings.

    Raises:
        SettingsError: there is none, there are two, or a password stands where others can read it.
    """
    own = url()
    if to is None:
        if own is None:
            raise SettingsError(["--to: missing; name the database, or set SPINE_DATABASE_URL_FILE"])
        return own
    if not to.startswith(_SCHEMES):
        raise SettingsError(["--to: no address; write postgresql://user@host:port/name"])
    if find_spec("psycopg") is None:
        raise SettingsError([f"--to: {MISSING}"])
    from spine.store import visit  # an extra brings what it needs

    if visit.has_password(to):
        raise SettingsError(
            [
                "--to: leave the password out, every user of this machine can read it there; put it into PGPASSFILE, "
                "or the whole address into a file that SPINE_DATABASE_URL_FILE names"
            ]
        )
    if own is None:
        return to
    if visit.address(own) != visit.address(to):
        raise SettingsError(["--to: is another database than that of SPINE_DATABASE_URL; give one of the two"])
    return own


def kill_point() -> tuple[str | None, str | None]:
    """Return the point at which a test freezes a command, and the file that tells of it."""
    env = EnvReader(os.environ)
    return env.optional("SPINE_KILL_POINT"), env.optional("SPINE_KILL_POINT_FILE")
