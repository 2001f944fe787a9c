"""The labs families on the embedded population: branches, prompts, and answers worked out again the slow way."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import labs_support as support
import pytest

from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.world import World
from fhirtasks.tasks.labs import FAMILIES
from fhirtasks.tasks.labs_wordings import WORDINGS, wording
from fhirtasks.tasks.types import Draft, Family

MODES = ("clinical", "compat")
CELLS = [(family, branch.name, mode) for family in FAMILIES for branch in family.branches for mode in MODES]
IDS = [f"{family.name}-{branch}-{mode}" for family, branch, mode in CELLS]
SLOTS = {
    "latest_lab_in_window": "analyte code unit window_hours tie",
    "mean_lab_in_window": "analyte code unit window_hours decimals",
    "latest_lab": "analyte code unit tie",
    "magnesium_replacement": "code unit window_hours tie low_at_or_below moderate_below severe_below mild_dose mild_hours "
    "moderate_dose moderate_hours severe_dose severe_hours dose_unit medication_system medication_code route",
    "potassium_replacement": "code unit tie threshold step step_dose dose_unit medication_system medication_code route "
    "order_system order_code recheck_time",
    "a1c_reorder": "code tie stale_before when_absent order_system order_code",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return support.population(tmp_path_factory.mktemp("labs"))


@pytest.mark.parametrize(("family", "branch", "mode"), CELLS, ids=IDS)
def test_each_branch_is_reached_and_is_what_it_says(family: Family, branch: str, mode: str, world: World) -> None:
    for draft in support.drafts(family, world, branch, mode, 4):
        assert draft is not None
        prompt = f"{draft.instruction}\n{draft.context}"
        assert set(draft.slots) - {"mrn", "name", "birthdate"} == set(SLOTS[family.name].split())
        for name, value in draft.slots.items():
            assert value in prompt, name
        assert draft.now in prompt
        assert "{" not in prompt.replace("{value", "")
        if mode == "clinical":
            assert draft.patients[0] not in prompt
            assert not draft.params
        else:
            assert draft.params["patient"] == draft.slots["mrn"] == draft.patients[0]
        answer, orders = naive(family.name, draft, mode, world)
        assert dumps(draft.gold["answer"]) == dumps(answer)
        assert [
            (one["type"], str(one.get("dose", "")), one.get("occurrence", "")) for one in draft.gold["orders"]
        ] == orders
        CLAIMS.get(branch, lambda *_: None)(draft, mode, world)


def naive(family: str, draft: Draft, mode: str, world: World) -> tuple[list[Any], list[tuple[str, str, str]]]:
    """Answer and orders, from the raw JSON and the slots alone."""
    slots, found = draft.slots, support.counted(world, draft, mode)
    if family == "mean_lab_in_window":
        values = [Fraction(Decimal(body["valueQuantity"]["value"])) for body in found]
        if not values:
            return [-1], []
        mean = sum(values) / len(values)
        exact = Decimal(mean.numerator) / Decimal(mean.denominator)
        return [exact.quantize(Decimal(1).scaleb(-int(slots["decimals"])), ROUND_HALF_UP)], []
    one = support.latest(found, slots["tie"])
    value = None if one is None else one["valueQuantity"]["value"]
    answer = [-1 if value is None else value]
    if family == "magnesium_replacement" and value is not None and value <= Decimal(slots["low_at_or_below"]):
        tier = "mild"
        if value < Decimal(slots["moderate_below"]):
            tier = "moderate"
        if value < Decimal(slots["severe_below"]):
            tier = "severe"
        return answer, [("MedicationRequest", slots[f"{tier}_dose"], "")]
    if family == "potassium_replacement" and value is not None and value < Decimal(slots["threshold"]):
        dose = (Decimal(slots["threshold"]) - value) / Decimal(slots["step"]) * Decimal(slots["step_dose"])
        rounded = dose.quantize(Decimal("0.1"), ROUND_HALF_UP)
        return answer, [("MedicationRequest", str(rounded), ""), ("ServiceRequest", "", slots["recheck_time"])]
    if family == "a1c_reorder":
        if one is None:
            return answer, [("ServiceRequest", "", "")] if slots["when_absent"] == "order the test" else []
        limit = datetime.fromisoformat(slots["stale_before"])
        old = support.time(one) < limit
        return [value, one["effectiveDateTime"]], [("ServiceRequest", "", "")] if old else []
    return answer, []


# What a branch's name promises, told from the raw JSON.


def _age(draft: Draft, mode: str, world: World) -> timedelta:
    found = [body for body in support.served(world, draft) if support.time(body) <= datetime.fromisoformat(draft.now)]
    return datetime.fromisoformat(draft.now) - max(map(support.time, found))


def _at(seconds: int) -> Any:
    def claim(draft: Draft, mode: str, world: World) -> None:
        now = datetime.fromisoformat(draft.now)
        if "stale_before" in draft.slots:
            limit = datetime.fromisoformat(draft.slots["stale_before"])
        else:
            limit = now - timedelta(hours=int(draft.slots["window_hours"]))
        times = [support.time(body) for body in support.served(world, draft)]
        assert limit - timedelta(seconds=seconds) in times

    return claim


def _absent(draft: Draft, mode: str, world: World) -> None:
    assert not support.served(world, draft)


def _outside(draft: Draft, mode: str, world: World) -> None:
    assert _age(draft, mode, world) > timedelta(hours=int(draft.slots["window_hours"]))


def _tie(draft: Draft, mode: str, world: World) -> None:
    found = support.counted(world, draft, mode)
    newest = [body for body in found if support.time(body) == max(map(support.time, found))]
    assert len({body["valueQuantity"]["value"] for body in newest}) > 1


def _unordered(draft: Draft, mode: str, world: World) -> None:
    found = support.served(world, draft)
    newest = support.latest(support.counted(world, draft, mode), "first")
    assert newest is not None
    assert newest["id"] not in (found[0]["id"], found[-1]["id"])


def _many(draft: Draft, mode: str, world: World) -> None:
    assert len(support.served(world, draft)) > 20
    if "decimals" in draft.slots:
        assert len(support.counted(world, draft, mode)) > 20


def _future(draft: Draft, mode: str, world: World) -> None:
    now = datetime.fromisoformat(draft.now)
    ahead = [body for body in support.served(world, draft) if support.time(body) > now]
    assert ahead
    in_compat, in_clinical = (support.counted(world, draft, one) for one in ("compat", "clinical"))
    assert len(in_compat) > len(in_clinical) > 0


def _value(compare: str, slot: str) -> Any:
    def claim(draft: Draft, mode: str, world: World) -> None:
        one = support.latest(support.counted(world, draft, mode), draft.slots["tie"])
        assert one is not None
        assert getattr(Decimal(one["valueQuantity"]["value"]), compare)(Decimal(draft.slots[slot]))

    return claim


CLAIMS = {
    "absent": _absent, "outside": _outside, "tie": _tie, "unordered": _unordered, "many_pages": _many, "future": _future,
    "edge_exact": _at(0), "edge_inside": _at(-1), "edge_outside": _at(1), "edge_fresh": _at(-1), "edge_stale": _at(1),
    "at_low": _value("__eq__", "low_at_or_below"), "above_low": _value("__gt__", "low_at_or_below"),
    "below_low": _value("__lt__", "low_at_or_below"), "at_moderate": _value("__eq__", "moderate_below"),
    "above_moderate": _value("__gt__", "moderate_below"), "below_moderate": _value("__lt__", "moderate_below"),
    "at_severe": _value("__eq__", "severe_below"), "above_severe": _value("__gt__", "severe_below"),
    "below_severe": _value("__lt__", "severe_below"), "severe": _value("__lt__", "severe_below"),
    "at_threshold": _value("__eq__", "threshold"), "just_above": _value("__gt__", "threshold"),
    "just_below": _value("__lt__", "threshold"), "well_below": _value("__lt__", "threshold"),
}  # fmt: skip


def test_absent_a1c_shows_both_rules(world: World) -> None:
    family = next(one for one in FAMILIES if one.name == "a1c_reorder")
    shown = {draft.slots["when_absent"] for draft in support.drafts(family, world, "absent", "clinical", 20) if draft}
    assert shown == {"order the test", "order nothing"}


def test_the_limit_is_a_calendar_year_or_half_of_one(world: World) -> None:
    family = next(one for one in FAMILIES if one.name == "a1c_reorder")
    spans = set()
    for draft in support.drafts(family, world, "fresh", "clinical", 30):
        assert draft is not None
        now, limit = (datetime.fromisoformat(text) for text in (draft.now, draft.slots["stale_before"]))
        assert (now.time(), now.utcoffset()) == (limit.time(), limit.utcoffset())
        spans.add((now.year - limit.year) * 12 + now.month - limit.month)
    assert spans == {6, 12}


def digest(path: Path) -> str:
    """A hash over drafts of every family, branch and mode."""
    world = World.open(path)
    whole = hashlib.sha256()
    for family, branch, mode in CELLS:
        for draft in support.drafts(family, world, branch, mode, 2):
            assert draft is not None
            parts = [draft.now, draft.instruction, draft.context, draft.slots, draft.params, draft.gold,
                     list(draft.scenario.add), list(draft.scenario.hide), draft.difficulty]  # fmt: skip
            whole.update(dumps(parts).encode())
    return whole.hexdigest()


def test_another_process_draws_the_same(world: World) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from pathlib import Path; import test_labs_families as t; print(t.digest(Path({str(world.path)!r})))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.strip() == digest(world.path)


class _Masked(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return " "


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9']+", text.lower()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_wordings_are_different_sentences(family: str, mode: Any) -> None:
    masked = [wording(family, number, mode, _Masked()) for number in range(WORDINGS)]
    for texts in ([one for one, _ in masked], [one for _, one in masked], [f"{one} {two}" for one, two in masked]):
        overlaps = [len(a & b) / len(a | b) for a, b in itertools.combinations(map(_words, texts), 2)]
        assert len(overlaps) >= 28
        assert max(overlaps) <= 0.6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_wordings_carry_the_same_slots(family: str, mode: Any) -> None:
    class Keys(_Masked):
        def __getitem__(self, key: str) -> str:
            used.add(key)
            return key

    for number in range(WORDINGS):
        used: set[str] = set()
        wording(family, number, mode, Keys())
        assert used == set(SLOTS[family].split()) | {"now", "patient"}


def test_no_wording_is_the_benchmarks() -> None:
    path = support.SHARED / "medagentbench" / "test_data_v2.json"
    if not path.exists():
        pytest.skip("the benchmark's task file is not beside the checkout")
    theirs = set()
    for text in re.findall(r'"(?:instruction|context)": "([^"]*)"', path.read_text(encoding="utf-8")):
        words = re.findall(r"[a-z]+", text.lower())
        theirs |= {tuple(words[place : place + 8]) for place in range(len(words) - 7)}
    for family, mode, number in itertools.product(SLOTS, MODES, range(WORDINGS)):
        words = re.findall(r"[a-z]+", " ".join(wording(family, number, mode, _Masked())).lower())  # type: ignore[arg-type]
        assert not theirs.intersection(tuple(words[place : place + 8]) for place in range(len(words) - 7))


def test_missing_names_what_a_world_lacks(tmp_path: Path) -> None:
    world = support._world([("Patient", "a", "a", '{"resourceType":"Patient","id":"a"}')], tmp_path / "empty.duckdb")
    for family in FAMILIES:
        missing = family.missing(world)
        assert missing is not None
        assert "Observations" in missing


def test_half_of_the_rows_are_native(world: World) -> None:
    report("population", world)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "folder"), [("mimic", support.MIMIC), ("synthea", support.SYNTHEA)])
def test_half_of_the_rows_are_native_in_real_records(name: str, folder: Path, tmp_path: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not beside the checkout")
    report(name, getattr(support, name)(tmp_path))


def report(name: str, world: World) -> None:
    """Prints the native share by family and holds it to a half (Synthea has one value per visit: printed only)."""
    for family in FAMILIES:
        missing = family.missing(world)
        if missing:
            assert (name, family.name) == ("synthea", "magnesium_replacement")
            continue
        native = total = 0
        for branch in family.branches:
            for draft in support.drafts(family, world, branch.name, "clinical", 3 * branch.weight, seed="native"):
                assert draft is not None, (family.name, branch.name)
                native += draft.scenario.native
                total += 1
        print(f"{name} {family.name}: {native} of {total} rows native")
        assert name == "synthea" or native * 2 >= total
