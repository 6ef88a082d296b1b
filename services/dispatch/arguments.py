"""Arguments as OpenClaw's dispatch takes them: `--flag value`, `--flag=value`, and a flag alone, which is a yes.

A flag that is followed by another flag, or by nothing, is alone. Flags that nobody asks for are ignored.
"""

from collections.abc import Sequence

from dispatch.faults import Usage

LABEL_MOST = 200
KEY_MOST = 512
MESSAGE_MOST = 20_000_000
"""Bytes: a frame of the gateway holds 25 MiB."""


class Arguments:
    """The flags of one call, and the words that are none."""

    def __init__(self, words: Sequence[str]) -> None:
        self._flags: dict[str, str | None] = {}
        self.words: list[str] = []
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if not word.startswith("--"):
                self.words.append(word)
                continue
            name, equals, value = word[2:].partition("=")
            if equals:
                self._flags[name] = value
            elif at < len(words) and not words[at].startswith("--"):
                self._flags[name] = words[at]
                at += 1
            else:
                self._flags[name] = None

    def has(self, name: str) -> bool:
        """Return whether a flag was given, with or without a value, and not as `false`."""
        return name in self._flags and self._flags[name] not in ("false", "0", "no")

    def given(self, name: str) -> bool:
        """Return whether a flag was given, whatever its value: a label may be called `no`."""
        return name in self._flags

    def text(self, name: str) -> str | None:
        """Return a flag's value; None when it was not given.

        Raises:
            Usage: it was given without a value, or with bytes that are no UTF-8.
        """
        if name not in self._flags:
            return None
        value = self._flags[name]
        if value is None or not value.strip():
            raise Usage(f"--{name} needs a value: --{name} VALUE, or --{name}=VALUE when it begins with --")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Usage(f"--{name}: is not UTF-8; give text") from None
        return value

    def needed(self, name: str) -> str:
        """Return a flag's value.

        Raises:
            Usage: it was not given.
        """
        value = self.text(name)
        if value is None:
            raise Usage(f"--{name} is required: --{name} VALUE")
        return value

    def label(self) -> str:
        """Return `--label`, checked.

        Raises:
            Usage: it is missing, or no label.
        """
        return checked_label(self.needed("label"))

    def session_key(self) -> str | None:
        """Return `--session-key`, checked; None when it was not given.

        Raises:
            Usage: it is no key.
        """
        key = self.text("session-key")
        if key is not None and (not key.isprintable() or len(key) > KEY_MOST):
            raise Usage("--session-key: is no key; give one as `openclaw sessions` shows it, such as agent:main:main")
        return key

    def cron(self, name: str, default: str) -> str:
        """Return a cron expression, as far as its shape shows that it is one; a spine knows the rest.

        Raises:
            Usage: it is none.
        """
        text = self.text(name)
        if text is not None and len(text.split()) != 5 and not text.startswith("@"):
            raise Usage(f"--{name}: {text[:40]!r} is no cron expression; give five fields, such as */15 * * * *")
        return text or default

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number in [least, most].

        Raises:
            Usage: it is none, or out of range.
        """
        text = self.text(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise Usage(f"--{name}: {text[:40]!r} is not a whole number; give one from {least} to {most}") from None
        if not least <= value <= most:
            raise Usage(f"--{name}: {value} is out of range; give a number from {least} to {most}")
        return value

    def choice(self, name: str, default: str, options: Sequence[str]) -> str:
        """Return one of `options`.

        Raises:
            Usage: it is none of them.
        """
        value = self.text(name)
        if value is None:
            return default
        if value not in options:
            raise Usage(f"--{name}: {value[:40]!r} is not one of {', '.join(options)}")
        return value


def checked_label(text: str) -> str:
    """Return a label: 1 to 200 characters, none of them a control character. It may hold `/` and emoji.

    No file is named after it, so that it cannot lead anywhere.

    Raises:
        Usage: it is too long, or has a character that a terminal would obey.
    """
    if len(text) > LABEL_MOST:
        raise Usage(f"--label: has {len(text)} characters; give one of at most {LABEL_MOST}")
    if any(not shown.isprintable() for shown in text.replace("\u200d", "")):
        raise Usage("--label: has a line break or another control character; give printable characters")
    return text
