"""What belongs to a label and not into the ledger, each a private file: the full prompt, its token, what verifies it.

The folder is named by the label's digest: whatever a label holds, it leads nowhere else.
"""

import hashlib
import secrets
import shutil
from pathlib import Path

import msgspec

from contract.durable import sync_folder, write_durably
from contract.ids import token_digest
from dispatch.faults import Fault


class Keeping:
    """The files of one label."""

    def __init__(self, home: Path, label: str) -> None:
        self.folder = home / "labels" / hashlib.sha256(label.encode()).hexdigest()[:32]
        self._label = label
        self.prompt_file = self.folder / "prompt.txt"
        self.token_file = self.folder / "token"
        self._verify_file = self.folder / "verify.json"

    def keep(self, prompt: str, verify: list[str]) -> None:
        """Write prompt, a fresh token and the verifying command durably: before the gateway is asked for a run.

        Raises:
            Fault: the disk does not take them.
        """
        try:
            made = not self.folder.exists()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self.folder / "label.txt", self._label.encode())
            write_durably(self.token_file, f"spd_{secrets.token_urlsafe(32)}\n".encode())
            write_durably(self._verify_file, msgspec.json.encode(verify))
            write_durably(self.prompt_file, prompt.encode())
            if made:
                sync_folder(self.folder.parent)
        except OSError as e:
            raise Fault(f"{self.folder}: cannot be written ({e.strerror}); nothing was begun", "storage") from e

    def forget(self) -> None:
        """Remove the files; what cannot be removed stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def prompt(self) -> str | None:
        """Return the full original prompt, or None when none was kept here."""
        try:
            return self.prompt_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def verify(self) -> list[str]:
        """Return the words of the verifying command; the ledger's `verifyCmd` only shows it and is never run."""
        try:
            return msgspec.json.decode(self._verify_file.read_bytes(), type=list[str])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as e:
            raise Fault(f"{self._verify_file}: cannot be read ({e}); dispatch the label anew", "storage") from e

    def owned(self, token: str) -> bool:
        """Return whether this is the label's token."""
        try:
            kept = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return secrets.compare_digest(token_digest(kept), token_digest(token.strip()))


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
