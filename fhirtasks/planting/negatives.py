"""What looks like a leak and is none: the benchmark's own sentences about other patients, days and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from random import Random
from typing import Final

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.planting.disguises import ANYWHERE, OF_NUMBERS
from fhirtasks.planting.people import born, date_form, name_order
from fhirtasks.population.identities import faker_of, first_name
from fhirtasks.population.taskfile import Person, dates_in

_BARE: Final = re.compile(r"[^a-z0-9]")


class Strangers:
    """Makes identities that no held-out item has, and puts them in the place of those that it has."""

    def __init__(self, items: Sequence[HeldOut]) -> None:
        self._identifiers = {form for item in items for text in item.identifiers for form in _forms(text)}
        self._people = {
            (_parts(who.name), day) for item in items for who in item.people for day in _readings(who.birth_date)
        }
        self._phones = {re.sub(r"\D", "", text)[-10:] for item in items for text in item.phones}

    def identifier(self, like: str, rng: Random) -> str:
        """An identifier of the same form, now and then with one digit changed only, that is nobody's who is held out."""
        while True:
            digits = [place for place, letter in enumerate(like) if letter.isdigit()]
            chosen = set(rng.sample(digits, 1)) if rng.random() < 0.2 else set(digits)
            text = "".join(
                str(rng.randrange(10)) if place in chosen
                else rng.choice("abcdef") if letter in "abcdef" and len(like) > 20 and len(chosen) > 1 else letter
                for place, letter in enumerate(like)
            )  # fmt: skip
            if not _forms(text) & self._identifiers:
                return text

    def person(self, like: Person, rng: Random) -> Person:
        """Another name, another birth date, or both; never a held-out person's."""
        while True:
            choice = rng.random()
            shift = timedelta(days=rng.choice((-1, 1)) * rng.randint(1, 20_000 if choice < 0.8 else 3))
            try:
                day = like.birth_date if 0.4 < choice < 0.6 else like.birth_date + shift
            except OverflowError:
                continue
            name = like.name if choice > 0.6 and choice < 0.9 else _name(rng)
            if (_parts(name), day) not in self._people:
                return Person(name, day)

    def phone(self, like: str, rng: Random) -> str:
        """A number of the same form."""
        while True:
            text = re.sub(r"\d", lambda _: str(rng.randrange(10)), like)
            if re.sub(r"\D", "", text)[-10:] not in self._phones:
                return text

    def sentence(self, item: HeldOut, text: str, rng: Random) -> str | None:
        """The item's own sentence about somebody else; None if it names nobody whom one could exchange."""
        changed = text
        for identifier in sorted(item.identifiers, key=len, reverse=True):
            changed = changed.replace(identifier, self.identifier(identifier, rng))
        for who in item.people:
            other = self.person(who, rng)
            if who.name not in changed:
                continue
            for start, end, readings in sorted(dates_in(changed), reverse=True):
                if who.birth_date in readings:
                    changed = changed[:start] + other.birth_date.isoformat() + changed[end:]
            changed = changed.replace(who.name, other.name)
        if changed == text or any(identifier in changed for identifier in item.identifiers):
            return None
        return _other_numbers(changed, rng) if rng.random() < 0.5 else changed


def negatives(items: Sequence[HeldOut], number: int, rng: Random) -> Iterator[str]:
    """So many texts that no matcher may call a leak, most of them in the words of the items themselves.

    Where items name nobody, the texts are about made-up people alone.
    """
    strangers = Strangers(items)
    makers: list[Callable[[], str | None]] = []
    worded = [(item, text) for item in items for text in item.texts if item.identifiers or item.people]
    identified = [text for item in items for text in item.identifiers if any(letter.isdigit() for letter in text)]
    people = [person for item in items for person in item.people]
    phones = [text for item in items for text in item.phones]

    def sentence() -> str | None:
        return strangers.sentence(*rng.choice(worded), rng)

    def identifier() -> str:
        return _worn(strangers.identifier(rng.choice(identified), rng), rng)

    def person() -> str:
        who = strangers.person(rng.choice(people), rng)
        name = name_order(who.name, rng) if rng.random() < 0.3 else who.name
        day = date_form(who.birth_date, rng) if rng.random() < 0.5 else who.birth_date.isoformat()
        return _worn(born(name, day, rng), rng)

    def phone() -> str:
        return _worn(strangers.phone(rng.choice(phones), rng), rng)

    def anybody() -> str:
        day = date(1930, 1, 1) + timedelta(days=rng.randrange(25_000))
        who = strangers.person(Person(_name(rng), day), rng)
        return born(who.name, who.birth_date.isoformat(), rng)

    makers += [sentence] * 4 if worded else []
    makers += [identifier] if identified else []
    makers += [person] if people else []
    makers += [phone] if phones else []
    makers = makers or [anybody]
    made = 0
    while made < number:
        text = rng.choice(makers)() or anybody()
        made += 1
        yield text


def _worn(text: str, rng: Random) -> str:
    """Now and then in a disguise: what is clean stays clean in any."""
    if rng.random() < 0.7:
        return text
    return rng.choice([*ANYWHERE.values(), *OF_NUMBERS.values()])(text, rng)


def _name(rng: Random) -> str:
    names = faker_of("en_US")
    names.seed_instance(rng.getrandbits(64))
    return f"{first_name(names, rng.choice(('female', 'male')))} {names.last_name()}"


def _other_numbers(text: str, rng: Random) -> str:
    """Another value in the place of those that stand alone, such as ``118/77``."""

    def other(match: re.Match[str]) -> str:
        return re.sub(r"\d", lambda digit: str(rng.randint(1, 9)), match.group())

    return re.sub(r"(?<![\w.-])\d{1,3}(?:[./]\d{1,3})?(?![\w.-])", other, text)


def _forms(identifier: str) -> set[str]:
    """The identifier without punctuation, and without letters and zeros before its digits: what either is, is held."""
    bare = _bare(identifier)
    return {bare, bare.lstrip("abcdefghijklmnopqrstuvwxyz0")} - {""}


def _parts(name: str) -> frozenset[str]:
    return frozenset(_bare(part) for part in name.split())


def _readings(day: date) -> list[date]:
    """The day, and the one that it becomes where day and month change places."""
    return [day, day.replace(month=day.day, day=day.month)] if day.day <= 12 else [day]


def _bare(text: str) -> str:
    return _BARE.sub("", text.lower())
