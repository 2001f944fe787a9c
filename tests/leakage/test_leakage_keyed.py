"""Sealed holdouts: nothing of them can be read, what stands openly is found, a key is needed where one was used."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.keyed import KeyedHoldouts, open_sealed, seal
from fhirtasks.population.taskfile import Person

TEXT = "How old is the patient with record Q7654321, in whole years?"
HELD = Holdouts.of(
    [
        HeldOut("t.json", "1", texts=(TEXT,), identifiers=("Q7654321", "8c5dc5fe-7f5c-4d2f-9d23-1c3b5d3d7a10")),
        HeldOut("t.json", "2", people=(Person("Zoë Müller", date(1932, 12, 29)),)),
        HeldOut("t.json", "3", parameters=("age: 62 years", "creatinine: 1.30 mg/dL"), answer="71.39"),
    ]
)


@pytest.fixture(scope="module")
def sealed() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(seal(HELD)))
    return value


@pytest.fixture(scope="module")
def keyed(sealed: dict[str, Any]) -> KeyedHoldouts:
    return open_sealed(sealed)


def kinds(keyed: KeyedHoldouts, *texts: str) -> set[str]:
    return {match.matcher for match in keyed.find(texts)}


def test_a_sealed_file_tells_nothing_and_is_the_same_each_time(sealed: dict[str, Any]) -> None:
    text = json.dumps(sealed).lower()
    for secret in ("7654321", "zoe", "muller", "1932", "71.39", "how old", "8c5dc5fe"):
        assert secret not in text
    assert seal(HELD) == sealed and next(iter(sealed)) == "sealed"
    assert sealed["holdouts"]["items"]["items"] == 3


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["see q-0007654321."], "identifier"),
        (["Patient/8C5DC5FE-7F5C-4D2F-9D23-1C3B5D3D7A10"], "identifier"),
        (["The patient is Zoe Müller, born 29 December 1932."], "person"),
        (
            ['{"resourceType":"Patient","birthDate":"1932-12-29","name":[{"family":"MÜLLER","given":["Zoë"]}]}'],
            "person",
        ),
        (["Age 62 years, creatinine 1.3 mg/dL.", "FINISH([71.39])"], "parameters"),
        (['{"slots":{"age":"62 years","creatinine":"1.30"},"gold":"[71.39]"}', "71.390"], "parameters"),
        ([f"Context: none.\nQuestion: {TEXT.upper()}"], "normalised"),
    ],
)
def test_what_stands_openly_is_found(keyed: KeyedHoldouts, texts: list[str], kind: str) -> None:
    assert kind in kinds(keyed, "noise 12", *texts)


@pytest.mark.parametrize(
    "text",
    [
        "Q7654322",
        "Zoe Müller, born 1932-12-28",
        "Age 62 years, creatinine 1.4 mg/dL.\n71.39",
        TEXT.replace("7654321", "7654322"),
        "",
    ],
)
def test_anything_else_is_not(keyed: KeyedHoldouts, text: str) -> None:
    assert keyed.find(text) == []


def test_equal_candidates_cost_one_hash(sealed: dict[str, Any]) -> None:
    keyed = open_sealed(sealed)
    count = 0
    hashed = keyed._hash

    def counted(kind: str, form: str) -> str:
        nonlocal count
        count += 1
        return hashed(kind, form)

    keyed._hash = counted
    for _ in range(50):
        assert keyed.find("patient Q1111111 and Q1111111") == []
    assert count == 1


def test_a_key_changes_every_hash_and_is_asked_for(sealed: dict[str, Any]) -> None:
    with_key = seal(HELD, b"secret")
    for kind, hashes in with_key["hashes"].items():
        assert hashes and not set(hashes) & set(sealed["hashes"][kind])
    with pytest.raises(UserError, match="sealed with a key"):
        open_sealed(with_key)
    with pytest.raises(UserError, match="without a key"):
        open_sealed(sealed, b"secret")
    assert kinds(open_sealed(with_key, b"secret"), "Q7654321") == {"identifier"}
    assert kinds(open_sealed(with_key, b"other"), "Q7654321") == set()


@pytest.mark.parametrize(
    "change",
    [
        {"sealed": 2}, {"hash": None}, {"hashes": {}}, {"forms": []}, {"hash": {"name": "md5"}},
        {"hash": {"name": "scrypt", "n": 1 << 40, "r": 8, "p": 1, "salt": "00"}},
        {"hash": {"name": "scrypt", "n": 1024, "r": 8, "p": 1, "salt": "zz"}},
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(sealed: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        open_sealed(sealed | change)
    assert "\n" not in str(caught.value)
