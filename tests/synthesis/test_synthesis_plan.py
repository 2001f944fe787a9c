"""Splits and partitions: stable, complete, the same from anywhere."""

from __future__ import annotations

import pickle
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.synthesis.plan import LEAST_PATIENTS, plan_partitions, plan_quotas, split_patients
from fhirtasks.tasks.registry import families

ids = st.sets(st.text(min_size=1, max_size=6), max_size=60)
crowd = {f"p{number}" for number in range(200)}


@given(ids, ids, st.integers(0, 3))
def test_a_patient_stays_on_its_side(some: set[str], more: set[str], seed: int) -> None:
    few, many = split_patients(crowd | some, seed), split_patients(crowd | some | more, seed)
    for split, members in few.items():
        assert set(members) <= set(many[split])


@given(ids, st.integers(0, 3))
def test_small_graphs_lose_nobody(some: set[str], seed: int) -> None:
    splits = split_patients(some, seed)
    assert sorted(patient for members in splits.values() for patient in members) == sorted(some)
    for split in ("validation", "test"):
        assert not splits[split] or len(splits[split]) >= LEAST_PATIENTS
    if len(some) >= 4 * LEAST_PATIENTS:
        assert len(splits["train"]) >= 2 * LEAST_PATIENTS


def test_twenty_patients_make_three_splits() -> None:
    for seed in range(50):
        splits = split_patients([f"p{number}" for number in range(20)], seed)
        assert len(splits["train"]) >= LEAST_PATIENTS
        assert sum(bool(members) for members in splits.values()) >= 2


def test_shares_and_seeds() -> None:
    patients = [f"p{number}" for number in range(4000)]
    splits = split_patients(patients, 0)
    assert 3100 < len(splits["train"]) < 3300 and min(map(len, splits.values())) > 340 > LEAST_PATIENTS
    assert splits != split_patients(patients, 1)


@given(st.integers(1, 400), st.integers(1, 60))
def test_partitions_hold_every_planned_row_once(per_family: int, rows: int) -> None:
    chosen = families(("latest_lab", "patient_*"), "text")
    quotas = plan_quotas(chosen, per_family, ["train", "test"], lambda family, split: True)
    made = plan_partitions(quotas, chosen, mode="clinical", protocol="text", seed=7, graph="g", rows=rows)
    again = plan_partitions(quotas, chosen, mode="clinical", protocol="text", seed=7, graph="g", rows=rows)
    assert [part.name for part in made] == [part.name for part in again]
    assert len({part.name for part in made}) == len(made)
    planned = [row for part in made for row in part.rows()]
    assert len({row.id for row in planned}) == len({row.seed for row in planned}) == len(planned) == 3 * per_family
    counts = Counter((part.split, row.family, row.branch) for part in made for row in part.rows())
    assert counts == Counter({(q.split, q.family, q.branch): q.rows for q in quotas if q.rows})
    for split in ("train", "test"):
        sizes = [len(part.rows()) for part in made if part.split == split]
        assert not sizes or (max(sizes) <= rows and max(sizes) - min(sizes) <= 1)
        indices = Counter((row.family, row.index) for part in made if part.split == split for row in part.rows())
        assert set(indices.values()) <= {1}


def test_a_partition_travels() -> None:
    chosen = families(("latest_lab",))
    quotas = plan_quotas(chosen, 30, ["train"], lambda family, split: True)
    (part,) = plan_partitions(quotas, chosen, mode="compat", protocol="text", seed=0, graph="g")
    assert pickle.loads(pickle.dumps(part)).rows() == part.rows()


def test_the_graph_changes_ids_and_not_draws() -> None:
    chosen = families(("latest_lab",))
    quotas = plan_quotas(chosen, 30, ["train"], lambda family, split: True)
    one, other = (
        plan_partitions(quotas, chosen, mode="clinical", protocol="text", seed=0, graph=graph)[0].rows()
        for graph in "gh"
    )
    assert [row.seed for row in one] == [row.seed for row in other]
    assert not {row.id for row in one} & {row.id for row in other}


def test_a_family_fills_the_splits_that_support_it() -> None:
    chosen = families(("latest_lab", "patient_age"))
    quotas = plan_quotas(
        chosen, 50, ["train", "test"], lambda family, split: split == "train" or family.name == "latest_lab"
    )
    rows = Counter()
    for quota in quotas:
        rows[quota.family, quota.split] += quota.rows
    assert rows == {("latest_lab", "train"): 44, ("latest_lab", "test"): 6, ("patient_age", "train"): 50}
