"""How people, and dates of birth, are written."""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Final

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def date_form(day: date, rng: Random) -> str:
    """A date in one of the forms in use."""
    year, month, number, name = day.year, day.month, day.day, _MONTHS[day.month - 1]
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    forms = (
        f"{month:02d}/{number:02d}/{year}", f"{month}/{number}/{year}", f"{number:02d}.{month:02d}.{year}",
        f"{number:02d}/{month:02d}/{year}", f"{month:02d}-{number:02d}-{year}", f"{year}/{month:02d}/{number:02d}",
        f"{year}{month:02d}{number:02d}", f"{year}.{month}.{number}", f"{number} {name[:3]} {year}",
        f"{number:02d}-{name[:3].upper()}-{year}", f"{name} {number}, {year}", f"{name[:3]}. {number}{ending}, {year}",
        f"{number}{ending} of {name} {year}", f"{number} {name.lower()} {year}", f"{year}-{month:02d}-{number:02d}T00:00:00Z",
        f"{year} {name[:3]} {number:02d}",
    )  # fmt: skip
    return rng.choice(forms)


def name_order(name: str, rng: Random) -> str:
    """The family name first, or a further given name between."""
    given, _, family = name.rpartition(" ")
    return rng.choice((f"{family}, {given}", f"{family} {given}", f"{family.upper()}, {given}", f"{given} Q. {family}"))


def initials(name: str, rng: Random) -> str:
    """The given names as initials."""
    given, _, family = name.rpartition(" ")
    letters = [part[0] for part in given.split()]
    return rng.choice(
        (f"{'. '.join(letters)}. {family}", f"{family}, {'.'.join(letters)}.", f"{' '.join(letters)} {family}")
    )


def born(name: str, day: str, rng: Random) -> str:
    """A name beside a date of birth."""
    forms = (
        "{}, born {}",
        "{} ({})",
        "{}, DOB {}",
        "{} | {}",
        "Name: {}\nDate of birth: {}",
        "patient {}, birth date {}",
    )
    return rng.choice(forms).format(name, day)
