"""Seeds tell tasks apart and are the same in every process; quotas add up."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.errors import UserError
from fhirtasks.tasks.quotas import allot, largest_remainder
from fhirtasks.tasks.seeds import rng, task_id, task_seed
from fhirtasks.tasks.types import Branch, Family


def family(name: str, *weights: int) -> Family:
    return Family(
        name=name,
        version="1",
        domain="patients",
        kind="query",
        branches=tuple(Branch(f"b{place}", weight) for place, weight in enumerate(weights)),
        sample=lambda world, rng, branch, mode: None,
        missing=lambda world: None,
    )


def test_every_part_changes_the_seed_and_the_id() -> None:
    parts = list(product(("n", "n1"), ("f", "1f"), ("1", "2"), ("train", "test"), (0, 1, 11), (0, 1)))
    assert len({task_seed(*one) for one in parts}) == len(parts)
    assert len({task_id(*one) for one in parts}) == len(parts)
    assert not any(task_seed(*one).startswith(task_id(*one)) for one in parts)


def test_a_sum_of_numbers_does_not_collide() -> None:
    assert task_seed("n", "f", "1", "train", 1, 2) != task_seed("n", "f", "1", "train", 2, 1)


def test_seeds_are_the_same_in_another_process() -> None:
    code = (
        "from fhirtasks.tasks.seeds import *;"
        "print(task_seed('n','ö','1','s',3,4), task_id('n','ö','1','s',3,4), rng('x').random())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"}
    )
    expected = f"{task_seed('n', 'ö', '1', 's', 3, 4)} {task_id('n', 'ö', '1', 's', 3, 4)} {rng('x').random()}"
    assert other.stdout.strip() == expected


@given(st.integers(0, 5000), st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
def test_shares_add_up_and_are_quotas_rounded_down_or_up(total: int, weights: list[int]) -> None:
    shares = largest_remainder(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        exact = total * weight / sum(weights)
        assert exact - 1 < share < exact + 1
        assert weight or not share


def test_equal_fractions_go_by_order() -> None:
    assert largest_remainder(5, [1, 1, 1]) == [2, 2, 1]
    assert largest_remainder(2, [1, 1, 1]) == [1, 1, 0]
    assert largest_remainder(10, [0.1] * 3) == [4, 3, 3]


@pytest.mark.parametrize(("total", "weights"), [(3, []), (3, [0, 0]), (3, [-1, 2]), (-1, [1]), (3, [float("nan")])])
def test_bad_shares_are_refused(total: int, weights: list[float]) -> None:
    with pytest.raises(UserError, match="cannot share"):
        largest_remainder(total, weights)


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=9), min_size=1, max_size=4),
    st.integers(0, 400),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_margins_are_exact(weights: list[list[int]], per_family: int, shares: list[int]) -> None:
    families = [family(f"f{place}", *own) for place, own in enumerate(weights)]
    splits = {f"s{place}": float(share) for place, share in enumerate(shares)}
    rows = allot(families, per_family, splits)
    for one in families:
        own = [row for row in rows if row.family == one.name]
        assert [(row.split, row.branch) for row in own] == [(s, b.name) for s in splits for b in one.branches]
        assert sum(row.rows for row in own) == per_family
        by_branch = [sum(row.rows for row in own if row.branch == b.name) for b in one.branches]
        assert by_branch == largest_remainder(per_family, [b.weight for b in one.branches])
        by_split = [sum(row.rows for row in own if row.split == s) for s in splits]
        assert by_split == largest_remainder(per_family, shares)
        assert all(row.rows >= 0 for row in own)


def test_branches_spread_over_small_splits() -> None:
    rows = allot([family("f", *[1] * 8)], 200, {"train": 0.8, "validation": 0.1, "test": 0.1})
    for split in ("validation", "test"):
        counts = [row.rows for row in rows if row.split == split]
        assert sum(counts) == 20
        assert min(counts) >= 2


def test_allotting_does_not_depend_on_the_other_families() -> None:
    draw = random.Random(1)
    several = [family(f"f{place}", *[draw.randrange(1, 4) for _ in range(5)]) for place in range(4)]
    shares = {"train": 0.7, "test": 0.3}
    assert [row for row in allot(several, 33, shares) if row.family == "f2"] == allot([several[2]], 33, shares)
