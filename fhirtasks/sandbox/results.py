"""What a child of the fork-server sent through its pipe, believed no further than that it is text."""

from __future__ import annotations

import codecs
import struct
from typing import Final

from fhirtasks.sandbox.execution import End

_HEAD: Final = struct.Struct("!cI")
_FRAME: Final = 1 << 16
_ENDS: Final[dict[str, End]] = {"0": "ok", "1": "exception", "2": "memory"}


class Result:
    """Frames as they come: pieces of output, then one end. Anything else is ``forged``, and is read no further.

    ``printed`` counts characters; past ``most`` the result is ``flooded``. ``end`` is how the run says it ended, and why.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: list[str] = []
        self.printed = 0
        self.end: tuple[End, str] | None = None
        self.forged = False
        self.closed = False

    @property
    def flooded(self) -> bool:
        """True if more was printed than is allowed."""
        return self.printed > self._most

    @property
    def full(self) -> bool:
        """True if nothing that may still come counts."""
        return self.forged or self.flooded

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(self._pieces)

    def feed(self, data: bytes) -> None:
        """The next bytes; those after what is :attr:`full` are not kept."""
        if self.full:
            return
        self._rest += data
        while len(self._rest) >= _HEAD.size and not self.full:
            kind, size = _HEAD.unpack_from(self._rest)
            # Nothing that is printed makes an empty frame: they could be written without end and never be too much.
            if kind not in b"oe" or not 0 < size <= _FRAME or self.end is not None:
                self.forged = True
                return
            if len(self._rest) < _HEAD.size + size:
                return
            body = bytes(self._rest[_HEAD.size : _HEAD.size + size])
            del self._rest[: _HEAD.size + size]
            if kind == b"o":
                piece = self._decoder.decode(body)
                self._pieces.append(piece)
                self.printed += len(piece)
            else:
                text = body.decode("utf-8", "replace")
                if text[:1] not in _ENDS or not text:
                    self.forged = True
                    return
                self.end = _ENDS[text[0]], text[1:]
