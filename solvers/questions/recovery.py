"""Recovery: about one episode in eight stumbles once on purpose, sees what comes back, and goes on rightly.

Which one, and over what, follows from the task's opaque id alone. The faulty call is really made and really answered: it is one
of those that :mod:`fhirtasks.episodes.faults` knows by their replies, so that no mark has to be believed.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, Literal, TypeAlias, get_args

Stumble: TypeAlias = Literal["exception", "too wide", "wrong code", "wrong type"]

EVERY: Final = 8
"""About one task in so many has a stumble."""

MANY: Final = 12
"""Resources of a type from which on printing them all is cut."""

MISNAMED: Final = {
    "AllergyIntolerance": "Allergy",
    "Claim": "Bill",
    "Condition": "Diagnosis",
    "DiagnosticReport": "LabReport",
    "Encounter": "Visit",
    "ImagingStudy": "Imaging",
    "Immunization": "Vaccination",
    "MedicationAdministration": "Administration",
    "MedicationRequest": "MedicationOrder",
    "Observation": "LabResult",
    "Patient": "Demographics",
    "Procedure": "Operation",
    "Specimen": "Sample",
}
"""What types are called by who does not know R4: by clinicians, or in DSTU2. None of them is a type of R4."""

_LOOKUP = re.compile(r'resources(?:\["(\w+)"\]|\.get\("(\w+)"(?:, \[\])?\))')
_LOOP = re.compile(r"^(\s*for .*):$", re.MULTILINE)

EVERYTHING = """
import json

for r in resources["{type}"]:
    print(json.dumps(r))
"""
"""Prints all that was fetched of a type."""

BY_LABEL = """
q = {slots}

for r in resources["{type}"]:
    if any(c.get("code") == q["label"] for c in (r.get("code") or {{}}).get("coding", [])):
        print(r["id"])
"""
"""Looks for the name of a thing where its code stands."""


def stumble(task: str) -> Stumble | None:
    """The stumble of the task of this id, None for most."""
    digest = _digest(task)
    return get_args(Stumble)[digest[1] % 4] if digest[0] % EVERY == 0 else None


def broken(code: str, task: str) -> str:
    """The code with one mistake that raises an exception: an import forgotten, a type misspelt, a colon left out."""
    found = []
    if "json." in code:
        found.append(code.replace("import json\n", "", 1).lstrip("\n"))
    lookup = _LOOKUP.search(code)
    if lookup is not None:
        found.append(f'{code[: lookup.start()]}resources["{lookup[1] or lookup[2]}s"]{code[lookup.end() :]}')
    if _LOOP.search(code):
        found.append(_LOOP.sub(r"\1", code, count=1))
    return found[_digest(task)[2] % len(found)] if found else f"{code}print(result)\n"


def _digest(task: str) -> bytes:
    return sha256(f"recovery/{task}".encode()).digest()
