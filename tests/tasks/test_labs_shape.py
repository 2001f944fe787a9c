"""No classifier tells overlaid rows from native ones by a Bundle's shape, nor branches by how a prompt is worded."""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import labs_support as support
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fhirtasks.episodes.text import render
from fhirtasks.episodes.types import Get
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_cases
from fhirtasks.tasks.labs import FAMILIES
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.types import Task
from solvers.labs import SOLVERS

PURPOSELY = {"absent", "future", "many_pages"}
"""Branches whose overlaid rows differ by what they are for: nothing there, a later date, more results."""


def first_bundle(task: Task, world: World) -> dict[str, Any] | None:
    """The first page of results that the expert sees."""
    environment = open_environment(task, world)
    steps = SOLVERS[task.family](task.public())
    action: Any = next(steps)
    while isinstance(action, Get):
        observation = environment.step(render(action))
        assert observation is not None
        if "/Observation?" in action.url:
            bundle: dict[str, Any] = loads(observation.body)
            return bundle
        action = steps.send(observation)
    return None


def features(bundle: dict[str, Any]) -> list[float]:
    """Count, ids, position, metadata, precision and lags of a page of results."""
    found = [entry["resource"] for entry in bundle.get("entry", []) if "valueQuantity" in entry["resource"]]
    digits = [len(str(one["valueQuantity"]["value"]).lstrip("-").replace(".", "")) for one in found]
    places = [len(str(one["valueQuantity"]["value"]).partition(".")[2]) for one in found]
    lags = [_seconds(one["issued"]) - _seconds(one["effectiveDateTime"]) for one in found]
    numbers = [int(re.sub(r"\D", "", one["id"])[:9] or "0") for one in found]
    letters = [sum(character.isalpha() for character in one["id"]) for one in found]
    seconds = [one["effectiveDateTime"][17:19] for one in found]
    keys = [len(one) for one in found]
    newest = max(range(len(found)), key=lambda place: _seconds(found[place]["effectiveDateTime"])) if found else -1
    ranks = sorted(one["id"] for one in found)
    columns = [digits, places, lags, numbers, letters, keys]
    row = [float(len(found)), float(bundle.get("total", -1)), float(newest)]
    for column in columns:
        row += [float(np.mean(column)), float(np.std(column)), float(min(column))] if column else [0.0] * 3
    row.append(float(ranks.index(found[newest]["id"])) / len(found) if found else -1.0)
    row += [float(sum(key in one for one in found)) for key in ("encounter", "specimen", "meta", "note", "identifier")]
    row.append(float(len({one.get("encounter", {}).get("reference") for one in found})))
    row.append(float(sum(text != "00" for text in seconds)))
    row.append(float(len({one["effectiveDateTime"][-6:] for one in found})))
    return row


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


Rows = dict[tuple[str, str], list[tuple[bool, str, list[float]]]]


def rows(world: World, count: int) -> Rows:
    """By (family, branch): native?, patient, features."""
    found: defaultdict[tuple[str, str], list[tuple[bool, str, list[float]]]] = defaultdict(list)
    for family in FAMILIES:
        if family.missing(world):
            continue
        for branch in family.branches:
            if branch.name in PURPOSELY:
                continue
            for number, draft in enumerate(support.drafts(family, world, branch.name, "clinical", count, seed="shape")):
                if draft is None:
                    continue
                bundle = first_bundle(support.task(family, draft, branch.name, "clinical", number), world)
                if bundle is not None:
                    found[family.name, branch.name].append((draft.scenario.native, draft.patients[0], features(bundle)))
    return found


def verdicts(native: Rows, edited: Rows, floor: int = 4, hint: bool = False) -> list[tuple[str, int, float]]:
    """Balanced accuracy of three classifiers over branches that have both kinds, no patient in two folds.

    With ``hint`` a column gives the answer away: then they must find it.
    """
    table, labels, groups = [], [], []
    for number, key in enumerate(sorted(native.keys() & edited.keys())):
        sides = [row for row in native[key] if row[0]], [row for row in edited[key] if not row[0]]
        size = min(map(len, sides))
        for side in sides if size >= floor else ():
            for is_native, patient, row in side[:size]:
                table.append([float(number), *row, float(is_native and hint)])
                labels.append(is_native)
                groups.append(patient)
    models = {
        "tree": DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=0),
        "forest": RandomForestClassifier(100, min_samples_leaf=3, max_features=None, random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    }
    found = []
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = cross_val_predict(model, np.array(table), np.array(labels), groups=groups, cv=GroupKFold(5))
        found.append((name, len(labels), float(balanced_accuracy_score(labels, told))))
    return found


def judged(name: str, world: World, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws native rows, then the same branches with every native draw refused, and lets the classifiers try."""
    native = rows(world, count)
    with monkeypatch.context() as patch:
        patch.setattr(labs_cases, "native", lambda *_: None)
        patch.setattr(labs_cases, "by_chance", lambda *_: None)
        edited = rows(world, count)
    for model, size, accuracy in verdicts(native, edited):
        print(f"{name}: {model} tells native from overlaid in {accuracy:.3f} of {size} rows (chance 0.5)")
        assert size >= 120
        assert accuracy <= 0.5 + 4 * (0.25 / size) ** 0.5
    assert all(accuracy > 0.9 for _, _, accuracy in verdicts(native, edited, hint=True))


def test_shape_of_the_embedded_population(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged("population", support.population(tmp_path), 6, monkeypatch)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "folder"), [("mimic", support.MIMIC), ("synthea", support.SYNTHEA)])
def test_shape_of_real_records(name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not beside the checkout")
    judged(name, getattr(support, name)(tmp_path), 6, monkeypatch)


def masked(world: World, mode: Any, count: int) -> Iterator[tuple[str, str, str]]:
    """(family, branch, prompt without its slots' values)."""
    for family in FAMILIES:
        for branch in family.branches:
            for draft in support.drafts(family, world, branch.name, mode, count * branch.weight, seed="words"):
                assert draft is not None
                text = f"{draft.instruction} {draft.context}".replace(draft.now, " NOW ")
                for name, value in sorted(draft.slots.items(), key=lambda slot: -len(slot[1])):
                    text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f" {name.upper()} ", text)
                yield family.name, branch.name, text


@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_wording_does_not_tell_the_branch(mode: Any, tmp_path: Path) -> None:
    prompts: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for family, branch, text in masked(support.population(tmp_path), mode, 12):
        prompts[family].append((branch, text))
    for family, known in sorted(prompts.items()):
        branches = [branch for branch, _ in known]
        majority = max(Counter(branches).values()) / len(branches)
        model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), MultinomialNB())
        told = cross_val_predict(model, [text for _, text in known], branches, cv=StratifiedKFold(4))
        accuracy = float(np.mean(np.array(told) == np.array(branches)))
        noise = 3 * (majority * (1 - majority) / len(branches)) ** 0.5
        print(f"{mode} {family}: wording tells {accuracy:.3f} of branches, the majority branch is {majority:.3f}")
        assert accuracy <= majority + noise
