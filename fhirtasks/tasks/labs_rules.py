"""Dosing rules, thresholds, ages and order codes of the labs families: clinical data, each with its source.

Magnesium: Kraft MD et al., Treatment of electrolyte disorders in adult patients in the intensive care unit, Am J Health
Syst Pharm 2005;62:1663-82: 1 to 4 g magnesium sulfate IV for 1.0 to 1.5 mg/dL, 4 to 8 g below 1.0 mg/dL, no faster than
1 g/h; the usual lower reference limit is 1.6 to 1.9 mg/dL. The first rule is the one of MedAgentBench (Jiang et al.,
NEJM AI 2025).
Potassium: Cohn JN et al., New guidelines for potassium replacement in clinical practice, Arch Intern Med
2000;160:2429-36: replace below 3.5 mmol/L, keep 4.0 in heart disease; a fall of 0.3 mmol/L stands for about 100 mmol,
and 10 mEq by mouth per 0.1 is the common bedside rule (also MedAgentBench's). No dose above 120 mEq is asked for.
A1C: American Diabetes Association, Standards of Care in Diabetes 2024, section 6: at least twice a year in stable
patients; MedAgentBench and many hospital protocols accept a result of the past year.
Codes: RxNorm ingredients (NLM), ATC (WHO), NDC as MedAgentBench orders them, LOINC, SNOMED CT International.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

NDC = "http://hl7.org/fhir/sid/ndc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"


@dataclass(frozen=True, slots=True)
class MagnesiumRule:
    """Thresholds in mg/dL, doses in g, infusion times in h, as prompts write them."""

    low_at_or_below: str
    moderate_below: str
    severe_below: str
    mild: tuple[str, str]
    moderate: tuple[str, str]
    severe: tuple[str, str]

    def slots(self) -> dict[str, str]:
        """The rule as prompts and graders are told it."""
        return {
            "low_at_or_below": self.low_at_or_below, "moderate_below": self.moderate_below,
            "severe_below": self.severe_below, "mild_dose": self.mild[0], "mild_hours": self.mild[1],
            "moderate_dose": self.moderate[0], "moderate_hours": self.moderate[1],
            "severe_dose": self.severe[0], "severe_hours": self.severe[1],
        }  # fmt: skip

    def tier(self, value: Decimal) -> tuple[str, str] | None:
        """(dose, hours) for a value, None if it is normal."""
        if value < Decimal(self.severe_below):
            return self.severe
        if value < Decimal(self.moderate_below):
            return self.moderate
        return self.mild if value <= Decimal(self.low_at_or_below) else None


MAGNESIUM_RULES = (
    MagnesiumRule("1.9", "1.5", "1.0", ("1", "1"), ("2", "2"), ("4", "4")),
    MagnesiumRule("1.9", "1.5", "1.0", ("1", "1"), ("3", "3"), ("6", "6")),
    MagnesiumRule("1.9", "1.5", "1.0", ("2", "2"), ("4", "4"), ("6", "8")),
    MagnesiumRule("1.8", "1.5", "1.0", ("1", "2"), ("2", "4"), ("4", "8")),
    MagnesiumRule("1.8", "1.4", "1.0", ("1", "1"), ("2", "2"), ("4", "4")),
    MagnesiumRule("1.7", "1.4", "1.0", ("2", "2"), ("3", "4"), ("5", "6")),
)
MAGNESIUM_UNITS = ("mg/dL",)
MAGNESIUM_FLOOR = Decimal("0.6")
"""Below this no value is made up."""

MAGNESIUM_DRUGS = ((NDC, "0338-1715-40"), (RXNORM, "6585"), (ATC, "B05XA05"), (SNOMED, "387202002"))
"""Magnesium sulfate. The first is what compat orders."""

MAGNESIUM_ROUTES = ("IV", "intravenous")


@dataclass(frozen=True, slots=True)
class PotassiumRule:
    """``step_dose`` mEq for every ``step`` mmol/L below ``threshold``, as prompts write them."""

    threshold: str
    step: str
    step_dose: str

    def slots(self) -> dict[str, str]:
        """The rule as prompts and graders are told it."""
        return {"threshold": self.threshold, "step": self.step, "step_dose": self.step_dose}

    def dose(self, value: Decimal) -> Decimal:
        """mEq, unrounded."""
        return (Decimal(self.threshold) - value) / Decimal(self.step) * Decimal(self.step_dose)


POTASSIUM_RULES = (
    PotassiumRule("3.5", "0.1", "10"),
    PotassiumRule("3.5", "0.2", "20"),
    PotassiumRule("3.5", "0.1", "8"),
    PotassiumRule("3.6", "0.1", "10"),
    PotassiumRule("3.8", "0.2", "15"),
    PotassiumRule("4.0", "0.1", "10"),
)
POTASSIUM_UNITS = ("mmol/L", "mEq/L", "meq/L")
POTASSIUM_DEPTH = Decimal("1.2")
"""How far below the threshold values may lie: deeper is an emergency, not an oral dose."""

POTASSIUM_DRUGS = ((NDC, "40032-917-01"), (RXNORM, "8591"), (ATC, "A12BA01"), (SNOMED, "8631001"))
"""Potassium chloride. The first is what compat orders."""

POTASSIUM_RECHECKS = ((LOINC, "2823-3"), (LOINC, "6298-4"), (SNOMED, "59573005"))
"""Serum or blood potassium. The first is what compat orders."""

RECHECK_HOURS = (8, 6, 7)
"""The next morning's hour. The first is compat's."""

A1C_MONTHS = (12, 12, 12, 6)
A1C_UNITS = ("%",)
A1C_ORDERS = ((LOINC, "4548-4"), (LOINC, "17856-6"), (SNOMED, "43396009"))
"""Hemoglobin A1c. The first is what compat orders."""

WHEN_ABSENT = ("order the test", "order nothing")
"""The two rules of ``a1c_reorder`` for a patient without a result. Compat knows the first only."""
