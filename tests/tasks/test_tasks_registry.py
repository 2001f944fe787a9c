"""Built-in families, and those that other packages register."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

import solvers
from fhirtasks.errors import UserError
from fhirtasks.tasks import patients, registry
from fhirtasks.tasks.types import Family


@pytest.fixture(autouse=True)
def fresh() -> Any:
    registry._all.cache_clear()
    yield
    registry._all.cache_clear()


def test_built_in_families_are_sorted_and_have_solvers() -> None:
    names = [family.name for family in registry.families()]
    assert names == sorted(names)
    assert {"patient_age", "patient_lookup", "record_blood_pressure", "referral_order"} <= set(names)
    assert len(names) >= 10
    for name in names:
        assert callable(solvers.solver(name))
        assert registry.family(name).name == name


def test_branch_names_are_distinct_and_both_modes_are_offered() -> None:
    for family in registry.families():
        assert len({branch.name for branch in family.branches}) == len(family.branches) > 0
        assert set(family.modes) == ({"clinical"} if family.protocols == ("code",) else {"clinical", "compat"})


def test_patterns() -> None:
    assert [one.name for one in registry.families(["patient_[al]*"], "text")] == ["patient_age", "patient_lookup"]
    assert [one.name for one in registry.families(["referral_order", "patient_age"])] == [
        "patient_age",
        "referral_order",
    ]
    with pytest.raises(
        UserError, match=r"no family matches 'patient_ages' \(is patient_age .*meant\?\); fhirtasks families"
    ):
        registry.families(["patient_ages"])
    with pytest.raises(UserError, match=r"no family matches 'nothing\*'; fhirtasks families"):
        registry.families(["patient_*", "nothing*"])
    with pytest.raises(UserError, match="speaks the protocol 'code'"):
        registry.families(["patient_age"], protocol="code")
    with pytest.raises(UserError, match="no family 'task1'"):
        registry.family("task1")
    with pytest.raises(UserError, match=r"no solver for the family 'task1'.*patient_age"):
        solvers.solver("task1")


def offer(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    class Point:
        name, value_text = "other", "other.module:THING"

        @property
        def value(self) -> str:
            return self.value_text

        def load(self) -> object:
            return value

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()])


def renamed(name: str) -> Family:
    one = patients.FAMILIES[0]
    return Family(name, "1", "other", "query", one.branches, one.sample, one.missing)


def test_other_packages_register_one_family_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, renamed("a0"))
    assert registry.families()[0].name == "a0"
    registry._all.cache_clear()
    offer(monkeypatch, [renamed("a0"), renamed("zzz")])
    assert [registry.families()[place].name for place in (0, -1)] == ["a0", "zzz"]


def test_duplicates_and_strangers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, renamed("patient_age"))
    with pytest.raises(UserError, match=r"other\.module:THING registers the family 'patient_age', which exists"):
        registry.families()
    registry._all.cache_clear()
    offer(monkeypatch, ["patient_age"])
    with pytest.raises(UserError, match="it must give a Family"):
        registry.families()


def test_an_entry_point_gives_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "solvers.patients:patient_age", solvers.GROUP)
    monkeypatch.setattr(solvers, "entry_points", lambda group: [point])
    assert solvers.solver("mine") is solvers.solver("patient_age")


@pytest.mark.parametrize("value", ["no_such_module:THING", "solvers.patients:no_such_name"])
def test_a_broken_package_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", value, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    monkeypatch.setattr(solvers, "entry_points", lambda group: [point])
    with pytest.raises(UserError, match=f"'{value}' cannot be loaded"):
        registry.families()
    with pytest.raises(UserError, match=f"'{value}' cannot be loaded"):
        solvers.solver("mine")


def test_something_else_than_a_family_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, renamed)
    with pytest.raises(UserError, match="it must give a Family"):
        registry.families()


def test_two_experts_for_one_family_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", f"solvers.patients:{name}", solvers.GROUP) for name in ("patient_age", "patient_lookup")
    ]
    monkeypatch.setattr(solvers, "entry_points", lambda group: points)
    with pytest.raises(UserError, match=r"several packages .*patient_age, .*patient_lookup"):
        solvers.solver("mine")
