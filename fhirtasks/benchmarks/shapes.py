"""What any row of any data set tells of a case, by the shape of its values and the names of its members.

A row is walked whole: nested members, and JSON inside strings. What is found goes into one :class:`HeldOut`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.phrases import addresses_in, identifiers_in, parameters_in, people_in, phones_in
from fhirtasks.fhir.jsontext import dumps, loads
from fhirtasks.population.taskfile import Person, dates_in

WORDS: Final = 4
"""Words from which on a value is a text, not a code or a name."""
_ANSWERS: Final = frozenset(
    (
        "answer", "answers", "gold", "goldanswer", "goldanswers", "trueanswer", "groundtruth", "groundtruthanswer",
        "sol", "solution", "solutions", "target", "expected", "expectedanswer", "expectedoutput", "label",
        "finalanswer",
    )
)  # fmt: skip
_IDENTIFIERS: Final = frozenset(
    (
        "mrn", "evalmrn", "patient", "patientid", "patientfhirid", "subjectid", "subject", "hadmid", "stayid",
        "encounterid", "identifier", "identifiers", "medicalrecordnumber", "recordnumber", "personid", "memberid",
        "noteid",
    )
)  # fmt: skip
_NAMES: Final = frozenset(
    (
        "name", "fullname", "patientname", "patient", "displayname",
    )
)  # fmt: skip
_BIRTHS: Final = frozenset(
    (
        "birthdate", "dob", "dateofbirth", "birthday",
    )
)  # fmt: skip
_PHONES: Final = frozenset(
    (
        "phone", "phonenumber", "telephone", "tel", "mobile", "telecom", "contactnumber",
    )
)  # fmt: skip
_STREETS: Final = frozenset(
    (
        "address", "street", "streetaddress", "addressline", "line", "homeaddress",
    )
)  # fmt: skip
_ABOUT: Final = frozenset(
    (
        "id", "index", "number", "row", "rownumber", "split", "category", "family", "branch", "domain", "kind",
        "protocol", "mode", "version", "template", "type", "role", "source", "sources", "citation", "licence",
        "license", "url", "contenthash", "calculatorid", "calculatorname", "outputtype", "notetype", "system", "tools",
    )
)  # fmt: skip


@dataclass(slots=True)
class _Found:
    texts: dict[str, None] = field(default_factory=dict)
    identifiers: dict[str, None] = field(default_factory=dict)
    people: dict[Person, None] = field(default_factory=dict)
    phones: dict[str, None] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)
    parameters: dict[str, None] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)
    resources: dict[str, None] = field(default_factory=dict)


def held_out(source: str, number: int, row: Any) -> HeldOut | None:
    """Everything that a row of no known format holds out; None for a row without content."""
    found = _Found()
    _walk(found, "", row)
    if not any((found.texts, found.identifiers, found.people, found.resources, found.parameters, found.answers)):
        return None
    if found.answers and not found.parameters:
        for text in found.texts:
            found.parameters |= dict.fromkeys(parameters_in(text))
    return HeldOut(
        source=source,
        id=_id(row, number),
        texts=tuple(found.texts),
        identifiers=tuple(found.identifiers),
        people=tuple(found.people),
        phones=tuple(found.phones),
        addresses=tuple(found.addresses),
        parameters=tuple(found.parameters),
        answer=_answer(found.answers),
        resources=tuple(found.resources),
    )


def leaves(value: Any) -> Iterator[str]:
    """The scalars of a nested value as texts; strings that are JSON, or Python literals, are looked into."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        inner = nested(value)
        if inner is None:
            yield value.strip()
        else:
            yield from leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield scalar(value)


def scalar(value: Any) -> str:
    """A number or date as one would write it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def nested(text: str) -> Any:
    """The object or list that a string holds as JSON; None if it holds none."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _walk(found: _Found, key: str, value: Any) -> None:
    """``key`` is the member's name, without case and separators; in a list that of the list."""
    if isinstance(value, Mapping):
        _object(found, value)
    elif isinstance(value, list | tuple):
        if key in _ANSWERS and not any(isinstance(item, Mapping) for item in value):
            found.answers.append(value)
        for item in value:
            _walk(found, key, item)
    elif isinstance(value, bytes):
        _walk(found, key, value.decode("utf-8", "replace"))
    elif isinstance(value, str):
        inner = nested(value)
        if inner is not None:
            _walk(found, key, inner)
        elif value.strip():
            _text(found, key, value.strip())
    elif value is not None and not isinstance(value, bool):
        _text(found, key, scalar(value))


def _object(found: _Found, value: Mapping[str, Any]) -> None:
    if isinstance(value.get("resourceType"), str):
        _resource(found, value)
        return
    members = {_key(name): item for name, item in value.items()}
    names = [item for name, item in members.items() if name in _NAMES and isinstance(item, str)]
    if isinstance(members.get("family") or members.get("lastname"), str):
        given = members.get("given") or members.get("firstname") or ""
        first = " ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)
        names.append(f"{first} {members.get('family') or members.get('lastname')}")
    for born in (item for name, item in members.items() if name in _BIRTHS):
        days = [born] if isinstance(born, date) else [day for _, _, days in dates_in(str(born)) for day in days]
        for name in names:
            if len(name.split()) > 1:
                found.people |= dict.fromkeys(Person(name.strip(), day) for day in days)
    for name, item in members.items():
        if name not in _ABOUT:
            _walk(found, name, item)


def _text(found: _Found, key: str, text: str) -> None:
    if key in _ANSWERS:
        found.answers.append(text)
    if key in _IDENTIFIERS and len(text.split()) == 1 and sum(letter.isdigit() for letter in text) >= 4:
        found.identifiers[text.rsplit("/", 1)[-1]] = None
    if key in _PHONES and sum(letter.isdigit() for letter in text) >= 7:
        found.phones[text] = None
    if key in _STREETS and any(letter.isdigit() for letter in text) and len(text.split()) > 1:
        found.addresses[text] = None
    found.identifiers |= dict.fromkeys(identifiers_in(text))
    found.people |= dict.fromkeys(people_in(text))
    found.phones |= dict.fromkeys(phones_in(text))
    found.addresses |= dict.fromkeys(addresses_in(text))
    if len(text.split()) >= WORDS:
        if key not in _ANSWERS:
            found.texts[text] = None
    elif key and key not in _ANSWERS and key not in ("content", "text"):
        found.parameters[text] = None
    elif not found.identifiers and key not in _ANSWERS:
        found.texts[text] = None


def _resource(found: _Found, resource: Mapping[str, Any]) -> None:
    """A FHIR resource is held out whole, with whom it names; a Bundle is its entries."""
    if resource["resourceType"] == "Bundle":
        for entry in resource.get("entry") or []:
            inner = entry.get("resource") if isinstance(entry, Mapping) else None
            if isinstance(inner, Mapping) and isinstance(inner.get("resourceType"), str):
                _resource(found, inner)
        return
    found.resources[dumps(dict(resource))] = None
    if resource["resourceType"] != "Patient":
        return
    if isinstance(resource.get("id"), str):
        found.identifiers[resource["id"]] = None
    for identifier in _objects(resource.get("identifier")):
        if isinstance(identifier.get("value"), str):
            found.identifiers[identifier["value"]] = None
    for _, _, days in dates_in(str(resource.get("birthDate"))):
        for name in _objects(resource.get("name")):
            given = [part for part in name.get("given") or [] if isinstance(part, str)]
            whole = " ".join([*given, str(name.get("family") or "")]).strip() or str(name.get("text") or "")
            if len(whole.split()) > 1:
                found.people |= dict.fromkeys(Person(whole, day) for day in days)
    for contact in _objects(resource.get("telecom")):
        if contact.get("system") in ("phone", "fax", "sms") and isinstance(contact.get("value"), str):
            found.phones[contact["value"]] = None
    for address in _objects(resource.get("address")):
        lines = [line for line in address.get("line") or [] if isinstance(line, str)]
        rest = [address[part] for part in ("city", "state", "postalCode") if isinstance(address.get(part), str)]
        if lines:
            found.addresses[", ".join([*lines, *rest])] = None


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _answer(values: list[Any]) -> str | None:
    """One answer as written, several, or one of more than one part, as JSON."""
    if not values:
        return None
    first = values[0]
    if isinstance(first, str):
        return first
    flat = list(leaves(first))
    return flat[0] if len(flat) == 1 else json.dumps(flat, ensure_ascii=False)


def _id(row: Any, number: int) -> str:
    if isinstance(row, Mapping):
        for name, value in row.items():
            if (
                _key(name) in ("id", "questionid", "taskid", "rownumber")
                and isinstance(value, str | int)
                and str(value)
            ):
                return str(value)
    return str(number)


def _key(name: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
