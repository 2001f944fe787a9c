"""Every kind of fact is planted in every disguise and position, and what is planted as clean belongs to nobody held out."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import fhirtasks.planting
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.planting.leaks import SPLIT, WHATS, leaks
from fhirtasks.planting.negatives import Strangers, negatives
from fhirtasks.planting.paraphrase import paraphrase
from fhirtasks.planting.rows import plant, position, positions
from fhirtasks.population.taskfile import Person

BODY = json.dumps(
    {"resourceType": "Observation", "id": "o1", "valueQuantity": {"value": 4.1, "unit": "g"}, "status": "final"}
)
ITEMS = [
    HeldOut(
        source="t.json",
        id=f"a_{n}",
        texts=(f"What is the latest magnesium of Q765432{n}, that is Ines{'abc'[n]} Okonjo, born 1932-12-0{n + 1}?",),
        identifiers=(f"Q765432{n}",),
        people=(Person(f"Ines{'abc'[n]} Okonjo", date(1932, 12, n + 1)),),
        phones=(f"555-123-456{n}",),
        addresses=(f"{n + 1} Elm Street, Springfield",),
        parameters=("MG", f"2023-11-1{n}", "24"),
        answer=f"4.{n}",
        resources=(BODY.replace("o1", f"o{n}"),),
    )
    for n in range(3)
]


def test_the_room_knows_nothing_of_the_matchers() -> None:
    folder = Path(fhirtasks.planting.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any("leakage" in name for name in names), path


def test_every_kind_of_fact_in_every_disguise() -> None:
    made = list(leaks(ITEMS, 4, Random(1)))
    counts = Counter((leak.what, leak.disguise) for leak in made)
    assert set(counts.values()) == {4}
    assert {what for what, _ in counts} == set(WHATS)
    disguises = {disguise for _, disguise in counts}
    assert (
        len(disguises) >= 20
        and {"plain", "base64", "zero width", "date form", "initials", "paraphrase", SPLIT} <= disguises
    )
    assert all(len(leak.pieces) == (2 if leak.disguise == SPLIT else 1) for leak in made)
    assert {leak.item.id for leak in made} == {"a_0", "a_1", "a_2"}
    plain = [leak.pieces[0] for leak in made if (leak.what, leak.disguise) == ("identifier", "plain")]
    assert set(plain) == {"Q7654320", "Q7654321", "Q7654322"}
    assert list(leaks(ITEMS, 4, Random(1))) == made


def test_kinds_that_no_item_has_are_left_out() -> None:
    only = [HeldOut(source="x", id="1", texts=("one two three four five six seven",))]
    assert {leak.what for leak in leaks(only, 2, Random(0))} == {"instruction"}
    assert list(leaks([HeldOut(source="x", id="1")], 2, Random(0))) == []


def test_halves_meet_where_two_texts_meet() -> None:
    row = [("messages[0].content", "one"), ("messages[1].content", "two"), ("raw", "three")]
    halves = next(leak for leak in leaks(ITEMS, 2, Random(3)) if (leak.what, leak.disguise) == ("identifier", SPLIT))
    planted = plant(row, 0, halves.pieces, Random(0))
    assert planted.at == (0, 1) and planted.position == "messages, message 1"
    joined = planted.texts[0].removeprefix("one ") + planted.texts[1].removesuffix(" two")
    assert joined in ITEMS[0].identifiers + ITEMS[1].identifiers + ITEMS[2].identifiers
    assert planted.texts[2] == "three"
    alone = plant([("raw", "x")], 0, ("a", "b"), Random(0))
    assert alone.texts == ("x a", "b")


def test_one_piece_stands_between_words() -> None:
    row = [("raw", "alpha beta gamma delta")]
    places = {plant(row, 0, ("LEAK",), Random(seed)).texts[0] for seed in range(200)}
    assert places == {
        "LEAK alpha beta gamma delta", "alpha LEAK  beta gamma delta", "alpha beta LEAK  gamma delta",
        "alpha beta gamma LEAK  delta", "alpha beta gamma delta LEAK",
    }  # fmt: skip


def test_positions_are_messages_by_number_and_columns_by_name() -> None:
    assert [position(f"messages[{n}].content") for n in (0, 9, 10, 99)] == [
        "messages, message 1", "messages, message 10", "messages, message 11 and later", "messages, message 11 and later",
    ]  # fmt: skip
    assert position("raw") == "raw" and position("task.slots.mrn") == "task"
    rows = [[("raw", "x"), ("messages[0].content", "y")], [("raw", "z")]]
    assert positions(rows) == [("messages, message 1", [(0, 1)]), ("raw", [(0, 0), (1, 0)])]


def test_clean_texts_are_about_strangers() -> None:
    held = {identifier for item in ITEMS for identifier in item.identifiers}
    people = {(person.name, person.birth_date.isoformat()) for item in ITEMS for person in item.people}
    texts = list(negatives(ITEMS, 3_000, Random(5)))
    assert len(texts) == 3_000
    same = 0
    for text in texts:
        assert not any(identifier in text for identifier in held), text
        assert not any(name in text and day in text for name, day in people), text
        same += text.startswith("What is the latest magnesium of Q")
    assert same > 1_000, "most clean texts are the benchmark's own sentences"
    strangers = Strangers(ITEMS)
    near = [strangers.identifier("Q7654321", Random(seed)) for seed in range(400)]
    assert any(sum(a != b for a, b in zip(text, "Q7654321", strict=True)) == 1 for text in near)
    assert not set(near) & held


def test_items_that_name_nobody_still_have_clean_texts() -> None:
    only = [HeldOut(source="x", id="1", texts=("one two three four five six seven",))]
    assert all(re.search(r"\d{4}-\d{2}-\d{2}", text) for text in negatives(only, 20, Random(0)))


def test_a_paraphrase_keeps_what_makes_the_case() -> None:
    text = ITEMS[0].texts[0] + " " + "He denies pain and presents with a history of falls, then went home. " * 6
    for seed in range(50):
        other = paraphrase(text, Random(seed))
        assert other != text and "Q7654320" in other and "1932-12-01" in other
        kept = set(text.split()) & set(other.split())
        assert len(kept) >= 0.75 * len(set(text.split()))
