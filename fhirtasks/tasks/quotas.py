"""How many rows each family, split and branch gets, fixed before any work is handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fhirtasks.errors import UserError
from fhirtasks.tasks.types import Family


@dataclass(frozen=True, slots=True)
class Quota:
    """``rows`` tasks of one branch of one family belong into one split."""

    family: str
    split: str
    branch: str
    rows: int


def largest_remainder(total: int, weights: Sequence[int | float]) -> list[int]:
    """Shares ``total`` in proportion to ``weights``: each share is its quota rounded down or up, the sum is exact.

    What rounding down leaves goes to the largest fractions (Hamilton's method); equal fractions go by order.
    UserError for a negative total, a negative or non-finite weight, or no weight above 0.
    """
    try:
        parts = [Fraction(weight) for weight in weights]
    except (ValueError, OverflowError) as error:
        raise UserError(f"cannot share by the weights {list(weights)}: give finite numbers") from error
    if total < 0 or any(part < 0 for part in parts) or not sum(parts):
        raise UserError(f"cannot share {total} by the weights {list(weights)}: give numbers from 0 up, one above 0")
    whole = sum(parts)
    exact = [total * part / whole for part in parts]
    shares = [int(quota) for quota in exact]
    by_fraction = sorted(range(len(parts)), key=lambda place: (shares[place] - exact[place], place))
    for place in by_fraction[: total - sum(shares)]:
        shares[place] += 1
    return shares


def allot(families: Sequence[Family], per_family: int, split_shares: Mapping[str, float]) -> list[Quota]:
    """Quotas by family, then split, then branch, each in the order given; rows of 0 included.

    Per family the rows add up to ``per_family``, per branch to its share by weight, per split to its share by
    ``split_shares``, all by largest remainder. Where fewer rows are asked than there are branches, some get 0.
    """
    quotas = []
    by_split = largest_remainder(per_family, list(split_shares.values()))
    for family in families:
        left = largest_remainder(per_family, [branch.weight for branch in family.branches])
        for split, rows in zip(split_shares, by_split, strict=True):
            # Shared by what the branches have left, so that no split can take more of a branch than there is.
            shares = largest_remainder(rows, left) if rows else [0] * len(left)
            left = [have - taken for have, taken in zip(left, shares, strict=True)]
            quotas += [
                Quota(family.name, split, branch.name, share)
                for branch, share in zip(family.branches, shares, strict=True)
            ]
    return quotas
