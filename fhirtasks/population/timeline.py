"""One patient's years: clinic visits, emergency visits and stays, and what is measured, ordered and written at each."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from fhirtasks.population.clinical import Admission, Condition, tables
from fhirtasks.population.identities import Identity
from fhirtasks.population.labs import Levels, courses, infusion_glucose, issued, meter_issued, ward_hours
from fhirtasks.population.resources import CLINIC, EMERGENCY, WARD, Chart, day_start

EPOCH_FROM = datetime(2014, 1, 6)  # noqa: DTZ001 - naive UTC inside this room
EPOCH_TO = datetime(2024, 12, 1)  # noqa: DTZ001
"""Every event of the population lies between these: no wall clock."""
NEVER_A_LAB, NEVER_MAGNESIUM = 0.03, 0.07
POINT_OF_CARE = {"glucose": 0.10, "potassium": 0.12, "magnesium": 0.14, "a1c": 0.3}
"""Share of draws that a bedside analyser measures at the same moment as the laboratory."""


class Timeline:
    """Writes one patient's history into a chart."""

    def __init__(self, who: Identity, chart: Chart, rng: random.Random) -> None:
        self.who, self.chart, self.rng = who, chart, rng
        self.first = _early(rng, who)
        self.conditions = self._conditions()
        self.levels = Levels(rng, self.conditions)
        chance = rng.random()
        self.labs = chance >= NEVER_A_LAB
        self.magnesium = chance >= NEVER_MAGNESIUM
        self.screened = rng.random() < 0.5

    def write(self) -> None:
        """The whole history, oldest first."""
        self.chart.patient()
        visits = self._visit_times()
        gaps = [n for n in range(len(visits) - 1) if visits[n + 1] - visits[n] > timedelta(days=45)]
        stays = set(self.rng.sample(gaps, min(len(gaps), self.rng.choices((0, 1, 2, 3), (3, 33, 41, 23))[0])))
        reasons: list[str] = []
        for number, start in enumerate(visits):
            self._visit(start, first=number == 0)
            if number in stays:
                room = (visits[number + 1] - start).days
                self._stay(start + timedelta(days=self.rng.uniform(6, room - 22)), reasons)
            elif number in gaps and self.rng.random() < 0.12:
                self._emergency(start + timedelta(days=self.rng.uniform(5, 30)))

    def _conditions(self) -> list[Condition]:
        age = (self.first.date() - self.who.birth_date).days / 365.25
        known = [c for c in tables().conditions if age >= c.from_age - 5]
        return [condition for condition in known if self.rng.random() < condition.prevalence]

    def _visit_times(self) -> list[datetime]:
        times, when = [], self.first
        for _ in range(self.rng.randint(5, 12)):
            times.append(when)
            span = self.rng.choices(((55, 200), (200, 420), (420, 760)), (64, 22, 14))[0]
            day = when + timedelta(days=self.rng.randint(*span))
            while day.weekday() > 4:
                day += timedelta(days=1)
            when = _clinic_hour(self.rng, day)
            if when > EPOCH_TO - timedelta(days=40):
                break
        return times

    def _visit(self, start: datetime, first: bool) -> None:
        rng, chart = self.rng, self.chart
        end = start + timedelta(minutes=rng.randint(15, 45))
        encounter = chart.encounter("AMB", CLINIC, start, end)
        if first:
            self._problem_list(start, encounter)
        self._vitals(start + timedelta(minutes=rng.randint(2, 10)), encounter, full=True)
        if self.labs and rng.random() < (0.6 if first else 0.72):
            taken = start + timedelta(minutes=rng.randint(8, 30))
            for key in ("potassium", "sodium", "creatinine", "glucose"):
                self._lab(key, taken, encounter)
            if rng.random() < 0.4:
                self._lab("haemoglobin", taken, encounter)
            if self.magnesium and rng.random() < 0.25:
                self._lab("magnesium", taken, encounter)
            if rng.random() < (0.7 if self.levels.diabetic else 0.4 if self.screened else 0.0):
                self._lab("a1c", taken, encounter)
        if rng.random() < 0.18:
            chart.immunization(*rng.choice(tables().vaccines), end, encounter)

    def _problem_list(self, start: datetime, encounter: str) -> None:
        seen = set()
        for condition in self.conditions:
            onset = start - timedelta(days=self.rng.randint(30, 3000))
            chart, drugs = self.chart, condition.medications
            chart.condition(condition.icd10, condition.snomed, "problem-list-item", onset, start, None, encounter)
            for drug in drugs[: self.rng.randint(1, 2)]:
                if drug.rxnorm not in seen:
                    seen.add(drug.rxnorm)
                    chart.medication(drug, start + timedelta(minutes=self.rng.randint(5, 15)), encounter)
        if self.rng.random() < 0.3:
            self.chart.allergy(*self.rng.choice(tables().allergies), start)

    def _emergency(self, start: datetime, before_stay: bool = False) -> datetime:
        end = start + timedelta(minutes=self.rng.randint(150, 560))
        encounter = self.chart.encounter("EMER", EMERGENCY, start, end)
        self._vitals(start + timedelta(minutes=self.rng.randint(3, 15)), encounter, full=False)
        if self.labs and not before_stay:
            taken = start + timedelta(minutes=self.rng.randint(15, 60))
            for key in ("potassium", "sodium", "creatinine", "glucose", "haemoglobin"):
                self._lab(key, taken, encounter)
        return end

    def _stay(self, start: datetime, reasons: list[str]) -> None:
        rng, chart = self.rng, self.chart
        admission = self._reason(reasons)
        start = start.replace(second=0, microsecond=0)
        if rng.random() < 0.45:
            start = self._emergency(start, before_stay=True)
        end = _clinic_hour(rng, start + timedelta(days=rng.randint(*admission.days)))
        encounter = chart.encounter("IMP", WARD, start, end, admission.snomed)
        chart.condition(admission.icd10, admission.snomed, "encounter-diagnosis", start, start, end, encounter)
        for drug in admission.orders:
            chart.medication(drug, start + timedelta(minutes=rng.randint(20, 180)), encounter, until=end)
        if admission.procedure is not None:
            when = start + timedelta(minutes=rng.randint(60, 1400))
            chart.procedure(admission.procedure, when, rng.randint(10, 110), encounter)
        self._ward_vitals(start, end, encounter)
        if self.labs:
            self._panels(start, end, encounter, admission)
            self._bedside_glucose(start, end, encounter, admission)

    def _reason(self, reasons: list[str]) -> Admission:
        have = {condition.key for condition in self.conditions}
        fitting = [row for row in tables().admissions if row.needs is None or row.needs in have]
        fresh = [row for row in fitting if row.key not in reasons] or fitting
        admission = self.rng.choices(fresh, [row.weight for row in fresh])[0]
        reasons.append(admission.key)
        return admission

    def _panels(self, start: datetime, end: datetime, encounter: str, admission: Admission) -> None:
        """On arrival and every morning; disturbed potassium and magnesium are repeated until they have recovered."""
        rng, running = self.rng, courses(self.levels, admission)
        local = timedelta(hours=self.chart.site.offset_hours)
        morning = day_start((start + local).date()) - local
        draws = [start + timedelta(minutes=rng.randint(20, 110))]
        while (morning := morning + timedelta(days=1)) + timedelta(hours=7) < end:
            draws.append(morning + timedelta(minutes=rng.randint(285, 400)))
        for taken in draws:
            day = (taken - start) / timedelta(days=1)
            for key in ("potassium", "sodium", "creatinine", "glucose", "haemoglobin", "magnesium"):
                course = running.get(key)
                wanted = 0.97 if course or key in ("potassium", "creatinine") else 0.35 if key == "magnesium" else 0.6
                if (key == "magnesium" and not self.magnesium) or rng.random() > wanted:
                    continue
                value = self._lab(key, taken, encounter, course.at(day) if course else None)
                again = {"potassium": 3.6, "magnesium": 1.8}.get(key, 0.0)
                later = taken
                while course and value < again and rng.random() < 0.6:
                    later += timedelta(minutes=rng.randint(240, 600))
                    if later >= end:
                        break
                    later_day = (later - start) / timedelta(days=1)
                    value = self._lab(key, later, encounter, course.at(later_day))

    def _bedside_glucose(self, start: datetime, end: datetime, encounter: str, admission: Admission) -> None:
        rng, levels, glucose = self.rng, self.levels, tables().analytes["glucose"]
        begin = start + timedelta(minutes=rng.randint(10, 60))
        if admission.glucose == "infusion" or (levels.diabetic and rng.random() < 0.55):
            for hour, value in infusion_glucose(levels, rng.randint(21, 27)):
                taken = begin + timedelta(minutes=round(hour * 60))
                if taken < end:
                    self.chart.result(glucose, value, taken, meter_issued(rng, taken), encounter)
            begin += timedelta(hours=27)
        local = timedelta(hours=self.chart.site.offset_hours)
        day = day_start((begin + local).date()) - local
        mean = min(levels.own["glucose"], 210.0)
        while day < end:
            for hour in ward_hours(rng, levels.diabetic):
                taken = day + timedelta(minutes=round(hour * 60))
                if begin < taken < end:
                    value = levels.draw(glucose, mean, spread=3.2)
                    self.chart.result(glucose, value, taken, meter_issued(rng, taken), encounter)
            day += timedelta(days=1)

    def _lab(self, key: str, taken: datetime, encounter: str, mean: float | None = None) -> float:
        """One result, at times beside a bedside analyser's of the same moment; returns the laboratory's value."""
        rng, measure = self.rng, tables().analytes[key]
        value = self.levels.draw(measure, mean)
        self.chart.result(measure, value, taken, issued(rng, taken), encounter)
        if rng.random() < POINT_OF_CARE.get(key, 0.0):
            beside = self.levels.draw(measure, value, spread=0.8)
            self.chart.result(measure, beside, taken, meter_issued(rng, taken), encounter)
        return value

    def _ward_vitals(self, start: datetime, end: datetime, encounter: str) -> None:
        taken = start + timedelta(minutes=self.rng.randint(5, 40))
        while taken < end:
            self._vitals(taken, encounter, full=False)
            taken += timedelta(minutes=self.rng.randint(1080, 1560))

    def _vitals(self, taken: datetime, encounter: str, full: bool) -> None:
        chart, levels, vitals = self.chart, self.levels, tables().vitals
        systolic, diastolic = levels.draw(vitals["systolic"]), levels.draw(vitals["diastolic"])
        pair = (vitals["systolic"], systolic), (vitals["diastolic"], min(diastolic, systolic - 12))
        chart.blood_pressure(vitals["blood_pressure"], *pair, taken, encounter)
        keys = ["heart_rate", "temperature", "oxygen_saturation"]
        keys = [*keys, "weight", "height"] if full else keys
        for key in keys:
            if self.rng.random() < 0.9:
                value = levels.draw(vitals[key])
                chart.vital(vitals[key], min(value, 100.0) if key == "oxygen_saturation" else value, taken, encounter)


def _early(rng: random.Random, who: Identity) -> datetime:
    """The first visit: an adult's, in the first five years of the epoch."""
    adult = day_start(who.birth_date.replace(day=1)) + timedelta(days=round(18.2 * 365.25))
    first = max(EPOCH_FROM, adult) + timedelta(days=rng.randint(0, 1500))
    while first.weekday() > 4:
        first += timedelta(days=1)
    return _clinic_hour(rng, first)


def _clinic_hour(rng: random.Random, day: datetime) -> datetime:
    """A minute of the working day (13:00 to 21:59 UTC, which is daytime at every site)."""
    return day.replace(hour=rng.randint(13, 21), minute=rng.randint(0, 59), second=0, microsecond=0)
