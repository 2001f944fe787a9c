"""The laboratory analytes that tasks ask about, and the codes that records know them by: the one table of lab codes.

Sources: LOINC 2.77 (Regenstrief Institute, 2024) for the LOINC numbers, the 2019 to 2023 modules of Synthea
(synthetichealth/synthea) for the variants that it prints (6298-4, 2339-0, 2947-0, 2069-3, 20565-8, 6299-2, 38483-4,
49765-1); MIMIC-IV 2.2, table d_labitems (Johnson et al., Sci Data 2023;10:1) for item ids; MedAgentBench (Jiang et al.,
NEJM AI 2025) for the local names K, MG, GLU and A1C.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Analyte:
    """One measured thing. ``codes`` are bare: a token search without a system finds them.

    ``step`` is how finely laboratories report it, in its usual unit.
    """

    key: str
    name: str
    codes: tuple[str, ...]
    step: Decimal = Decimal("0.1")
    averaged: bool = True
    """Whether a mean over a day means something (not for slow markers)."""


ANALYTES: tuple[Analyte, ...] = (
    Analyte("potassium", "potassium", ("K", "2823-3", "6298-4", "77142-8", "50971")),
    Analyte("magnesium", "magnesium", ("MG", "19123-9", "21377-7", "50960")),
    Analyte("glucose", "glucose", ("GLU", "2345-7", "2339-0", "50931"), Decimal(1)),
    Analyte("a1c", "hemoglobin A1c", ("A1C", "4548-4", "17856-6", "50852"), averaged=False),
    Analyte("creatinine", "creatinine", ("CR", "CREAT", "2160-0", "38483-4", "50912")),
    Analyte("sodium", "sodium", ("NA", "2951-2", "2947-0", "50983"), Decimal(1)),
    Analyte("chloride", "chloride", ("CL", "2075-0", "2069-3", "50902"), Decimal(1)),
    Analyte("bicarbonate", "bicarbonate", ("CO2", "HCO3", "2028-9", "20565-8", "1963-8", "50882"), Decimal(1)),
    Analyte("urea_nitrogen", "urea nitrogen", ("BUN", "3094-0", "6299-2", "51006"), Decimal(1)),
    Analyte("calcium", "total calcium", ("CA", "17861-6", "49765-1", "50893")),
    Analyte("phosphate", "phosphate", ("PHOS", "2777-1", "50970")),
    Analyte("hemoglobin", "hemoglobin", ("HGB", "718-7", "51222")),
    Analyte("hematocrit", "hematocrit", ("HCT", "4544-3", "20570-8", "51221")),
    Analyte("leukocytes", "white blood cell count", ("WBC", "6690-2", "51301")),
    Analyte("platelets", "platelet count", ("PLT", "777-3", "51265"), Decimal(1)),
    Analyte("lactate", "lactate", ("LAC", "2524-7", "32693-4", "50813")),
    Analyte("alt", "alanine aminotransferase", ("ALT", "1742-6", "50861"), Decimal(1)),
    Analyte("ast", "aspartate aminotransferase", ("AST", "1920-8", "50878"), Decimal(1)),
    Analyte("alkaline_phosphatase", "alkaline phosphatase", ("ALP", "6768-6", "50863"), Decimal(1)),
    Analyte("bilirubin", "total bilirubin", ("BILI", "TBILI", "1975-2", "50885")),
    Analyte("albumin", "albumin", ("ALB", "1751-7", "50862"), averaged=False),
    Analyte("cholesterol", "total cholesterol", ("CHOL", "2093-3", "50907"), Decimal(1), averaged=False),
    Analyte("hdl", "HDL cholesterol", ("HDL", "2085-9", "50904"), Decimal(1), averaged=False),
    Analyte("ldl", "LDL cholesterol", ("LDL", "18262-6", "13457-7"), Decimal(1), averaged=False),
    Analyte("triglycerides", "triglycerides", ("TRIG", "2571-8", "51000"), Decimal(1), averaged=False),
    Analyte("tsh", "thyroid-stimulating hormone", ("TSH", "3016-3", "11580-8", "50993"), averaged=False),
)
"""In the order that draws see them."""

BY_KEY: dict[str, Analyte] = {analyte.key: analyte for analyte in ANALYTES}
BY_CODE: dict[str, Analyte] = {code: analyte for analyte in ANALYTES for code in analyte.codes}
