"""Holdouts that their owner does not show: slow hashes of identities, parameter tuples and whole texts.

A sealed file holds no text of a benchmark. What an auditor finds in a dataset is brought to a normal form, hashed in the
same slow way, and compared. So only what stands there openly is found: case, accents, look-alikes, white space,
punctuation and leading zeros do not matter, but nothing is decoded, and no part of a text is known.

Against somebody who tries all record numbers a slow hash buys time, a key (a secret that owner and auditor share) is
what protects. Without one, the salt follows from the contents, so that the same holdouts are sealed into the same file.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from fhirtasks.benchmarks.holdouts import SEALED
from fhirtasks.benchmarks.phrases import parameters_in, people_in
from fhirtasks.errors import UserError
from fhirtasks.leakage.charts import resources_in
from fhirtasks.leakage.folding import name_words, normalised, squeezed
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Match
from fhirtasks.leakage.parameters import row_values, value
from fhirtasks.population.taskfile import Person, dates_in

VERSION: Final = 1
COST: Final = {"name": "scrypt", "n": 1024, "r": 8, "p": 1}
"""One mebibyte and two to three milliseconds per guess."""
CACHE: Final = 1 << 18
"""Candidates whose hashes are remembered: equal ones cost once."""
LONGEST: Final = 4_000
"""Characters of a text in which people and parameters are looked for; longer ones are replies, read as FHIR."""

_KINDS: Final = ("identifier", "person", "parameters", "text")
_TOKEN: Final = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")
_BIRTH: Final = re.compile(r"birth|born|d\.?o\.?b", re.IGNORECASE)
_LABEL: Final = re.compile(r"^[\w ]{1,30}:\s+")
_ANSWER: Final = re.compile(r"FINISH\((.*)\)", re.DOTALL)


def seal(holdouts: Holdouts, key: bytes | None = None) -> dict[str, Any]:
    """The sealed file's JSON value: how it was hashed, the policy, the forms of identifiers and texts, the hashes, sorted."""
    salt = hashlib.sha256(f"fhirtasks sealed holdouts {holdouts.digest}".encode()).hexdigest()[:32]
    hashed = _hasher({**COST, "salt": salt, "keyed": key is not None}, key)
    found: dict[str, set[str]] = {
        "identifier": {form for text in holdouts.identifiers if len(form := identifier_form(text)) > 3},
        "person": {form for person in holdouts.people if (form := _person_form(person))},
        "parameters": set(),
        "text": {form for item in holdouts.items for text in item.texts if (form := normalised(text))},
    }
    for item in holdouts.items:
        values = frozenset(filter(None, map(value, item.parameters)))
        if item.answer is not None and len(values) > 1:
            answer = value(item.answer)
            found["parameters"].add(_tuple_form(values - {answer}, answer))
    return {
        SEALED: VERSION,
        "hash": {**COST, "salt": salt, "keyed": key is not None},
        "holdouts": {"digest": holdouts.digest, "items": holdouts.counts},
        "policy": holdouts.policy.as_json(),
        "forms": {
            "identifier": sorted(set(map(_shape, found["identifier"]))),
            "parameters": sorted({form.count("|") + 1 for form in found["parameters"]}),
            "text": sorted({form.count(" ") + 1 for form in found["text"]}),
        },
        "hashes": {kind: sorted(hashed(kind, form) for form in forms) for kind, forms in found.items()},
    }


def open_sealed(sealed: dict[str, Any], key: bytes | None = None) -> KeyedHoldouts:
    """The holdouts of a sealed file. UserError for another format, and where its key is missing."""
    try:
        how, forms, hashes = dict(sealed["hash"]), dict(sealed["forms"]), dict(sealed["hashes"])
        if sealed[SEALED] != VERSION or how["name"] != COST["name"]:
            raise UserError("The sealed holdouts are of another version; seal them again with this one.")
        known = {kind: frozenset(map(str, hashes[kind])) for kind in _KINDS}
        bounds = [int(how[name]) for name in ("n", "r", "p")]
        bytes.fromhex(how["salt"])
        shapes, sizes, lengths = (frozenset(forms[kind]) for kind in ("identifier", "parameters", "text"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError("The sealed holdouts are damaged or no sealed file; get the file again.") from None
    if not (1 < bounds[0] <= 1 << 17 and 1 <= bounds[1] <= 16 and 1 <= bounds[2] <= 4):
        raise UserError("The sealed holdouts ask for a hash beyond reason; get the file again from its owner.")
    if how.get("keyed") and key is None:
        raise UserError("The holdouts were sealed with a key; ask their owner for it and give it.")
    if not how.get("keyed") and key is not None:
        raise UserError("The holdouts were sealed without a key; leave the key out.")
    return KeyedHoldouts(_hasher(how, key), known, shapes, sizes, lengths)


class KeyedHoldouts:
    """Sealed holdouts that can be looked for in rows."""

    def __init__(
        self,
        hashed: Callable[[str, str], str],
        known: dict[str, frozenset[str]],
        shapes: frozenset[str],
        sizes: frozenset[int],
        lengths: frozenset[int],
    ) -> None:
        self._hash, self._known = hashed, known
        self._shapes, self._sizes, self._lengths = shapes, sizes, lengths
        self._cache: dict[tuple[str, str], bool] = {}
        self._words: dict[str, str] = {}

    def find(self, texts: str | Sequence[str]) -> list[Match]:
        """What is held out and stands openly in these texts, all of one row."""
        texts = (texts,) if isinstance(texts, str) else texts
        found: dict[tuple[str, str], Match] = {}
        for kind, form, text, start, end in self._candidates(texts):
            if (kind, form) not in found and self._is_known(kind, form):
                matcher = "normalised" if kind == "text" else kind
                item = f"sealed {kind} {self._hash(kind, form)[:12]}"
                found[kind, form] = Match(matcher, item, text, start, end, "its keyed hash", True)
        return sorted(found.values(), key=lambda match: (match.matcher, match.item))

    def _candidates(self, texts: Sequence[str]) -> Iterator[tuple[str, str, int, int, int]]:
        """(kind, normal form, text, start, end) of everything that could be held out."""
        for number, text in enumerate(texts):
            if self._shapes:
                for token in _TOKEN.finditer(text):
                    form = self._identifier(token.group())
                    if form:
                        yield "identifier", form, number, *token.span()
            if self._known["person"] and _BIRTH.search(text):
                for person in _people(text):
                    yield "person", _person_form(person), number, 0, len(text)
            for start, end in _passages(text) if self._lengths else ():
                form = normalised(text[start:end])
                if form and form.count(" ") + 1 in self._lengths:
                    yield "text", form, number, start, end
        if self._sizes:
            for form in self._tuples(texts):
                yield "parameters", form, 0, 0, 0

    def _identifier(self, token: str) -> str:
        """The normal form of a word that looks like one of the identifiers, else nothing."""
        form = self._words.get(token)
        if form is None:
            if len(self._words) >= CACHE:
                self._words.clear()
            form = identifier_form(token)
            form = self._words[token] = form if _shape(form) in self._shapes else ""
        return form

    def _tuples(self, texts: Sequence[str]) -> Iterator[str]:
        answers = {value(answer) for text in texts[-3:] for answer in (text, *_ANSWER.findall(text)) if len(text) < 200}
        stated = row_values(texts)
        tuples = [stated] if stated else []
        for text in texts:
            if len(text) < LONGEST:
                tuples.append(frozenset(filter(None, map(value, parameters_in(text)))))
        for values in tuples:
            for answer in answers | stated if values is stated else answers:
                if len(values - {answer}) + 1 in self._sizes and answer:
                    yield _tuple_form(values - {answer}, answer)

    def _is_known(self, kind: str, form: str) -> bool:
        known = self._cache.get((kind, form))
        if known is None:
            if len(self._cache) >= CACHE:
                self._cache.clear()
            known = self._cache[kind, form] = self._hash(kind, form) in self._known[kind]
        return known


def identifier_form(text: str) -> str:
    """An identifier's normal form: folded letters and digits, without the zeros before its digits."""
    return re.sub(r"^([a-z]*)0+(?=\d{5})", r"\1", squeezed(text))


def _hasher(how: dict[str, Any], key: bytes | None) -> Callable[[str, str], str]:
    salt = bytes.fromhex(how["salt"])

    def hashed(kind: str, form: str) -> str:
        data = f"{kind}\n{form}".encode()
        if key is not None:
            data = hmac.digest(key, data, "sha256")
        memory = 256 * int(how["n"]) * int(how["r"])
        return hashlib.scrypt(
            data, salt=salt, n=int(how["n"]), r=int(how["r"]), p=int(how["p"]), maxmem=memory + (1 << 20), dklen=16
        ).hex()

    return hashed


def _shape(form: str) -> str:
    """What an identifier looks like: ``s6534835`` -> ``a9999999``; of long hexadecimal ones only the length."""
    if len(form) >= 16 and re.fullmatch("[0-9a-f]+", form):
        return f"hex {len(form)}"
    return re.sub("[a-z]", "a", re.sub(r"\d", "9", form))


def _person_form(person: Person) -> str:
    """Given and family name in one order, with the birth date; empty for a single name."""
    full = [word for word in name_words(person.name) if len(word) > 1]
    return " ".join([*sorted({full[0], full[-1]}), person.birth_date.isoformat()]) if len(full) > 1 else ""


def _tuple_form(values: Iterable[str], answer: str) -> str:
    return "|".join([*sorted(values), f"= {answer}"])


@lru_cache(maxsize=1 << 12)
def _people(text: str) -> tuple[Person, ...]:
    """Who stands in a text with a birth date: in FHIR's Patients, or in prose."""
    return tuple(dict.fromkeys(_people_of(text)))


def _people_of(text: str) -> Iterator[Person]:
    if '"birthDate"' in text:
        for resource, _, _ in resources_in(text):
            names = resource.get("name")
            for _, _, days in dates_in(str(resource.get("birthDate"))):
                for name in names if isinstance(names, list) else ():
                    if isinstance(name, dict):
                        given = name.get("given")
                        parts = [*(given if isinstance(given, list) else ()), name.get("family")]
                        for whole in (" ".join(part for part in parts if isinstance(part, str)), name.get("text")):
                            if isinstance(whole, str) and whole:
                                yield from (Person(whole, day) for day in days)
    if len(text) < LONGEST:
        yield from people_in(text)


def _passages(text: str) -> Iterator[tuple[int, int]]:
    """Where a whole held-out text can stand: the text, each line of it, and what follows a label ("Question:")."""
    yield 0, len(text)
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        if len(line) < len(text):
            yield start, end
        label = _LABEL.match(line)
        if label is not None:
            yield start + label.end(), end
        start = end + 1
