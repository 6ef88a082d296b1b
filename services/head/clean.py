"""Making text from outside safe to show: specs, logs, comments and results are written by others.

A terminal obeys what it is sent: escape sequences can move the cursor, rename the window or hide text, and marks of
direction can make text read as something else.
"""

import codecs
import re
import unicodedata

_KEPT = "\n\t"
# Embedding, override and isolate marks, and the two plain ones: text that reads otherwise than it is. Then what no
# terminal shows: marks of byte order and of annotations, and letters for tags.
_DIRECTION = frozenset(map(chr, (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_UNSEEN = frozenset(map(chr, (0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))))
# One whole escape sequence: CSI, a string (OSC, DCS, SOS, PM, APC) with its end, or a short one.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\x1b", re.DOTALL
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z", re.DOTALL)
_HELD_MOST = 4096
RESET = "\x1b[0m"


def text(value: str) -> str:
    """Return a text of several lines with every control character but newline and tab written out, as in `\\x1b`."""
    return "".join(c if c in _KEPT or not _unsafe(c) else _written(c) for c in value)


def line(value: str) -> str:
    """Return a text as one line: blanks of every kind become one space, control characters are written out."""
    return text(" ".join(value.split()))


def _unsafe(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cs") or c in _DIRECTION or c in _UNSEEN or c in "\u2028\u2029"


def _written(c: str) -> str:
    return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


class TerminalFilter:
    """Turns a log's bytes into text that is safe on a terminal: of escape sequences only colours are kept.

    A sequence or a character that is cut by a chunk's border is held back until the rest comes.

    Args:
        colours: keep them; else they are left out as all other sequences are.
    """

    def __init__(self, colours: bool = True) -> None:
        self._colours = colours
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._coloured = False

    def feed(self, chunk: bytes) -> str:
        """Take more bytes; return what may be shown."""
        data = self._held + self._decoder.decode(chunk)
        cut = _UNFINISHED.search(data)
        # A string that never ends must not swallow the log.
        at = len(data) if cut is None or len(data) - cut.start() > _HELD_MOST else cut.start()
        self._held = data[at:]
        return self._clean(data[:at])

    def flush(self) -> str:
        """Return the rest, and the end of any colour."""
        data = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        return self._clean(data) + (RESET if self._coloured else "")

    def _clean(self, data: str) -> str:
        parts, end = [], 0
        for match in _SEQUENCE.finditer(data):
            parts.append(_plain(data[end : match.start()]))
            if self._colours and _COLOUR.fullmatch(match.group()):
                parts.append(match.group())
                self._coloured = True
            end = match.end()
        parts.append(_plain(data[end:]))
        return "".join(parts)


def _plain(data: str) -> str:
    """Drop control characters; a carriage return stays, since progress bars need it."""
    return "".join(c for c in data if c in "\n\t\r" or not _unsafe(c))
