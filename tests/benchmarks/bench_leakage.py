"""What an audit finds: thousands of leaks in every disguise and position, and clean rows in the same words.

A release is built, benchmarks are made up (tasks, questions, notes, topics, patients' records), leaks of their items are
planted in copies of the release's rows, and so are sentences about other people. The tables are Markdown, and those of
docs/leakage.md. `--dataset` and `--holdout` measure another dataset against other benchmarks.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from fhirtasks.leakage.audit import audit
from fhirtasks.leakage.selftest import Tally
from fhirtasks.population.identities import identity
from fhirtasks.synthesis.build import BuildConfig, build

GATE_RECALL, GATE_ALARMS = 1.0, 0.001
LEAST_PLANTED, LEAST_DISGUISES, LEAST_CLEAN = 5_000, 14, 20_000
PATIENTS = 60
BEGIN, END = "<!-- made by bench_leakage.py --docs -->", "<!-- end -->"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dataset", help="a folder or Hub dataset instead of a release built for this")
    options.add_argument("--holdout", action="append", help="benchmarks instead of those made up for this")
    options.add_argument("--each", type=int, default=60, help="leaks per kind of fact and disguise")
    options.add_argument("--clean", type=int, default=LEAST_CLEAN)
    options.add_argument("--docs", type=Path, help="a page to write the tables into, between its two comments")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        dataset = chosen.dataset
        if dataset is None:
            dataset = place / "release"
            build(BuildConfig(dataset, patients=80, per_family=24))
        sources = chosen.holdout or write_benchmarks(place / "held")
        report = audit(dataset, sources, each=chosen.each, clean=chosen.clean, progress=say)
    test = report.self_test
    assert test is not None
    held = ", ".join(f"{name} {count:,}" for name, count in report.items.items())
    rate = f"{test.alarms:,} of {test.clean:,} clean texts in the same words were taken for leaks"
    tables = (
        table("disguise", test.disguises),
        table("what leaks", test.facts),
        table("column (its positions)", columns(test.positions)),
        table("all", {"all": test.total}),
        f"{rate} ({test.alarms / test.clean:.3%}). Held out: {held}.\n",
    )
    print("\n".join(tables))
    if chosen.docs:
        before, _, after = chosen.docs.read_text(encoding="utf-8").partition(BEGIN)
        page = before + BEGIN + "\n\n" + "\n".join(tables) + "\n" + END + after.partition(END)[2]
        chosen.docs.write_text(page, encoding="utf-8")
    for missed in test.missed:
        print("missed:", json.dumps(missed, ensure_ascii=False))
    for alarmed in test.alarmed:
        print("false alarm:", json.dumps(alarmed, ensure_ascii=False))
    enough = (
        test.total.planted >= LEAST_PLANTED and len(test.disguises) >= LEAST_DISGUISES and test.clean >= LEAST_CLEAN
    ) or chosen.dataset or chosen.holdout  # fmt: skip
    good = test.total.recall >= GATE_RECALL and test.alarms <= GATE_ALARMS * test.clean and enough
    print(f"gates: recall {GATE_RECALL:.0%}, false alarms {GATE_ALARMS:.1%}: {'passed' if good else 'MISSED'}")
    raise SystemExit(0 if good else 1)


def say(message: str) -> None:
    print(message, file=sys.stderr)


def table(title: str, tallies: dict[str, Tally]) -> str:
    rows = [f"| {title} | planted | found | recall |", "|---|--:|--:|--:|"]
    rows += [
        f"| {name} | {one.planted:,} | {one.found:,} | {one.recall:.1%} |" for name, one in sorted(tallies.items())
    ]
    return "\n".join(rows) + "\n"


def columns(positions: dict[str, Tally]) -> dict[str, Tally]:
    """The positions of one column together, with the number of its messages."""
    found: dict[str, list[Tally]] = {}
    for name, one in positions.items():
        found.setdefault(name.split(", message")[0] if ", message" in name else "other columns and files", []).append(
            one
        )
    return {
        f"{name} ({len(ones)})": Tally(sum(one.planted for one in ones), sum(one.found for one in ones))
        for name, ones in found.items()
    }


def write_benchmarks(folder: Path) -> list[Path]:
    """Five made-up benchmarks about the same kind of people as the release's, none of them in it."""
    rng = random.Random(11)
    folder.mkdir()
    people = [identity(977, index) for index in range(PATIENTS)]
    tasks, patients = [], []
    for number, who in enumerate(people):
        name, born, mrn = f"{who.given[0]} {who.family}", who.birth_date.isoformat(), who.mrn
        value = f"{rng.randint(95, 180)}/{rng.randint(55, 110)} mmHg"
        wording = (
            f"Which record number does the patient named {name}, born {born}, have?",
            f"How many years old is the patient with record number {mrn} today?",
            f'The blood pressure of {mrn} was just measured as "{value}"; write it to the chart.',
            f"Find the newest magnesium of {mrn} in the 24 hours before now and order a replacement if it is low.",
        )[number % 4]
        tasks.append(
            {
                "id": f"task{number % 4 + 1}_{number}",
                "instruction": wording,
                "context": "",
                "eval_MRN": mrn,
                "sol": [mrn],
            }
        )
        patients.append(
            {
                "resourceType": "Patient", "id": who.id, "birthDate": born, "gender": who.gender,
                "identifier": [{"system": "urn:mrn", "value": mrn}],
                "name": [{"family": who.family, "given": list(who.given)}],
                "telecom": [{"system": "phone", "value": who.phone}],
                "address": [{"line": [who.street], "city": who.city, "state": who.state, "postalCode": who.postcode}],
            }
        )  # fmt: skip
        day = date(2019, 3, 1) + timedelta(days=rng.randrange(900))
        at = f"{day}T{rng.randint(10, 23)}:{rng.randint(10, 59)}:07Z"
        patients.append(
            {
                "resourceType": "Observation", "id": f"o{rng.getrandbits(60):x}", "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]},
                "subject": {"reference": f"Patient/{who.id}"}, "effectiveDateTime": at,
                "valueQuantity": {"value": rng.randint(280, 560) / 100, "unit": "mmol/L"},
            }
        )  # fmt: skip
    (folder / "tasks.json").write_text(json.dumps(tasks))
    (folder / "patients.ndjson").write_text("".join(json.dumps(row) + "\n" for row in patients))
    (folder / "questions.csv").write_text(questions(rng))
    (folder / "notes.jsonl").write_text("".join(json.dumps(note(rng, number)) + "\n" for number in range(PATIENTS)))
    topics = "".join(f'<topic number="{number}">{case(rng)}</topic>' for number in range(PATIENTS // 2))
    (folder / "topics.xml").write_text(f"<topics>{topics}</topics>")
    return sorted(folder.iterdir())


def questions(rng: random.Random) -> str:
    lines = ["split,question_id,question,true_answer,patient_fhir_id,val_dict"]
    for index in range(PATIENTS):
        bits = f"{rng.getrandbits(128):032x}"
        patient = "-".join((bits[:8], bits[8:12], bits[12:16], bits[16:20], bits[20:]))
        subject, above = rng.randrange(10**7, 10**8), rng.randint(100, 999) / 10
        asked = f"On which day did patient {subject} first have a heart rate above {above}?"
        facts = {"patient_id": str(subject), "vital_value": above, "vital_name": "heart rate"}
        answer = date(2110, 1, 1) + timedelta(days=rng.randrange(30_000))
        lines.append(f"test,q{index},{asked},[['{answer}']],{patient},\"{facts}\"")
    return "\n".join(lines) + "\n"


SIGNS = (
    "crushing chest pain", "a productive cough", "sudden weakness of the left arm", "blurred vision", "swollen ankles",
    "burning on urination", "a spreading rash on the trunk", "night sweats", "tarry stools", "a stiff neck", "palpitations",
    "hoarseness", "numb fingers", "loss of taste", "yellow eyes", "a painful calf", "hiccups for days", "a metallic taste",
)  # fmt: skip
PAST = (
    "asthma since childhood", "gout", "a hip replacement", "two miscarriages", "coeliac disease", "a kidney stone",
    "an appendectomy", "psoriasis", "hepatitis B as a student", "a broken wrist", "migraine with aura", "sleep apnoea",
)  # fmt: skip
PLACES = (
    "Her dog",
    "His boat",
    "The greenhouse",
    "A night train",
    "The bakery",
    "An old mine",
    "Their attic",
    "The choir",
)


def case(rng: random.Random) -> str:
    """A case in free text that no other is."""
    signs, past = rng.sample(SIGNS, 4), rng.sample(PAST, 3)
    return (
        f"A {rng.randint(19, 93)}-year-old {rng.choice(('woman', 'man'))} presents with {signs[0]} and {signs[1]} for "
        f"{rng.randint(2, 30)} days, followed by {signs[2]}. {rng.choice(PLACES)} may have to do with it. Past: {past[0]}, "
        f"{past[1]} and {past[2]}. Blood pressure {rng.randint(88, 190)}/{rng.randint(48, 115)}, pulse {rng.randint(48, 140)}, "
        f"weight {rng.randint(41, 139)}.{rng.randint(1, 9)} kg, creatinine {rng.randint(5, 60) / 10} mg/dL. There is no {signs[3]}."
    )


def note(rng: random.Random, number: int) -> dict[str, str]:
    text = case(rng)
    entities = {"age": [int(text.split("-")[0].split()[-1]), "years"], "weight": [rng.randint(410, 1390) / 10, "kg"],
                "creatinine": [rng.randint(50, 600) / 100, "mg/dL"]}  # fmt: skip
    answer = f"{rng.uniform(5, 130):.3f}"
    about = {
        "Row Number": str(number),
        "Note ID": str(number),
        "Patient Note": text,
        "Question": "What is the clearance?",
    }
    return {**about, "Relevant Entities": json.dumps(entities), "Ground Truth Answer": answer}


if __name__ == "__main__":
    main()
