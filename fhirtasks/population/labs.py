"""Laboratory values of one patient: a personal mean, and during a stay a course that returns to it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from fhirtasks.population.clinical import Admission, Condition, Measure, tables

SNAP_SHARE, SNAP_WITHIN = 0.15, 0.15
"""How often a value near a decision limit is exactly the limit, and how near (in the unit)."""
RELAPSE_SHARE = 0.4
EAG_SLOPE, EAG_OFFSET = 28.7, 46.7
"""Estimated average glucose from A1C (Nathan, Diabetes Care 2008)."""


class Levels:
    """A patient's own means of all measures, given the conditions; glucose follows A1C."""

    def __init__(self, rng: random.Random, conditions: list[Condition]) -> None:
        self.rng = rng
        measures = {**tables().vitals, **tables().analytes}
        self.own = {key: rng.gauss(measure.mean, measure.between) for key, measure in measures.items()}
        for condition in conditions:
            for key, (mean, spread) in condition.shifts.items():
                self.own[key] += rng.gauss(mean, spread)
        self.diabetic = any(condition.key == "diabetes" for condition in conditions)
        if self.diabetic:
            self.own["a1c"] = max(self.own["a1c"], 6.3)
            self.own["glucose"] = EAG_SLOPE * self.own["a1c"] - EAG_OFFSET

    def draw(self, measure: Measure, mean: float | None = None, spread: float = 1.0) -> float:
        """One value around ``mean`` (the patient's own by default), rounded as reported."""
        value = self.rng.gauss(self.own[measure.key] if mean is None else mean, measure.within * spread)
        for limit in measure.limits:
            if abs(value - limit) <= SNAP_WITHIN and self.rng.random() < SNAP_SHARE:
                value = limit
                break
        return round(min(max(value, measure.floor), measure.ceiling), measure.decimals)


@dataclass(slots=True)
class Course:
    """How an analyte runs during a stay: from ``start`` to ``own`` with time constant ``days``; one relapse or none."""

    start: float
    own: float
    days: float
    relapse_day: float
    relapse: float

    def at(self, day: float) -> float:
        """The expected value ``day`` days after admission."""
        value = self.own + (self.start - self.own) * math.exp(-day / self.days)
        if day > self.relapse_day:
            value += self.relapse * math.exp(-(day - self.relapse_day) / self.days)
        return value


def courses(levels: Levels, admission: Admission) -> dict[str, Course]:
    """The courses of a stay's disturbed analytes; starts lean to the low end of their range."""
    rng, found = levels.rng, {}
    for key, (low, high) in admission.courses.items():
        start = low + (high - low) * rng.random() ** 1.7
        own = levels.own[key]
        relapse = -abs(own - start) * rng.uniform(0.4, 1.0) if rng.random() < RELAPSE_SHARE else 0.0
        found[key] = Course(start, own, rng.uniform(0.7, 2.4), rng.uniform(1.5, 4.0), relapse)
    return found


def issued(rng: random.Random, taken: datetime) -> datetime:
    """When a result becomes known: half an hour to two and a half hours later; one in sixteen only the next day."""
    if rng.random() < 1 / 16:
        return taken + timedelta(minutes=rng.randint(480, 1800))
    return taken + timedelta(minutes=rng.randint(28, 150))


def meter_issued(rng: random.Random, taken: datetime) -> datetime:
    """When a bedside meter's or analyser's result is filed: 1 to 6 minutes later."""
    return taken + timedelta(minutes=rng.randint(1, 6))


def infusion_glucose(levels: Levels, hours: int) -> list[tuple[float, float]]:
    """(hour, mg/dL) on intravenous insulin: hourly, from 350-620 falling by 45-75 an hour to about 180.

    The target of 140 to 180 and the hourly checks follow ADA 2024, section 16; the fall follows Kitabchi 2009.
    """
    rng = levels.rng
    value, fall = rng.uniform(350, 620), rng.uniform(45, 75)
    rows = []
    for hour in range(hours):
        rows.append((hour + rng.uniform(-0.15, 0.15), float(round(max(58.0, value)))))
        value = value - fall if value > 230 else rng.gauss(180, 28)
        value += rng.gauss(0, 9)
    return rows


def ward_hours(rng: random.Random, diabetic: bool) -> list[float]:
    """Hours of the day (local) of bedside glucose: before meals and at bedtime for a diabetic, at times overnight."""
    if not diabetic:
        return []
    hours = [7.4, 11.8, 17.3, 21.6]
    if rng.random() < 0.35:
        hours.append(2.8)
    return [hour + rng.uniform(-0.5, 0.5) for hour in hours]
