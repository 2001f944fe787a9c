"""Facts in running text: identifiers, people, telephone numbers, addresses, and what makes the case of a question."""

from __future__ import annotations

import re
from typing import Final

from fhirtasks.population.taskfile import Person, Row, identifiers, people

_PHONE: Final = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?:\s*(?:x|ext\.?)\s*\d+)?(?![\w-])"
)
_ADDRESS: Final = re.compile(
    r"\b\d{1,6}[A-Za-z]?\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'’.-]*\s+){1,4}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Parkway|Pkwy|Highway|Hwy|"
    r"Square|Sq|Circle|Cir|Trail|Loop|Path|Row|Crescent|Close|Gardens|Mews)\b\.?"
    r"(?:,?\s+(?:Apt|Apartment|Suite|Unit)\.?\s*\w+)?(?:,\s*[A-Z][\w .'’-]+)?(?:,?\s+[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?"
)
_QUANTITY: Final = re.compile(
    r"[\"“]([^\"“”]{1,40})[\"”]|((?<![\w.])\d[\w.,:/+-]*(?:\s?(?:%|mmHg|mm Hg|mg/dL|mmol/L|mEq/L|mcg|mg|kg|cm|mL|g|bpm|years?))?)"
)


def identifiers_in(text: str) -> list[str]:
    """Record numbers and UUIDs that a text mentions."""
    alone = (text.strip(),) if len(text.split()) == 1 else ()
    return identifiers([Row(0, "", text, "", None, alone)])


def people_in(text: str) -> list[Person]:
    """Names beside birth dates."""
    return people(Row(0, "", text, "", None, ()))


def phones_in(text: str) -> list[str]:
    """Telephone numbers of ten or more digits, set off in the usual ways."""
    return _PHONE.findall(text)


def addresses_in(text: str) -> list[str]:
    """Street addresses as written in English: a number, a street, perhaps city, state and postal code."""
    return [match.group().strip() for match in _ADDRESS.finditer(text)]


def parameters_in(text: str) -> list[str]:
    """What makes the case of a question: its numbers with their units, dates, and what stands in double quotes."""
    found = [quoted or number for quoted, number in _QUANTITY.findall(text)]
    return list(dict.fromkeys(value.strip(" .,;:/-") for value in found if value.strip(" .,;:/-")))
