"""FHIR references: what kind of pointer a string is, and what it points at.

Kinds: ``relative`` (``Patient/1``), ``absolute`` (``https://host/fhir/Patient/1``), ``urn`` (``urn:uuid:…``,
``urn:oid:…``), ``conditional`` (``Practitioner?identifier=system|value``), ``contained`` (``#id``), ``logical`` (an
identifier, no reference), ``other`` (none of these). A version (``/_history/3``) is read and set aside: the edge goes
to the current resource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

Kind: TypeAlias = Literal["relative", "absolute", "urn", "conditional", "contained", "logical", "other"]

ID_PATTERN = r"[A-Za-z0-9\-.]{1,64}"
TYPE_PATTERN = r"[A-Z][A-Za-z]{1,63}"
TARGET_PATTERN = rf"(?:^|/)({TYPE_PATTERN})/({ID_PATTERN})(?:/_history/{ID_PATTERN})?$"
"""In a relative or absolute reference: the type and the id it names. Works in Python's ``re`` and in RE2 (DuckDB)."""

_TARGET = re.compile(TARGET_PATTERN)
_CONDITIONAL = re.compile(rf"(?:.*/)?({TYPE_PATTERN})\?(.+)")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference string, read. ``type`` and ``id`` are None where the string does not say them; ``query`` is a
    conditional's.
    """

    kind: Kind
    type: str | None = None
    id: str | None = None
    query: tuple[tuple[str, str], ...] = ()


def parse_reference(text: str) -> Reference:
    """Reads a ``reference`` string; never raises (kind ``other`` for what is no FHIR reference)."""
    if text.startswith("#"):
        return Reference("contained", id=text[1:])
    if text.startswith("urn:"):
        return Reference("urn")
    if found := _CONDITIONAL.fullmatch(text):
        return Reference("conditional", found[1], query=tuple(parse_qsl(found[2], keep_blank_values=True)))
    found = _TARGET.search(text)
    if _ABSOLUTE.match(text):
        return Reference("absolute", found[1], found[2]) if found else Reference("absolute")
    if found and found.start() == 0 and not text.startswith("/"):
        return Reference("relative", found[1], found[2])
    return Reference("other")


def identifier_token(reference: Reference) -> str | None:
    """``system|value`` of a conditional reference that asks for an identifier and nothing else, else None.

    ``|value`` stands for one without a system, ``value`` alone for one with any.
    """
    if reference.kind != "conditional" or len(reference.query) != 1 or reference.query[0][0] != "identifier":
        return None
    return reference.query[0][1].replace("\\|", "|").replace("\\,", ",").replace("\\$", "$").replace("\\\\", "\\")
