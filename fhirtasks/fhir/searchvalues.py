"""What a search parameter finds in a resource: token and reference keys, normalised strings, ranges of time."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

from fhirtasks.fhir.dates import BEGINNING, END, parse_range
from fhirtasks.fhir.jsontext import Json
from fhirtasks.fhir.references import parse_reference
from fhirtasks.fhir.searchparams import SearchParam


def elements(resource: Json, param: SearchParam) -> list[Json]:
    """The elements that a parameter looks at, in the resource's order."""
    found: list[Json] = []
    for path in param.paths:
        level: list[Json] = [resource]
        for name, condition in path:
            below: list[Json] = []
            for node in level:
                item = node.get(name) if isinstance(node, dict) else None
                if item is None:
                    continue
                below.extend(item if isinstance(item, list) else (item,))
            if condition:
                below = [node for node in below if isinstance(node, dict) and node.get(condition[0]) == condition[1]]
            level = below
        found.extend(level)
    return found


def token_key(system: str | None, code: str | None) -> str:
    """What a search for ``system|code`` looks up; a system of None asks for any, a code of None for any of the
    system's."""
    if system is None:
        return f"\0{code}"
    return f"{system}|{code}" if code is not None else f"\1{system}"


def tokens(item: Json) -> Iterator[str]:
    """The token keys of a CodeableConcept, Coding, Identifier, ContactPoint, code or boolean."""
    if isinstance(item, bool):
        item = "true" if item else "false"
    if isinstance(item, str):
        yield token_key("", item)
        yield token_key(None, item)
    elif isinstance(item, dict):
        if "coding" in item:
            for coding in _list(item["coding"]):
                yield from tokens(coding)
            return
        code = item.get("code", item.get("value"))
        system = item.get("system")
        system = system if isinstance(system, str) else ""
        if isinstance(code, str):
            yield token_key(system, code)
            yield token_key(None, code)
        if system:
            yield token_key(system, None)


def token_texts(item: Json) -> Iterator[str]:
    """What ``:text`` searches: CodeableConcept.text, Coding.display, Identifier.type.text, normalised."""
    if isinstance(item, dict):
        for text in (item.get("text"), item.get("display")):
            if isinstance(text, str):
                yield normalised(text)
        for coding in _list(item.get("coding")):
            yield from token_texts(coding)
        if isinstance(item.get("type"), dict):
            yield from token_texts({"text": item["type"].get("text")})


def ranges(item: Json) -> Iterator[tuple[int, int]]:
    """[low, high) of a date, dateTime, instant, Period or Timing, in µs; an open end of a Period reaches for ever."""
    if isinstance(item, str):
        if (span := parse_range(item)) is not None:
            yield span
    elif isinstance(item, dict) and ("event" in item or "repeat" in item):
        for event in _list(item.get("event")):
            yield from ranges(event)
        if isinstance(item.get("repeat"), dict):
            yield from ranges(item["repeat"].get("boundsPeriod"))
    elif isinstance(item, dict):
        start, end = (parse_range(v) if isinstance(v := item.get(side), str) else None for side in ("start", "end"))
        if start or end:
            yield start[0] if start else BEGINNING, end[1] if end else END


def strings(item: Json) -> Iterator[str]:
    """The strings of a string, HumanName or Address: every part is searched by itself."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, list):
        for part in item:
            yield from strings(part)
    elif isinstance(item, dict):
        for name in (
            "text",
            "family",
            "given",
            "prefix",
            "suffix",
            "line",
            "city",
            "district",
            "state",
            "postalCode",
            "country",
        ):
            yield from strings(item.get(name))


def references(item: Json) -> Iterator[str]:
    """Reference keys: ``Type/id`` where the type is written, ``\\0id`` always, ``\\2id`` where only the id is known
    (urn)."""
    text = item.get("reference") if isinstance(item, dict) else item
    if not isinstance(text, str):
        return
    if text.startswith("urn:"):
        id = text.rpartition(":")[2]
        yield f"\0{id}"
        yield f"\2{id}"
        return
    reference = parse_reference(text)
    if reference.id is not None and reference.type is not None:
        yield f"{reference.type}/{reference.id}"
        yield f"\0{reference.id}"
    yield f"\3{text}"


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


@lru_cache(maxsize=65_536)
def normalised(text: str) -> str:
    """For string search: case and accents set aside (R4: "case and accent insensitive")."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


_EXTRACT: dict[str, Callable[[Json], Iterator[str] | Iterator[tuple[int, int]]]] = {
    "token": tokens,
    "string": lambda item: map(normalised, strings(item)),
    "date": ranges,
    "reference": references,
    "patient": references,
    ":text": token_texts,
    ":exact": strings,
}


def values(resource: Json, param: SearchParam, form: str = "") -> tuple[str, ...] | tuple[tuple[int, int], ...]:
    """What a parameter finds in a resource: token or reference keys, normalised strings, or ranges.

    ``form`` is ``:text`` for a token's texts, ``:exact`` for strings as they are.
    """
    extract = _EXTRACT[form or param.kind]
    return tuple(value for item in elements(resource, param) for value in extract(item))  # type: ignore[return-value]
