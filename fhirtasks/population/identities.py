"""Who the synthetic patients are: names and addresses from Faker, record numbers, birth dates, and planned near misses.

Patient ``index`` of a ``seed`` is the same person however many patients are asked for: everything about a patient is a
function of (seed, index). Four patients in twenty borrow from the one before, each in its own way, so that a search by
name alone or by birth date alone meets more than one person; one in twenty is born on 29 February.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

BORN_FROM, BORN_TO = date(1930, 1, 1), date(1998, 12, 31)
LOCALES = ("en_US", "de_DE", "es_ES", "fr_FR", "sv_SE", "tr_TR", "pt_BR")
LOCALE_WEIGHTS = (62, 9, 11, 7, 4, 4, 3)
# S is left out because a public benchmark's record numbers begin with it; I and O because they read as digits.
MRN_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Identity:
    """A patient's demographics. ``mrn`` differs from ``id``; ``member`` is a second identifier, an insurer's."""

    id: str
    mrn: str
    member: str
    given: tuple[str, ...]
    family: str
    gender: str
    birth_date: date
    street: str
    city: str
    state: str
    postcode: str
    phone: str


def seeded(*parts: object) -> int:
    """A 128-bit seed from a hash of the parts: equal in every process and Python version."""
    text = "fhirtasks.population|" + "|".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def uuid_text(bits: int) -> str:
    """128 bits written as a version 4 UUID."""
    text = f"{bits & (1 << 128) - 1:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def identity(seed: int, index: int) -> Identity:
    """Patient ``index`` (from 0) of ``seed``."""
    own = _own(seed, index)
    kind = index % 20
    if kind not in (3, 8, 13, 18):
        return own
    other = _own(seed, index - 1)
    rng = random.Random(seeded(seed, index, "near miss"))
    if kind == 3:  # the same full name, born days apart
        shift = timedelta(days=rng.randint(1, 9) * rng.choice((-1, 1)))
        return replace(
            own, given=other.given, family=other.family, gender=other.gender, birth_date=other.birth_date + shift
        )
    if kind == 8:  # the same birth date, a name one letter away
        return replace(
            own,
            given=other.given,
            family=_one_letter_away(other.family),
            gender=other.gender,
            birth_date=other.birth_date,
        )
    if kind == 13:  # the same full name, years apart
        return replace(own, given=other.given, family=other.family, gender=other.gender)
    return replace(own, family=other.family, birth_date=other.birth_date)  # the same family name and birth date


def _own(seed: int, index: int) -> Identity:
    rng = random.Random(seeded(seed, index, "identity"))
    gender = rng.choice(("female", "male"))
    names = faker_of(rng.choices(LOCALES, LOCALE_WEIGHTS)[0])
    names.seed_instance(rng.getrandbits(64))
    given = [first_name(names, gender)]
    family = str(names.last_name())
    if rng.random() < 0.22:
        middle = first_name(names, gender)
        given.append(middle if rng.random() < 0.6 else middle[0] + ".")
    if rng.random() < 0.06:
        second = faker_of(rng.choice(LOCALES[1:4]))
        second.seed_instance(rng.getrandbits(64))
        family = f"{family}-{second.last_name()}"
    home = faker_of("en_US")
    home.seed_instance(rng.getrandbits(64))
    born = BORN_FROM + timedelta(days=rng.randrange((BORN_TO - BORN_FROM).days + 1))
    if index % 20 == 10:  # the birthday that most years lack
        born = date(born.year // 4 * 4, 2, 29)
    return Identity(
        id=uuid_text(rng.getrandbits(128)),
        mrn=_mrn(seed, index),
        member=f"{rng.randrange(10**9, 10**10)}",
        given=tuple(given),
        family=family,
        gender=gender,
        birth_date=born,
        street=str(home.street_address()),
        city=str(home.city()),
        state=str(home.state_abbr()),
        postcode=str(home.postcode()),
        phone=f"({rng.randrange(201, 990)}) 555-{rng.randrange(100, 9999):04d}",
    )


@lru_cache(maxsize=16)
def faker_of(locale: str) -> Any:
    """One generator per locale, reseeded before each use; names drawn evenly, which is four times as fast."""
    from faker import Faker

    return Faker(locale, use_weighting=False)


def first_name(names: Any, gender: str) -> str:
    """A first name that goes with the gender."""
    return str(names.first_name_female() if gender == "female" else names.first_name_male())


def _mrn(seed: int, index: int) -> str:
    """A letter and seven digits, unique within the seed: index is permuted by an affine map over all such numbers."""
    space = len(MRN_LETTERS) * 10**7
    multiplier = seeded(seed, "mrn multiplier") % space | 1
    while multiplier % 5 == 0 or multiplier % len(MRN_LETTERS) == 0:
        multiplier += 2
    letter, digits = divmod((multiplier * index + seeded(seed, "mrn offset")) % space, 10**7)
    return f"{MRN_LETTERS[letter]}{digits:07d}"


def _one_letter_away(name: str) -> str:
    for old, new in (("z", "s"), ("y", "i"), ("k", "c"), ("ll", "l"), ("nn", "n"), ("th", "t"), ("o", "a")):
        if old in name[1:]:
            return name[0] + name[1:].replace(old, new, 1)
    return name + "e"
