"""Which families there are: the built-in domains, and what other packages register."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from fhirtasks.episodes.types import PROTOCOLS, Protocol
from fhirtasks.errors import UserError
from fhirtasks.plugins import load
from fhirtasks.tasks.types import Family

DOMAINS = ("labs", "patients", "questions", "referrals", "vitals")
"""Modules of this package; each has ``FAMILIES``, a tuple of Family."""

GROUP = "fhirtasks.families"
"""Entry points of other packages; each loads to a Family or to a sequence of them."""


def families(patterns: Sequence[str] = (), protocol: str | None = None) -> tuple[Family, ...]:
    """The families whose name matches one of the glob ``patterns`` (none: all), sorted by name.

    With ``protocol``, only those that speak it. UserError if a pattern matches no family, if none is left, or if two
    packages register one name.
    """
    found = _all()
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            near = get_close_matches(pattern.lower().replace("-", "_"), found)
            meant = f" (is {' or '.join(near)} meant?)" if near else ""
            raise UserError(f"no family matches {pattern!r}{meant}; fhirtasks families lists them all")
    chosen = [
        family
        for name, family in found.items()
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    spoken = tuple(family for family in chosen if protocol is None or protocol in family.protocols)
    if not spoken:
        raise UserError(f"none of {', '.join(family.name for family in chosen)} speaks the protocol {protocol!r}")
    return spoken


def spoken_by(patterns: Sequence[str], protocol: str | None) -> Protocol:
    """The protocol of a build: the one asked for, else ``text`` or the first that a named family speaks.

    UserError for a protocol that there is not.
    """
    if protocol is not None:
        if protocol not in PROTOCOLS:
            raise UserError(f"--protocol is {protocol!r}; it takes one of {', '.join(PROTOCOLS)}")
        return protocol
    return families(patterns)[0].protocols[0] if patterns else "text"


def family(name: str) -> Family:
    """The family of exactly this name. UserError if there is none."""
    found = _all()
    if name not in found:
        raise UserError(f"there is no family {name!r}; there are: {', '.join(found)}")
    return found[name]


@cache
def _all() -> dict[str, Family]:
    found: dict[str, Family] = {}
    for origin, one in _declared():
        if one.name in found:
            raise UserError(f"{origin} registers the family {one.name!r}, which exists already: rename one of them")
        found[one.name] = one
    return dict(sorted(found.items()))


def _declared() -> Iterator[tuple[str, Family]]:
    for domain in DOMAINS:
        module = f"fhirtasks.tasks.{domain}"
        for one in import_module(module).FAMILIES:
            yield module, one
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        loaded = load(point)
        members = loaded if isinstance(loaded, Sequence) else (loaded,)
        for one in members:
            if not isinstance(one, Family):
                raise UserError(f"the entry point {point.value!r} gives {type(one).__name__}; it must give a Family")
            yield point.value, one
