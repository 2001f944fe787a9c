"""The auditor's walk-through in docs/leakage.md, run as it is written: the same commands, the same output."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.planting.leaks import WHATS, leaks
from tests.benchmarks.bench_leakage import BEGIN, END
from tests.hub.hub_double import HubDouble
from tests.planting.test_planting_leaks import ITEMS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "leakage.md"
BENCHMARK = [
    {
        "id": "q1",
        "instruction": "What is the record number of the patient named Ines Okonjo, born 1932-12-29?",
        "eval_MRN": "Q1234567",
        "sol": ["Q1234567"],
    },
    {"id": "q2", "instruction": "When did Q7654321 last have a weight above 71.5 kg?", "eval_MRN": "Q7654321"},
]
LEAKS = {
    17: ["The patient is Okonjo, Ines.", "GET /Patient?birthdate=1932-12-29"],
    58: ["Summarise the chart.", "GET https://ehr.example/fhir/Patient?identifier=urn%3Amrn%7Cq%2D765%2D4321"],
}


def table(leaking: bool) -> bytes:
    rows = []
    for number in range(120):
        said = [f"What is the last weight of D{5_550_000 + number}?", f"GET /Observation?patient=D{5_550_000 + number}"]
        said = LEAKS[number] if leaking and number in LEAKS else said
        said += [
            f'{{"resourceType":"Bundle","total":1,"entry":[{{"value":{50 + number / 10}}}]}}',
            f"FINISH([{50 + number / 10}])",
        ]
        roles = ("user", "assistant", "user", "assistant")
        rows.append(
            {"id": f"r{number}", "messages": [{"role": r, "content": c} for r, c in zip(roles, said, strict=True)]}
        )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def hub() -> Iterator[HubDouble]:
    card = b"---\nconfigs:\n- config_name: sft\n  data_files:\n  - split: train\n    path: sft/train-*.parquet\n---\nA card.\n"
    with HubDouble() as double:
        files = {"README.md": card, "sft/train-00000-of-00001.parquet": table(leaking=True)}
        repo = double.repo("clinic/demo", "clinic", private=False, files=files)
        repo.tags["v1.0.0"] = repo.refs["main"]
        repo.tags["v1.0.1"] = repo.commit({**files, "sft/train-00000-of-00001.parquet": table(leaking=False)}, "second")
        yield double


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(console|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether the lines shown are those printed; a line "…" stands for any, and within a line for any letters."""
    if not shown:
        return not printed
    if shown[0] == "…":
        return any(matches(shown[1:], printed[start:]) for start in range(len(printed) + 1))
    line = ".*".join(map(re.escape, shown[0].split("…")))
    return bool(printed) and re.fullmatch(line, printed[0]) is not None and matches(shown[1:], printed[1:])


def test_the_walk_through_runs_as_written(hub: HubDouble, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text(json.dumps(BENCHMARK))
    place = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf"), "COLUMNS": "200"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **place, "PATH": path}
    page = PAGE.read_text(encoding="utf-8").split("<!-- not run below -->", 1)[0]
    ran = 0
    for kind, block in blocks(page):
        if kind == "python":
            source, _, shown = block.partition("\n# prints\n")
            steps = [([sys.executable, "-c", source], shown.replace("# ", "").splitlines())]
        else:
            steps = []
            for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, shown = command.partition("\n")
                while line.endswith("\\"):
                    more, _, shown = shown.partition("\n")
                    line = line[:-1] + more.removeprefix("> ")
                steps.append((["bash", "-c", line], shown.splitlines()))
        for command, shown_lines in steps:
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
            )
            assert matches(shown_lines, done.stdout.splitlines()), f"{command}\n{done.stdout}\n{done.stderr[-1500:]}"
            ran += 1
    assert ran == 7


def test_the_table_is_of_todays_disguises() -> None:
    """Whoever adds a disguise makes the table anew: python tests/benchmarks/bench_leakage.py --docs docs/leakage.md."""
    made = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| [\d,]+ \| [\d,]+ \| ([\d.]+%) \|$", made, re.MULTILINE))
    assert {leak.disguise for leak in leaks(ITEMS, 1, Random(0))} <= rows.keys() and set(WHATS) <= rows.keys()
    assert set(rows.values()) == {"100.0%"}
