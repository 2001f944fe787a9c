"""What a text says when it is decoded: escapes, percent signs, entities, base64 and hex, digits written as words.

The first view is the text itself, JSON escapes undone. Others are only made where something in the text calls for
them, and of the part that does. A decoded text is decoded once more, so that one disguise may wrap another.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final
from urllib.parse import unquote

from fhirtasks.leakage.folding import squeeze
from fhirtasks.leakage.lookalikes import from_plain, plain, plain_places
from fhirtasks.leakage.numerals import NUMBERS, digits

DEPTH: Final = 3
"""How many disguises may lie one in the other."""
RUN: Final = 1 << 16
"""Characters before a marked place that are still looked at as part of its run."""
SHORTEST: Final = 10
"""Characters that a run of base64 needs to be looked at: seven of what it says. Of hex it is twelve, for six."""
LINE: Final = 16
"""Characters that a line of base64 has at least, where it is written in lines of one length."""

_ESCAPE: Final = re.compile(
    r"(?<!\\)\\++(?:u(d[89ab][0-9a-f]{2})\\+u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})|u\{([0-9a-f]{1,6})\}|x([0-9a-f]{2})|[nrtbf])",
    re.IGNORECASE,
)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z]{2,24};)")
_TAGS: Final = re.compile(r"(?<=[0-9A-Za-z])(?:\s*+</?[A-Za-z][^<>]{0,200}+>)++\s*+(?=[0-9A-Za-z])")
_TWICE_UTF8: Final = re.compile(
    "[\u00c2-\u00c5][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
)
"""A Latin letter of two bytes in UTF-8, read as if each were a character of Windows-1252."""
_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_EDGES: Final = " \t\r\n\"'<>"
_EDGE: Final = re.compile(r"[\s\"'<>]|\Z")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]*")
_MARKS: Final = bytes(
    (byte in b"IJKLMNOPQRSTUVWXYZabcdef")
    | (byte in b"CDEFGHSTUVWXijklmnyz0123") << 1
    | (byte in b"ABEFIJMNQRUVYZcdghklopstwx014589") << 2
    | (byte in b"+/-_" + _BASE64) << 3
    | (byte in b"234567") << 4
    | (byte in b"0123456789abcdefABCDEF") << 5
    for byte in range(256)
)
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_PRINTED: Final = bytes([*range(32, 127), 9, 10, 13])
_ALNUM: Final = bytes(byte < 128 and bytes([byte]).isalnum() for byte in range(256))


class View:
    """One view of one text, as ASCII.

    ``pieces`` says where its characters come from: (start here, start in the text, length in the text, exact), sorted;
    an exact piece corresponds character by character, any other only as a whole. ``first`` is the text itself.
    """

    __slots__ = ("__dict__", "ascii", "content", "first", "pieces", "squeezed", "text")

    def __init__(
        self, text: int, content: str, pieces: list[tuple[int, int, int, bool]] | None = None, first: bool = False
    ) -> None:
        self.text, self.content, self.pieces, self.first = text, content, pieces, first
        self.ascii = plain(content)
        self.squeezed = squeeze(self.ascii)

    @cached_property
    def kept(self) -> memoryview:
        """The place in ``ascii`` of each character of ``squeezed``."""
        import numpy as np

        return np.flatnonzero(np.frombuffer(self.ascii.translate(_ALNUM), np.bool_)).data

    @cached_property
    def lower(self) -> bytes:
        """``ascii`` in lower case."""
        return self.ascii.lower()

    def original(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of ``ascii`` as a span of the text as given."""
        if not self.content.isascii():
            places = plain_places(self.content)
            start, end = from_plain(places, start), from_plain(places, end - 1) + 1
        if self.pieces is None:
            return start, end
        return self._back(start)[0], self._back(end - 1)[1]

    def _back(self, place: int) -> tuple[int, int]:
        """The text's span of one character of ``content``."""
        pieces = self.pieces or [(0, 0, 0, True)]
        here, there, length, exact = pieces[max(0, bisect_right(pieces, (place, 1 << 60, 0, True)) - 1)]
        return (there + place - here, there + place - here + 1) if exact else (there, there + length)


def first_view(number: int, text: str) -> View:
    """The text itself, with JSON's escapes undone however deep."""
    if "\\" not in text:
        return View(number, text, first=True)
    return View(number, *_replaced(text, _ESCAPE, _unescaped), first=True)


def further_views(views: Sequence[View], depth: int = DEPTH) -> list[View]:
    """What else these views say, decoded; nothing for most."""
    found = []
    coded = list(_coded(views))
    for number, view in enumerate(views):
        said = [run for place, run in coded if place == number] if coded else []
        for content, pieces in _decoded(view, said):
            found.append(View(view.text, content, _through(view, pieces)))
    return [*found, *further_views(found, depth - 1)] if found and depth > 1 else found


def spelt(view: View) -> View | None:
    """The view with numbers in words as digits; None where there are none."""
    content, pieces = _replaced(view.content, NUMBERS, digits)
    return None if pieces is None else View(view.text, content, _through(view, pieces))


def _decoded(view: View, runs: list[tuple[int, int, str]]) -> Iterator[tuple[str, list[tuple[int, int, int, bool]]]]:
    """What a view says in percent codes, in entities, across tags, in UTF-8 read wrongly, and in its ``runs`` of base64 and hex."""
    text = view.content
    if "%" in text:
        yield from _joined(list(_percent(text)))
    for sign, pattern, decode in _MARKED:
        if sign in text:
            content, pieces = _replaced(text, pattern, decode)
            if pieces is not None:
                yield content, pieces
    if not text.isascii():
        content, pieces = _replaced(text, _TWICE_UTF8, _once)
        if pieces is not None:
            yield content, pieces
    if runs:
        if not text.isascii():
            places = plain_places(text)
            runs = [(from_plain(places, start), from_plain(places, end - 1) + 1, said) for start, end, said in runs]
        yield from _joined(runs)


def _coded(views: Sequence[View]) -> Iterator[tuple[int, tuple[int, int, str]]]:
    """(number of the view, (start, end, what it says)) of each run of base64 or hex in their ASCII.

    Printable text leaves its mark on base64: of every four characters the first three come from half of the alphabet or
    less, and in hex every other one is 2 to 7. Three marked groups in a row make a run worth decoding.
    """
    import numpy as np

    whole = b" ".join(view.ascii for view in views)
    if len(whole) < SHORTEST + 2:
        return
    bits = np.frombuffer(whole.translate(_MARKS), np.uint8)
    group = bits[:-3] & (bits[1:-2] >> 1) & (bits[2:-1] >> 2) & (bits[3:] >> 3)
    marked = group[:-6] & group[4:-2] & bits[8:-1] & (bits[9:] >> 1) & 1
    pair = (bits[:-1] >> 4) & (bits[1:] >> 5)
    pairs = pair[:-10] & pair[2:-8] & pair[4:-6] & pair[6:-4] & pair[8:-2] & pair[10:] & 1
    places = {*marked.nonzero()[0].tolist(), *pairs.nonzero()[0].tolist()}
    if not places:
        return
    ends = list(accumulate(len(view.ascii) + 1 for view in views))
    last = 0
    for place in sorted(places):
        if place < last:
            continue
        number = bisect_right(ends, place)
        begin = ends[number] - len(views[number].ascii) - 1
        start, last = _run_around(whole, max(begin, last), place)
        run = whole[start:last]
        said = _uncoded(run)
        if len(run) >= LINE and (further := _lines(len(run)).match(whole, last)) is not None and further.group():
            # What follows the last line may belong to it or be the next word, so it is read both ways.
            lines = run + b"".join(further[1].split())
            ways = [_uncoded(lines), _uncoded(lines + further[2].strip())]
            if any(ways):
                said, last = "\n".join(way for way in ways if way), further.end(1)
        if said is not None:
            yield number, (start - begin, last - begin, said)


def _run_around(text: bytes, begin: int, place: int) -> tuple[int, int]:
    """The run of base64's letters around a place, from ``begin`` on."""
    start = place
    for step in (64, 4096, RUN):
        before = _RUN.match(text[max(begin, start - step) : start][::-1])
        length = before.end() if before else 0
        start -= length
        if length < step:
            break
    after = _RUN.match(text, place)
    return start, after.end() if after else place


@lru_cache(maxsize=1 << 10)
def _lines(length: int) -> re.Pattern[bytes]:
    """Further lines of base64 after one of a length: as long ones, and then what may be the last."""
    return re.compile(
        rb"((?:[ \r\n\t>|]{1,6}[A-Za-z0-9+/_-]{%d}(?![A-Za-z0-9+/_=-]))*)"
        rb"((?:[ \r\n\t>|]{1,6}[A-Za-z0-9+/_-]{1,%d}(?![A-Za-z0-9+/_-]))?)" % (length, length)
    )


def _once(match: re.Match[str]) -> str:
    """The letter that two characters are, if their bytes are UTF-8."""
    data = b"".join(
        bytes((ord(one),)) if ord(one) < 0x100 else one.encode("cp1252", "replace") for one in match.group()
    )
    return data.decode("utf-8", "replace")


def _percent(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what it says) of every stretch between white space, quotes or angle brackets with a percent code."""
    end = 0
    for match in _PERCENT.finditer(text):
        if match.start() < end:
            continue
        start = max(end, max(text.rfind(edge, end, match.start()) for edge in _EDGES) + 1)
        edge = _EDGE.search(text, match.end())
        end = len(text) if edge is None else edge.start()
        yield start, end, _unquoted(text[start:end])


def _joined(found: list[tuple[int, int, str]]) -> Iterator[tuple[str, list[tuple[int, int, int, bool]]]]:
    """Decoded parts as one text, a line each."""
    if not found:
        return
    pieces = []
    place = 0
    for start, end, content in found:
        pieces.append((place, start, end - start, False))
        place += len(content) + 1
    yield "\n".join(content for _, _, content in found), pieces


def _replaced(
    text: str, pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str]
) -> tuple[str, list[tuple[int, int, int, bool]] | None]:
    """The text with each match replaced, and its pieces; None for no match."""
    parts: list[str] = []
    pieces: list[tuple[int, int, int, bool]] = []
    place = last = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        if start > last:
            pieces.append((place, last, start - last, True))
            parts.append(text[last:start])
            place += start - last
        new = decode(match)
        if new:
            pieces.append((place, start, end - start, False))
            parts.append(new)
            place += len(new)
        last = end
    if not pieces:
        return text, None
    pieces.append((place, last, len(text) - last, True))
    return "".join([*parts, text[last:]]), pieces


def _through(view: View, pieces: list[tuple[int, int, int, bool]]) -> list[tuple[int, int, int, bool]]:
    """Pieces of a view's content as pieces of the text as given."""
    if view.pieces is None:
        return pieces
    found = []
    for here, there, length, _ in pieces:
        start, end = view._back(there)[0], view._back(max(there, there + length - 1))[1]
        found.append((here, start, end - start, False))
    return found


def _unescaped(match: re.Match[str]) -> str:
    high, low, *codes = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    number = next((int(code, 16) for code in codes if code), 0x20)
    return chr(number) if number < 0x110000 else " "


def _unquoted(text: str) -> str:
    for _ in range(DEPTH):
        decoded = unquote(text, errors="replace")
        if decoded == text:
            break
        text = decoded
    return text


@lru_cache(maxsize=1 << 16)
def _uncoded(run: bytes) -> str | None:
    """What a run of base64 or hex says, if it says text; parts between slashes and hyphens are tried on their own."""
    found = _said(run[2:] if run[:2] in (b"0x", b"0X") else run)
    if found is None and any(sign in run for sign in b"/-_+"):
        parts = [said for part in re.split(rb"[/+_-]", run) if len(part) >= SHORTEST and (said := _said(part))]
        found = "\n".join(parts) or None
    return found


def _said(run: bytes) -> str | None:
    data = b""
    if len(run) % 2 == 0 and _HEX.issuperset(run):
        data = binascii.unhexlify(run)
        if _is_text(data):
            return data.decode("utf-8", "replace")
    if len(run) % 4 != 1:
        try:
            data = base64.b64decode(run.translate(_STANDARD) + b"=" * (-len(run) % 4))
        except binascii.Error:
            return None
        if _is_text(data):
            return data.decode("utf-8", "replace")
    return None


def _is_text(data: bytes) -> bool:
    """True for UTF-8, or the like, that is all but printable."""
    others = len(data.translate(None, _PRINTED))
    if others == 0:
        return True
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        return others * 8 <= len(data)
    return sum(not letter.isprintable() and letter not in "\t\r\n" for letter in decoded) * 8 <= len(decoded)


_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_MARKED: Final[tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    ("&", _ENTITY, lambda match: html.unescape(match.group())),
    ("<", _TAGS, lambda match: "|"),
)
"""A sign without which there is nothing to replace, what is replaced, and by what."""
