"""Identifiers, telephone numbers and addresses: the needles for them, and what makes a hit one of them."""

from __future__ import annotations

import re
from itertools import product
from typing import Final

from fhirtasks.leakage.folding import parts, squeezed
from fhirtasks.leakage.lookalikes import plain
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import Found, Probe
from fhirtasks.leakage.row import Row

ZEROS: Final = 5
"""Leading zeros more or fewer that still make the same number."""
LEAST_DIGITS: Final = 5
"""Digits that must be left where leading zeros are taken off."""
LONG_NUMBER: Final = 8
"""Digits from which on an identifier with all its letters as digits is still taken for it."""
GAP, WIDE_GAP = 3, 12
"""Characters between two of an identifier's, and of one that is rare: it has letters and :data:`RARE` digits or more."""
RARE: Final = 6
CONTEXT: Final = 40
"""Characters before a short number in which a word must say that it is an identifier."""
NEAR: Final = 120
"""Letters and digits around a street line in which city or postal code must stand."""
ALONE: Final = 10
"""Letters and digits that a street line needs where the address has neither city nor postal code."""
NEEDLE: Final = 24
"""Characters of a needle at most: longer ones tell no more and only cost memory."""

_LABELS: Final = frozenset(
    (b"mrn", b"id", b"pid", b"patient", b"pat", b"pt", b"no", b"nr", b"num", b"number", b"record", b"subject", b"urn",
     b"uuid", b"identifier", b"person", b"case", b"chart", b"uid", b"oid", b"member", b"ref", b"mr")
)  # fmt: skip
_PHONE_LABELS: Final = frozenset((b"tel", b"phone", b"fax", b"mobile", b"cell"))
_LABELLED: Final = re.compile(
    rb"(?:mrn|patient|subject|identifier|record|member|chart|person|hadm|stay|\bid|\bpt)[a-z_]*[^a-z0-9]*"
    rb"(?:(?:is|of|no|number|id|value|the)[^a-z0-9]*){0,3}\Z"
)
_GLUED: Final = re.compile(rb"(%?)([0-9A-Za-z]+)\Z")
_PARTS: Final = re.compile(r"([a-z]*)(\d+)")
_LOOKS: Final = {
    "0": "o", "1": "li", "2": "z", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b",
    "o": "0", "l": "1", "i": "1", "z": "2", "e": "3", "a": "4", "s": "5", "t": "7", "b": "8",
}  # fmt: skip
_LEET: Final = tuple(
    str.maketrans(*pair)
    for pair in (("01", "ol"), ("01", "oi"), ("015", "ols"), ("01234578", "olzeastb"), ("01234578", "oizeastb"),
                 ("013457", "oleast"), ("olizeastb", "011234578"))
)  # fmt: skip
_MOST_SPELLINGS: Final = 48
_STREET: Final = re.compile(
    r"\d+\w?\s+(?:[^\W\d_][\w.'-]*\s+){1,4}?(?=(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|way|"
    r"place|pl|terrace|ter|parkway|pkwy|highway|hwy|square|sq|circle|cir|trail|loop|path|row|crescent|close|gardens|"
    r"mews)\b)",
    re.IGNORECASE,
)


def identifier(item: str, text: str, policy: Policy) -> Probe | None:
    """The probe for an identifier; None for one too short to mean anything.

    Other zeros before its digits, anything up to three characters between its characters, letters for the digits that
    they look like, and a word such as "MRN" before it do not hide it. One of digits only, if short, needs such a word.
    """
    whole = squeezed(text)
    if len(whole) < policy.whole("identifier", "shortest"):
        return None
    bare = whole.isdigit()
    short = bare and len(whole) < policy.whole("identifier", "shortest_number")
    spellings = _spellings(whole)

    def look(row: Row, start: int, end: int, _: int) -> Found | None:
        found = [spelling for spelling in spellings if row.squeezed.startswith(spelling, start)]
        if not found:
            return None
        end = start + max(map(len, found))
        if not _begins(row, start) or row.after(end)[:1].isalnum() or not _held_together(row, start, end):
            return None
        if short and not _LABELLED.search(row.around(start, end, CONTEXT)[: min(CONTEXT, row.at(start)[1])]):
            return None
        return Found("identifier", start, end, text)

    return Probe(f"{text} ({item})", look, {spelling[:NEEDLE]: 0 for spelling in spellings})


def phone(item: str, text: str, policy: Policy) -> Probe | None:
    """The probe for a telephone number: its last ten digits however parted, with or without a country code."""
    digits = re.sub(r"\D", "", re.split(r"(?:x|ext)", text.lower())[0])
    if len(digits) < policy.whole("phone", "digits"):
        return None
    national = digits.removeprefix("00")[-10:]

    def look(row: Row, start: int, end: int, _: int) -> Found | None:
        glued = _GLUED.search(row.before(start))
        word = glued[2].lower() if glued is not None else b""
        if (word and not (word.isdigit() and len(word) <= 3) and word not in _PHONE_LABELS and not _is_code(glued)) or (
            row.after(end)[:1].isdigit()
        ):
            return None
        gaps = row.gaps(start, end)
        if any(len(gap) > 4 for gap in gaps):
            return None
        # Ten digits are rare enough; fewer must look like a telephone number.
        if len(national) < 10 and (not any(gaps) or any(gap.strip(b" -./()") for gap in gaps)):
            return None
        return Found("phone", start, end, text)

    return Probe(f"{text} ({item})", look, {national.encode(): 0})


def address(item: str, text: str, policy: Policy) -> Probe | None:
    """The probe for a postal address: its first line with the city or postal code near, where the address has one.

    A line without a number (a ship, a house's name) needs the postal code.
    """
    street = _STREET.search(text)
    line, comma, rest = text.partition(",")
    if street is not None:
        line, (_, *others) = street.group(), re.split(r"[\s,]", text[street.end() :], maxsplit=1)
        rest = "".join(others)
    elif not comma:
        line, rest = " ".join(text.split()[:3]), " ".join(text.split()[3:])
    needle = squeezed(line)
    if len(needle) < policy.whole("address", "letters"):
        return None
    named = [
        squeezed(part) for part in re.split(r"[,\n]|(?=\b\d{5}\b)", rest) if len(squeezed(part)) > 3 and part.strip()
    ]
    places = [word for word in parts(plain(rest)) if word.isdigit() and len(word) > 3]
    if any(letter.isdigit() for letter in needle):
        places += [part.encode() for part in named]
    elif not places:
        return None

    def look(row: Row, start: int, end: int, _: int) -> Found | None:
        if not row.ends(start, end):
            return None
        if places:
            near = row.squeezed[max(0, start - NEAR) : end + NEAR]
            if not any(place in near for place in places):
                return None
        elif len(needle) < ALONE:
            return None
        return Found("address", start, end, text)

    return Probe(f"{text} ({item})", look, {needle.encode()[:32]: 0})


def _spellings(whole: str) -> list[bytes]:
    """The identifier as squeezed text can have it: other leading zeros, letters for digits."""
    found = {whole}
    match = _PARTS.fullmatch(whole)
    if match is not None:
        letters, digits = match.groups()
        core = digits.lstrip("0")
        if len(core) < LEAST_DIGITS:
            core = digits
        found |= {letters + "0" * zeros + core for zeros in range(len(digits) - len(core) + ZEROS)}
    elif any(letter.isdigit() for letter in whole):
        first = next(place for place, letter in enumerate(whole) if letter.isdigit())
        found |= {whole[:first] + "0" * zeros + whole[first:] for zeros in range(ZEROS)}
    if len(whole) <= 16:
        choices = [letter + _LOOKS.get(letter, "") for letter in whole]
        number = 1
        for choice in choices:
            number *= len(choice)
        if number <= _MOST_SPELLINGS:
            found |= {"".join(spelling) for spelling in product(*choices)}
        else:
            found |= {whole.replace(letter, look) for letter, looks in _LOOKS.items() for look in looks}
            found |= {whole.translate(table) for table in _LEET}
    # Letters taken for digits can make a number that means something else, unless it is long.
    safe = (one for one in found if whole.isdigit() or not one.isdigit() or len(one) >= LONG_NUMBER)
    return sorted(spelling.encode() for spelling in safe)


def _begins(row: Row, start: int) -> bool:
    """Whether a word begins there, after no more than a label ("MRN"), or what is left of a percent code."""
    glued = _GLUED.search(row.before(start))
    return glued is None or glued[2].lower() in _LABELS or _is_code(glued)


def _is_code(glued: re.Match[bytes] | None) -> bool:
    return glued is not None and glued[1] == b"%" and re.fullmatch(rb"[0-9A-Fa-f]{2}", glued[2]) is not None


def _held_together(row: Row, start: int, end: int) -> bool:
    """Whether what stands between an identifier's characters can be a disguise rather than another text."""
    gaps = row.gaps(start, end)
    parted = [gap for gap in gaps if gap]
    here = row.squeezed[start:end]
    rare = sum(letter in b"0123456789" for letter in here) >= RARE and not here.isdigit()
    if any(len(gap) > (WIDE_GAP if rare else GAP) for gap in parted):
        return False
    if not parted or not here.isdigit():
        return True
    # Digits beside digits are common in tables and times: digits alone may be parted twice at most, or all of them.
    # Each digit apart, blanks around the number's own hyphens included, is one way of parting it.
    apart = len(parted) == len(gaps) and not any(gap.strip(b" \t\r\n-") for gap in parted)
    odd = any(len(gap) > 1 or gap in b",;\"'[]{}" for gap in parted) or 2 < len(parted) < len(gaps)
    if odd and not apart:
        return False
    return re.fullmatch(rb"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", here) is None
