"""``build --difficulty``: how many rows each family gets, by what a model can already do.

    {"families": {"patient_age": {"verdict": "solved", "weight": 0.25}}}        or        {"patient_age": 0.25}

The file of ``fhirtasks train passk`` is read as it is: what is solved is thinned, the rest stays whole. Written by hand, a weight
above 1 asks for more of a family and 0 for none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError


def read_weights(path: Path) -> dict[str, float]:
    """Family -> the share of its rows to make, families in the order of their names. UserError names what is wrong."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; give a JSON file of families and their weights.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); give a JSON file of families and their weights.") from None
    families = value.get("families", value) if isinstance(value, dict) else None
    if not isinstance(families, dict) or not families:
        raise UserError(f"{path} names no families; give a JSON object of families and their weights.")
    return {name: _weight(path, name, families[name]) for name in sorted(families)}


def rows_of(weights: Mapping[str, float], family: str, per_family: int) -> int:
    """The rows that a family is asked for, rounded half up; at least one of a family whose weight is above 0."""
    weight = weights.get(family, 1.0)
    return max(1, math.floor(per_family * weight + 0.5)) if weight else 0


def _weight(path: Path, name: str, value: Any) -> float:
    weight = value.get("weight") if isinstance(value, dict) else value
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise UserError(f"{path}: the weight of {name} is {weight!r}; it is a number of at least 0.")
    return float(weight)
