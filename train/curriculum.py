"""The curriculum: what the pass@k diagnostic says of each family, and the rows that training takes because of it.

    {"families": {"latest_lab": {"verdict": "rl", "weight": 1.0}, "patient_age": {"verdict": "solved", "weight": 0.25}}}

``sft``: no signal yet, so the family waits for demonstrations. ``rl``: right sometimes, where a group's rewards differ. ``solved``:
right nearly always, thinned to its weight.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from fhirtasks.errors import UserError

Verdict: TypeAlias = Literal["sft", "rl", "solved"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
MOST: Final = 1000
"""Times that a row may come at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One family: its verdict, and the share of its rows to train on (above 1: rows come more than once)."""

    verdict: Verdict
    weight: float


Curriculum: TypeAlias = Mapping[str, Standing]


def read_curriculum(path: Path) -> dict[str, Standing]:
    """Reads a curriculum file. UserError names what is wrong with it."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; give the curriculum that fhirtasks train passk wrote.") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); give the file that fhirtasks train passk wrote."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not JSON ({error}); give the curriculum that fhirtasks train passk wrote."
        ) from None
    families = value.get("families") if isinstance(value, dict) else None
    if not isinstance(families, dict):
        raise UserError(f"{path} has no object of families; give the curriculum that fhirtasks train passk wrote.")
    return {name: _standing(path, name, one) for name, one in families.items()}


def write_curriculum(path: Path, curriculum: Curriculum, **more: Any) -> None:
    """Writes a curriculum file, families in the order of their names; ``more`` stands beside them (how it was measured)."""
    value = {**more, "families": {name: asdict(curriculum[name]) for name in sorted(curriculum)}}
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def select(families: Sequence[str], ids: Sequence[str], curriculum: Curriculum) -> list[int]:
    """The places of the rows to train on, in their order; a row stands in it several times where its family's weight is above 1.

    Of a family of n rows the ``weight`` × n (rounded up) whose hash of the id is smallest are taken: the same rows whatever
    the order, the process and the other families. Families that the curriculum does not name stay whole. UserError if nothing is
    left.
    """
    chosen: list[int] = []
    for name in dict.fromkeys(families):
        places = [place for place, family in enumerate(families) if family == name]
        standing = curriculum.get(name, Standing("rl", 1.0))
        wanted = 0 if standing.verdict == "sft" else math.ceil(standing.weight * len(places))
        ranked = sorted(places, key=lambda place: hashlib.sha256(ids[place].encode()).digest())
        whole, rest = divmod(wanted, len(places))
        chosen += ranked * whole + ranked[:rest]
    if not chosen:
        raise UserError("The curriculum leaves no rows: every family waits for SFT or has the weight 0; do SFT first.")
    return sorted(chosen)


def _standing(path: Path, name: str, value: Any) -> Standing:
    verdict = value.get("verdict") if isinstance(value, dict) else None
    weight = value.get("weight") if isinstance(value, dict) else None
    if verdict not in VERDICTS:
        raise UserError(f"{path}: the verdict of {name} is {verdict!r}; it is one of {', '.join(VERDICTS)}.")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MOST:
        raise UserError(f"{path}: the weight of {name} is {weight!r}; it is a number from 0 to {MOST}.")
    return Standing(verdict, float(weight))
