"""Wordings are different sentences, hold every slot, and tell no branch."""

from __future__ import annotations

import random
import re
from itertools import combinations

import pytest

from fhirtasks.graph.world import World
from fhirtasks.tasks import patients, referrals, vitals
from fhirtasks.tasks.patients_wordings import AGE, LOOKUP
from fhirtasks.tasks.referrals_wordings import REFERRAL
from fhirtasks.tasks.types import Draft, Family
from fhirtasks.tasks.vitals_wordings import BLOOD_PRESSURE
from fhirtasks.tasks.wording import Wording, fill, mask, word_overlap

FAMILIES = (*patients.FAMILIES, *vitals.FAMILIES, *referrals.FAMILIES)
WORDINGS = {
    "patient_age": AGE,
    "patient_lookup": LOOKUP,
    "record_blood_pressure": BLOOD_PRESSURE,
    "referral_order": REFERRAL,
}
LARGEST_OVERLAP = 0.6


def drafts(world: World, family: Family, mode: str, per_branch: int) -> list[tuple[str, Draft]]:
    found = []
    for branch in family.branches:
        draw = random.Random(f"{family.name} {mode} {branch.name}")
        made = 0
        for _ in range(per_branch * 20):
            draft = family.sample(world, draw, branch.name, mode)  # type: ignore[arg-type]
            if draft is not None:
                found.append((branch.name, draft))
                made += 1
            if made == per_branch:
                break
        assert made == per_branch, (family.name, mode, branch.name)
    return found


def masked(draft: Draft) -> str:
    """The whole text without any value: what is left is the wording."""
    return mask(f"{draft.instruction}\n{draft.context}", draft.slots | {"now": draft.now})


def test_fill_and_mask() -> None:
    template = 'say {a} to {b}: {"text": "{a}"} {"x": 1}'
    filled = fill(template, {"a": "{b}", "b": "1.0"})
    assert filled == 'say {b} to 1.0: {"text": "{b}"} {"x": 1}'
    assert mask("118/77 mmHg is 118", {"s": "118", "v": "118/77 mmHg", "none": ""}) == "{v} is {s}"
    assert mask("status stat (stat)", {"p": "stat", "t": "(stat)"}) == "status {p} {t}"
    with pytest.raises(KeyError, match="b"):
        fill(template, {"a": "x"})


def test_word_overlap() -> None:
    assert word_overlap("How old is {who}?", "how OLD is {patient}") == 1
    assert word_overlap("a b c", "c d e") == pytest.approx(1 / 5)
    assert word_overlap("a-b", "x y") == 0


@pytest.mark.parametrize("name", sorted(WORDINGS))
@pytest.mark.parametrize("part", ["instruction", "clinical", "compat"])
def test_wordings_are_different_sentences(name: str, part: str) -> None:
    wordings: tuple[Wording, ...] = WORDINGS[name]
    assert len(wordings) >= 8
    for one, other in combinations(wordings, 2):
        overlap = word_overlap(getattr(one, part), getattr(other, part))
        assert overlap <= LARGEST_OVERLAP, (one, other)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_prompts_as_rendered(world: World, family: Family, mode: str) -> None:
    """Slots and now stand in the text; the texts with values masked are few, and different from each other."""
    made = drafts(world, family, mode, 40)
    for _, draft in made:
        text = f"{draft.instruction}\n{draft.context}"
        for value in (*draft.slots.values(), draft.now):
            assert isinstance(value, str)
            assert value
            assert value in text
        assert not re.search(r"(?<!\")\{[a-z_]+\}", text)
        if mode == "clinical":
            assert not draft.params
            assert not any(patient in text for patient in draft.patients)
        else:
            assert draft.params["now"] == draft.now
    texts = sorted({masked(draft) for _, draft in made})
    assert 8 <= len(texts) <= len(WORDINGS[family.name])
    for one, other in combinations(texts, 2):
        assert word_overlap(one, other) <= LARGEST_OVERLAP


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_no_classifier_tells_the_branch_from_the_wording(world: World, family: Family, mode: str) -> None:
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    made = drafts(world, family, mode, 90)
    texts, branches = [masked(draft) for _, draft in made], [branch for branch, _ in made]
    model = make_pipeline(CountVectorizer(), LogisticRegression(C=0.1, max_iter=200))
    accuracy = cross_val_score(model, texts, branches, cv=5).mean()
    majority = 1 / len(family.branches)
    # Three standard errors of a guess at this many rows.
    assert accuracy <= majority + 3 * (majority * (1 - majority) / len(made)) ** 0.5


def test_a_wording_that_depends_on_the_branch_would_be_told() -> None:
    """The classifier above has the power to notice one leaking word."""
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    draw = random.Random(2)
    branches = [str(place % 6) for place in range(540)]
    texts = [draw.choice(AGE).instruction + (" exactly" if branch == "3" else "") for branch in branches]
    model = make_pipeline(CountVectorizer(), LogisticRegression(C=0.1, max_iter=200))
    accuracy = cross_val_score(model, texts, branches, cv=5).mean()
    assert accuracy > 1 / 6 + 3 * (1 / 6 * 5 / 6 / 540) ** 0.5
