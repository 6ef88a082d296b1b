"""What processes that serve one address show each other: a place for each in memory that they share.

Nothing of it is on a disk, and what a process has shown is gone with it.
"""

import mmap
import struct
import time
import zlib

_HEAD = struct.Struct("<dII")  # when it was written (monotonic s, one clock for all processes), length, checksum
PLACE_BYTES = 1 << 20
FRESH_SECONDS = 30.0
_TRIES = 5


class Siblings:
    """Made before the processes are forked. Each writes to its own place alone."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._memory = mmap.mmap(-1, places * PLACE_BYTES)

    def show(self, place: int, data: bytes) -> bool:
        """Put something in a place, over what was there; False when there is no such place, or no room in it."""
        packed = zlib.compress(data, 1)
        if place >= self._places or _HEAD.size + len(packed) > PLACE_BYTES:
            return False
        begin = place * PLACE_BYTES
        body = begin + _HEAD.size
        self._memory[body : body + len(packed)] = packed
        self._memory[begin:body] = _HEAD.pack(time.monotonic(), len(packed), zlib.crc32(packed))
        return True

    def others(self, place: int) -> list[bytes]:
        """Return what is in the other places and not old."""
        found = (self._seen(other) for other in range(self._places) if other != place)
        return [data for data in found if data is not None]

    def _seen(self, place: int) -> bytes | None:
        begin = place * PLACE_BYTES
        body = begin + _HEAD.size
        for _ in range(_TRIES):
            at, length, checksum = _HEAD.unpack(self._memory[begin:body])
            if not length or time.monotonic() - at > FRESH_SECONDS:
                return None
            packed = self._memory[body : body + length]
            if zlib.crc32(packed) == checksum:
                return zlib.decompress(packed)
            time.sleep(0.001)  # it is being written to
        return None
