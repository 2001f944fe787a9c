"""Leaks of held-out items in every disguise, ready to be put into rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, TypeAlias

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.fhir.jsontext import dumps, loads
from fhirtasks.planting.disguises import ANYWHERE, OF_IDENTIFIERS, OF_NUMBERS, PLAIN, Disguise, json_escapes
from fhirtasks.planting.paraphrase import paraphrase
from fhirtasks.planting.people import born, date_form, initials, name_order

What: TypeAlias = Literal["identifier", "person", "phone", "address", "parameters", "resource", "instruction"]
WHATS: Final[tuple[What, ...]] = ("identifier", "person", "phone", "address", "parameters", "resource", "instruction")

SPLIT: Final = "split over two messages"
IN_CHART: Final = "in a chart resource"
LONG: Final = 2_000
"""Characters of a text beyond which it is not disguised character by character: nobody writes a whole note so."""


@dataclass(frozen=True, slots=True)
class Leak:
    """What gives a held-out item away: ``pieces`` go to the end of one text and the beginning of the next, one alone anywhere."""

    what: What
    disguise: str
    item: HeldOut
    pieces: tuple[str, ...]


def leaks(items: Sequence[HeldOut], each: int, rng: Random) -> Iterator[Leak]:
    """``each`` leaks of every kind of fact in every disguise that it can wear, of items drawn evenly.

    Kinds of facts that no item has are left out.
    """
    for what in WHATS:
        having = [item for item in items if _has(item, what)]
        if not having:
            continue
        for disguise in _disguises(what):
            able = [item for item in having if _long(item)] if disguise == "paraphrase" else having
            for item in _draw(able, each, rng) if able else ():
                yield Leak(what, disguise, item, _pieces(what, disguise, item, rng))


def _has(item: HeldOut, what: What) -> bool:
    if what == "identifier":
        return any(sum(letter.isdigit() for letter in text) >= 4 for text in item.identifiers)
    if what == "person":
        return any(" " in person.name for person in item.people)
    if what == "parameters":
        return item.answer is not None and len(item.parameters) >= 2
    if what == "instruction":
        return any(len(text.split()) >= 6 for text in item.texts)
    return bool({"phone": item.phones, "address": item.addresses, "resource": item.resources}[what])


def _disguises(what: What) -> list[str]:
    """Names of the disguises of a kind of fact."""
    if what == "parameters":
        return [PLAIN, "as JSON", "another order", SPLIT, "case", "JSON escapes"]
    if what == "resource":
        return [PLAIN, "another order", "indented", "in a string", "another id"]
    common = [*ANYWHERE, SPLIT]
    if what == "identifier":
        return [*common, *OF_NUMBERS, *OF_IDENTIFIERS, IN_CHART, "another question"]
    if what == "person":
        return [*common, *OF_NUMBERS, "date form", "name order", "initials", IN_CHART]
    if what == "phone":
        return [*common, *OF_NUMBERS, IN_CHART]
    return [*common, "paraphrase"] if what == "instruction" else [*common, IN_CHART]


def _long(item: HeldOut) -> list[str]:
    """The item's texts that say the same with a word or two exchanged: a few words alone do not."""
    return [text for text in item.texts if len(text.split()) >= 12]


def _draw(having: list[HeldOut], number: int, rng: Random) -> list[HeldOut]:
    return [*having] * (number // len(having)) + rng.sample(having, number % len(having))


def _pieces(what: What, disguise: str, item: HeldOut, rng: Random) -> tuple[str, ...]:
    if what == "parameters":
        return _tuple(disguise, item, rng)
    if what == "resource":
        return (_resource(disguise, rng.choice(item.resources), rng),)
    if what == "person":
        return _person(disguise, item, rng)
    if what == "instruction":
        if disguise == "paraphrase":
            return (paraphrase(rng.choice(_long(item)), rng),)
        return _said(disguise, rng.choice([text for text in item.texts if len(text.split()) >= 6]), rng)
    if what == "identifier":
        known = [text for text in item.identifiers if sum(letter.isdigit() for letter in text) >= 4]
        if disguise in (*OF_NUMBERS, *OF_IDENTIFIERS):  # a UUID is neither spelt nor padded nor numbered
            known = [text for text in known if text.count("-") < 3] or known
        text = rng.choice(known)
        if disguise == IN_CHART:
            body = {"resourceType": "Patient", "active": True, "identifier": [{"system": "urn:mrn", "value": text}]}
            other = {"resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient/{text}"}}
            return (json.dumps(rng.choice((body, other))),)
        if disguise == "another question":
            return (rng.choice(_QUESTIONS).format(text),)
        return _said(disguise, text, rng)
    text = rng.choice(item.phones if what == "phone" else item.addresses)
    if disguise == IN_CHART:
        told = {"telecom": [{"system": "phone", "value": text}]} if what == "phone" else {"address": [{"text": text}]}
        return (json.dumps({"resourceType": "Patient", **told}),)
    return _said(disguise, text, rng)


_QUESTIONS: Final = (
    "Give the last three weights of patient {} in kilograms.",
    "Has {} ever been allergic to penicillin?",
    "Summarise the stay of the patient whose record is {}.",
)


def _said(disguise: str, text: str, rng: Random) -> tuple[str, ...]:
    if disguise == SPLIT:
        return _halves(text, rng)
    if text.count("-") >= 3 and disguise in (*OF_NUMBERS, *OF_IDENTIFIERS):
        disguise = PLAIN
    form: Disguise = {**ANYWHERE, **OF_NUMBERS, **OF_IDENTIFIERS}[disguise]
    return (form(text[:LONG].rstrip(), rng),)


def _halves(text: str, rng: Random) -> tuple[str, str]:
    """Cut near the middle; words stay whole where there are any."""
    if " " in text:
        words = text.split(" ")
        at = max(1, min(len(words) - 1, len(words) // 2 + rng.randint(-1, 1)))
        return " ".join(words[:at]), " ".join(words[at:])
    at = max(1, len(text) // 2 + rng.randint(-1, 1))
    return text[:at], text[at:]


def _person(disguise: str, item: HeldOut, rng: Random) -> tuple[str, ...]:
    person = rng.choice([person for person in item.people if " " in person.name])
    name, day = person.name, person.birth_date.isoformat()
    if disguise == SPLIT:
        return (f"The patient is {name}.", f"Date of birth {day}.")
    if disguise == IN_CHART:
        given, _, family = name.rpartition(" ")
        names = [{"use": "official", "family": family, "given": given.split()}]
        return (json.dumps({"resourceType": "Patient", "gender": "unknown", "birthDate": day, "name": names}),)
    if disguise == "date form":
        return (born(name, date_form(person.birth_date, rng), rng),)
    if disguise == "name order":
        return (born(name_order(name, rng), date_form(person.birth_date, rng), rng),)
    if disguise == "initials":
        return (born(initials(name, rng), day, rng),)
    return _said(disguise, born(name, day, rng), rng)


def _tuple(disguise: str, item: HeldOut, rng: Random) -> tuple[str, ...]:
    """The parameters of a case with its answer, in prose or as members of an object."""
    facts = list(item.parameters)
    if disguise == "another order":
        rng.shuffle(facts)
    told = "; ".join(facts)
    if disguise == SPLIT:
        return (f"Given are {told}.", f"The answer is {item.answer}.")
    if disguise == "as JSON":
        return (json.dumps({"inputs": {f"p{n}": fact for n, fact in enumerate(facts)}, "expected": item.answer}),)
    prose = f"Case: {told}. Answer: {item.answer}."
    if disguise == "JSON escapes":
        return (json_escapes(prose, rng),)
    return (prose.upper() if disguise == "case" else prose,)


def _resource(disguise: str, raw: str, rng: Random) -> str:
    """The body in another form, all of what it says of the patient kept."""
    value: dict[str, Any] = loads(raw)
    if disguise == "another id":
        value = {**value, "id": f"x{rng.getrandbits(64):x}", "meta": {"versionId": "7"}}
    if disguise in ("another order", "another id"):
        members = list(value.items())
        rng.shuffle(members)
        value = dict(members)
    if disguise == "indented":
        return json.dumps(json.loads(raw), indent=2)
    text = dumps(value)
    return json.dumps({"tool": "read", "content": json.dumps(text)}) if disguise == "in a string" else text
