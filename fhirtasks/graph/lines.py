"""NDJSON a block at a time: which lines are plain, found for all of them at once.

A plain line holds a resource that begins with its type and its id, minified. Whether it is JSON at all is left to
DuckDB's parser, which is strict but for three things; a line that may have one of them, or white space outside its
strings, is not plain. What only looks so may be plain all the same: such a line costs time, no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

_BLOCK = 1 << 20
_PIECE = 1 << 17
_DEPTH = 500
"""Lines with more brackets than this are not plain: too deep a nesting has to be refused."""

_MOST_TYPES = 50
_START = re.compile(rb'\{"resourceType":"([A-Za-z]+)","id":"')


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block, each with its newline.

    ``starts`` and ``ends`` (numpy; the ends are the newlines' own places) are those of all lines, ``kinds`` the place of
    each one's type in ``types``, -1 for a line that is not plain.
    """

    starts: Any
    ends: Any
    kinds: Any
    types: list[str]


def blocks(file: IO[bytes]) -> Iterator[tuple[bytearray, int]]:
    """The file in pieces of whole lines: buffers, and how many of their bytes are meant.

    The last line gets a newline where it has none.
    """
    block, filled = bytearray(_BLOCK), 0
    while True:
        with memoryview(block) as view:
            while filled < len(block) and (count := file.readinto(view[filled:])):  # type: ignore[attr-defined]
                filled += count
        end = block.rfind(b"\n", 0, filled) + 1
        if filled < len(block):
            if end < filled:
                block[filled] = 10
                end = filled + 1
            if end:
                yield block, end
            return
        rest = block[end:]
        if end:
            yield block, end
        block, filled = bytearray(max(_BLOCK, 2 * len(rest))), len(rest)
        block[:filled] = rest


def read_lines(block: bytearray, size: int) -> Lines:
    """Finds the plain lines in the first ``size`` bytes of a block."""
    import numpy as np

    text = np.frombuffer(block, np.uint8, size)
    low = _places(text, lambda piece: piece <= 32)
    newline = text[low] == 10
    ends, blanks = low[newline], low[~newline]
    starts = np.append(0, ends[:-1] + 1)
    odd = np.zeros(len(ends), bool)
    for places in (blanks[_outside(text, blanks)], _lenient(text)):
        odd[np.searchsorted(ends, places)] = True
    if text.max() > 127 and not _is_utf8(text):
        odd[:] = True
    odd |= _most_brackets(text, starts, ends) > _DEPTH
    kinds, types = _kinds(block, text, starts, ends, odd)
    return Lines(starts, ends, kinds, types)


def _outside(text: Any, blanks: Any) -> Any:
    """Which of the blanks may stand outside strings: before ``,:]}`` or after ``[{``, or after ``:`` or ``,`` that may
    follow a value; and whatever is no space.
    """
    before, after, second = text[blanks - 1], text[blanks + 1], text[blanks - 2]
    value = (second == 34) | (second - 48 < 10) | (second == 93) | (second == 125) | (second == 101) | (second == 108)
    return (
        (text[blanks] != 32)
        | (after == 44) | (after == 58) | (after == 93) | (after == 125) | (before == 91) | (before == 123)
        | (((before == 44) | (before == 58)) & value)
    )  # fmt: skip


def _lenient(text: Any) -> Any:
    """Where what DuckDB's parser forgives may stand: a comma before a closing bracket, NaN, Infinity in any case."""
    import numpy as np

    commas = _places(text, lambda piece: (piece[:-1] == 44) & ((piece[1:] | 32) == 125))  # ] | 32 is }
    words = _places(text, _words)
    before = text[words - 1]
    return np.concatenate([commas, words[(before == 58) | (before == 44) | (before == 91) | (before == 45)]])


def _words(text: Any) -> Any:
    """Where ``nan`` or ``inf`` begins, in any case."""
    letters = text | 32
    n = letters == 110
    nan = n[:-2] & (letters[1:-1] == 97) & n[2:]
    inf = (letters[:-2] == 105) & n[1:-1] & (letters[2:] == 102)
    return nan | inf


def _most_brackets(text: Any, starts: Any, ends: Any) -> Any:
    """How many opening brackets the lines may have: those of all words of 64 bytes that a line has a part in."""
    import numpy as np

    words = -(-len(text) // 64)
    bits = np.zeros(words * 8, np.uint8)
    for at in range(0, len(text), _PIECE):
        piece = np.packbits((text[at : at + _PIECE] | 32) == 123)  # [ | 32 is {
        bits[at // 8 : at // 8 + len(piece)] = piece
    until = np.append(0, np.cumsum(np.bitwise_count(bits.view(np.uint64)), dtype=np.int64))
    return until[ends // 64 + 1] - until[starts // 64]


def _places(text: Any, test: Callable[[Any], Any]) -> Any:
    """Where ``test`` holds. It looks at pieces that stay in a core's cache, each two bytes longer than it is asked for."""
    import numpy as np

    pieces = [np.flatnonzero(test(text[at : at + _PIECE + 2])[:_PIECE]) + at for at in range(0, len(text), _PIECE)]
    return np.concatenate(pieces)


def _is_utf8(text: Any) -> bool:
    try:
        text.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def _kinds(block: bytearray, text: Any, starts: Any, ends: Any, odd: Any) -> tuple[Any, list[str]]:
    """Types by line: the first line without one tells which, and all that begin alike have it too."""
    import numpy as np

    kinds, types = np.full(len(starts), -1, np.int8), list[str]()
    left = np.flatnonzero(~odd & (text[ends - 1] == 125))
    for _ in range(_MOST_TYPES):
        if not len(left):
            break
        start = _START.match(block, starts[left[0]])
        if start is None:
            left = left[1:]
            continue
        head = np.frombuffer(start[0], np.uint8)
        places = starts[left][:, None] + np.arange(len(head) + 1)
        begins = text[np.minimum(places, len(text) - 1)]
        same = (begins[:, :-1] == head).all(axis=1)
        if start[1] != b"Bundle":
            kinds[left[same & (begins[:, -1] != 34)]] = len(types)  # an id is not empty
            types.append(start[1].decode())
        left = left[~same]
    return kinds, types
