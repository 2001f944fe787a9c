"""How fast an audit is: rows against 3,000 held-out items on two cores, beside one plain pass over the same text.

The reference reads the same rows in one process and normalises each text once (NFKC, case folding, splitting into words);
both are timed in one run. Rows are made up: an instruction, a request, a Bundle and an answer, about 2 kB. `--rows
1000000` is the full figure; the default shows the same in a minute or two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq

from fhirtasks.leakage.reading import find_parts, part_rows
from fhirtasks.leakage.texts import row_texts

GATE_GROWTH = 1.25
"""Seconds per row at the largest size may be so many times those at the smallest."""
SHARD = 50_000
NAMES = ("Ann", "Bea", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Karl", "Lena", "Milo", "Nora")
FAMILIES = ("Abbott", "Brandt", "Costa", "Dahl", "Ernst", "Fox", "Greco", "Holm", "Ibarra", "Jansen", "Kovac", "Lund")
LABS = ("magnesium", "potassium", "glucose", "creatinine", "sodium", "lactate")
SYMPTOMS = ("chest pain", "fever", "a fall", "shortness of breath", "a rash", "headache", "weakness", "nausea", "cough")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=60_000)
    options.add_argument("--items", type=int, default=3_000)
    options.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.step:
        name, *arguments = chosen.step
        print(json.dumps({"write": write_rows, "plain": plain_pass, "audit": audit_once}[name](*arguments)))
        return
    print(
        f"python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "datasets"))
        + f", {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held"
        write_items(held, chosen.items)
        each = {}
        for rows in sorted({chosen.rows // 10, chosen.rows * 3 // 10, chosen.rows}):
            data = Path(folder) / f"rows{rows}"
            step("write", data, rows)
            plain, found = step("plain", data), step("audit", data, held)
            assert found["rows"] == rows
            each[rows] = found["cpu"] / rows
            size, wall = plain["characters"] / 1e6, found["wall"]
            print(
                f"{rows:>9,} rows, {size:,.0f} MB of text, {found['items']:,} items: {wall:.1f} s ({rows / wall:,.0f} rows/s, "
                f"{size / wall:.1f} MB/s), {found['cpu']:.1f} CPU s; plain pass {plain['wall']:.1f} s, {plain['cpu']:.1f} CPU s; "
                f"ratio {plain['wall'] / wall:.3f}, of CPU {plain['cpu'] / found['cpu']:.3f}; peak {found['peak']:,.0f} MiB in a "
                f"process; self-test {found['self_test']:.1f} s besides; {found['leaks']} leaks"
            )
            shutil.rmtree(data)
    growth = each[chosen.rows] / each[chosen.rows * 3 // 10]
    print(f"CPU seconds per row, {chosen.rows:,} against {chosen.rows * 3 // 10:,} rows: {growth:.2f}")
    print(f"gate: growth {GATE_GROWTH}: {'passed' if growth <= GATE_GROWTH else 'MISSED'}")
    raise SystemExit(0 if growth <= GATE_GROWTH else 1)


def step(*arguments: object) -> dict[str, float]:
    """One step in a process of its own, whose memory is its own: what it measured."""
    command = [sys.executable, __file__, "--step", *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def cpu() -> float:
    """CPU seconds of this process and of those that it started and that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def audit_once(data: str, held: str) -> dict[str, float]:
    from fhirtasks.leakage import audit as module

    spent = [0.0, 0.0]
    measure = module.measure

    def timed(*arguments: object, **more: object) -> object:
        before = perf_counter(), cpu()
        try:
            return measure(*arguments, **more)  # type: ignore[arg-type]
        finally:
            spent[:] = perf_counter() - before[0], cpu() - before[1]

    module.measure = timed  # type: ignore[assignment]
    started = perf_counter(), cpu()
    report = module.audit(data, [held], workers=2)
    seconds, work = perf_counter() - started[0] - spent[0], cpu() - started[1] - spent[1]
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    counts = {"rows": sum(report.rows.values()), "leaks": report.leaks, "items": report.items["items"]}
    return {"wall": seconds, "cpu": work, "self_test": spent[0], "peak": peak, **counts}


def plain_pass(data: str) -> dict[str, float]:
    """Reads all rows and normalises every text once."""
    started, characters = (perf_counter(), cpu()), 0
    for part in find_parts(data).parts:
        for row in part_rows(part):
            for _, text in row_texts(row):
                unicodedata.normalize("NFKC", text).casefold().split()
                characters += len(text)
    return {"wall": perf_counter() - started[0], "cpu": cpu() - started[1], "characters": characters}


def person(rng: random.Random) -> tuple[str, str]:
    born = f"{rng.randint(1930, 1998)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return f"{rng.choice(NAMES)} {rng.choice(FAMILIES)}{''.join(rng.choices('aeioulmnrst', k=4))}", born


def write_items(folder: Path, number: int) -> None:
    """Held-out items in three formats: tasks about record numbers and people, questions about charts, notes."""
    rng = random.Random(7)
    folder.mkdir()
    tasks, notes = [], []
    for index in range(number // 3):
        name, born = person(rng)
        mrn = f"H{rng.randrange(10**7):07d}"
        text = (
            f"What is the record number of {name}, born {born}?"
            if index % 2
            else f"What is the last {rng.choice(LABS)} of {mrn}?"
        )
        tasks.append({"id": f"t_{index}", "instruction": text, "context": "", "sol": [mrn], "eval_MRN": mrn})
    for index in range(number - 2 * (number // 3)):
        age, days = rng.randint(20, 90), rng.randint(1, 30)
        first, second = rng.sample(SYMPTOMS, 2)
        text = (
            f"A patient of {age} years comes with {first} for {days} days, and lately {second}. Blood pressure is "
            f"{rng.randint(90, 180)}/{rng.randint(50, 110)} mmHg, weight {rng.randint(45, 120)} kg, "
            f"creatinine {rng.randint(5, 40) / 10}."
        )
        entities = json.dumps({"age": [age, "years"], "days": [days, "days"]})
        note = {"Note ID": str(index), "Patient Note": text, "Question": "What is it?", "Relevant Entities": entities}
        notes.append({**note, "Ground Truth Answer": f"{rng.uniform(1, 90):.3f}"})
    (folder / "tasks.json").write_text(json.dumps(tasks))
    pq.write_table(pa.Table.from_pylist(notes), folder / "notes.parquet")
    lines = ["split,question_id,question,true_answer,patient_fhir_id,val_dict"]
    for index in range(number // 3):
        patient = f"{rng.getrandbits(128):032x}"
        uuid = "-".join((patient[:8], patient[8:12], patient[12:16], patient[16:20], patient[20:]))
        subject = rng.randrange(10**7, 10**8)
        question = f"When did patient {subject} last have a {rng.choice(LABS)} above {rng.randint(1, 99)}?"
        lines.append(f"test,q{index},{question},[[{rng.randint(1, 99)}]],{uuid},{{'patient_id': '{subject}'}}")
    (folder / "questions.csv").write_text("\n".join(lines) + "\n")


def write_rows(folder: str, rows: str) -> dict[str, float]:
    number = int(rows)
    rng = random.Random(number)
    Path(folder).mkdir()
    shards = -(-number // SHARD)
    for shard in range(shards):
        table = pa.Table.from_pylist([row(rng) for _ in range(min(SHARD, number - shard * SHARD))])
        path = Path(folder) / f"train-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=5_000)
    return {"rows": number}


def row(rng: random.Random) -> dict[str, object]:
    name, born = person(rng)
    mrn, lab = f"D{rng.randrange(10**7):07d}", rng.choice(LABS)
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 4,
        "entry": [observation(rng, mrn) for _ in range(4)],
    }
    said = (
        f"Question: What is the most recent {lab} level of {name}, born {born}, MRN {mrn}, within the last 24 hours?",
        f"GET http://localhost:8080/fhir/Observation?patient={mrn}&code={lab}&_sort=-date",
        json.dumps(bundle),
        f"FINISH([{rng.randint(1, 99)}])",
    )
    messages = [{"role": "assistant" if turn % 2 else "user", "content": text} for turn, text in enumerate(said)]
    return {"id": f"{rng.getrandbits(48):012x}", "family": "latest_lab", "messages": messages}


def observation(rng: random.Random, mrn: str) -> dict[str, object]:
    return {
        "fullUrl": f"http://localhost:8080/fhir/Observation/{rng.getrandbits(64):016x}",
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": f"{rng.randrange(9999)}-{rng.randrange(9)}"}]},
            "subject": {"reference": f"Patient/{mrn}"},
            "effectiveDateTime": f"20{rng.randint(10, 23)}-0{rng.randint(1, 9)}-11T08:{rng.randint(10, 59)}:00Z",
            "valueQuantity": {"value": rng.randint(1, 999) / 10, "unit": "mg/dL"},
        },
    }


if __name__ == "__main__":
    main()
