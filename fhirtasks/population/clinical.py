"""The clinical tables of the embedded population: analytes, vital signs, conditions, admissions, medications, sites.

Every figure is data in ``clinical.json``, beside the publication it follows (``sources``). Prevalences are those of
people who were in hospital, on purpose: the tasks need repeated results and low electrolytes in many charts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Measure:
    """A laboratory analyte or a vital sign; ``mean`` and spreads (standard deviations) hold without conditions.

    ``between`` is the spread between people, ``within`` between results of one person; ``low`` and ``high`` are the
    adult reference interval as printed; ``limits`` are values at or next to which care changes, met a little more often
    than by chance.
    """

    key: str
    loinc: str
    display: str
    text: str
    unit: str
    ucum: str
    decimals: int
    mean: float
    between: float
    within: float
    low: str = ""
    high: str = ""
    floor: float = 0.0
    ceiling: float = 1e9
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Medication:
    """A drug product (RxNorm) and how it is taken."""

    rxnorm: str
    display: str
    text: str
    dose: str
    unit: str
    route: tuple[str, str]
    every_hours: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A chronic condition: ``shifts`` moves a measure's personal mean by (mean, spread)."""

    key: str
    icd10: tuple[str, str]
    snomed: tuple[str, str]
    prevalence: float
    from_age: int
    medications: tuple[Medication, ...]
    shifts: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Admission:
    """A reason for a stay; ``courses`` gives the range of an analyte's first value, which then returns to the own."""

    key: str
    needs: str | None
    weight: int
    days: tuple[int, int]
    icd10: tuple[str, str]
    snomed: tuple[str, str]
    courses: dict[str, tuple[float, float]]
    glucose: str
    orders: tuple[Medication, ...]
    procedure: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Site:
    """A hospital that writes times with one fixed offset. ``wards`` are ward, emergency department, clinic."""

    name: str
    city: str
    state: str
    offset_hours: int
    wards: tuple[str, str, str]
    staff: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything in ``clinical.json``."""

    analytes: dict[str, Measure]
    vitals: dict[str, Measure]
    conditions: tuple[Condition, ...]
    admissions: tuple[Admission, ...]
    allergies: tuple[tuple[str, str, str], ...]
    vaccines: tuple[tuple[str, str], ...]
    sites: tuple[Site, ...]


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables, read once."""
    data = orjson.loads(files("fhirtasks.population").joinpath("clinical.json").read_bytes())
    routes = {name: _pair(value) for name, value in data["routes"].items()}
    drugs = {name: Medication(**{**row, "route": routes[row["route"]]}) for name, row in data["medications"].items()}
    return Tables(
        analytes={key: _measure(key, row) for key, row in data["analytes"].items()},
        vitals={key: _measure(key, row) for key, row in data["vitals"].items()},
        conditions=tuple(
            Condition(
                key=key,
                icd10=_pair(row["icd10"]),
                snomed=_pair(row["snomed"]),
                prevalence=row["prevalence"],
                from_age=row["from_age"],
                medications=tuple(drugs[name] for name in row["medications"]),
                shifts={name: (float(shift[0]), float(shift[1])) for name, shift in row["shifts"].items()},
            )
            for key, row in data["conditions"].items()
        ),
        admissions=tuple(
            Admission(
                key=key,
                needs=row["needs"],
                weight=row["weight"],
                days=(row["days"][0], row["days"][1]),
                icd10=_pair(row["icd10"]),
                snomed=_pair(row["snomed"]),
                courses={name: (float(span[0]), float(span[1])) for name, span in row["courses"].items()},
                glucose=row["glucose"],
                orders=tuple(drugs[name] for name in row["orders"]),
                procedure=_pair(row["procedure"]) if row["procedure"] else None,
            )
            for key, row in data["admissions"].items()
        ),
        allergies=tuple((row[0], row[1], row[2]) for row in data["allergies"]),
        vaccines=tuple(_pair(row) for row in data["vaccines"]),
        sites=tuple(
            Site(**{**row, "wards": tuple(row["wards"]), "staff": tuple(_pair(name) for name in row["staff"])})
            for row in data["sites"]
        ),
    )


def _measure(key: str, row: dict[str, Any]) -> Measure:
    kept = {name: value for name, value in row.items() if name not in ("source", "limits")}
    return Measure(key=key, limits=tuple(row.get("limits", ())), **kept)


def _pair(row: list[str]) -> tuple[str, str]:
    return row[0], row[1]
