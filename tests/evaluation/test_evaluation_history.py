"""Section by section, what the public grader makes of a raw history: accepted by the environment, lost by the grader.

The real service, environment and judges, on one hand-made patient.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import NOW

from fhirtasks.benchmarks.medagentbench import read_tasks, to_task
from fhirtasks.episodes.environment import Environment, replay
from fhirtasks.episodes.types import Episode
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.graph.world import World
from fhirtasks.service.service import Service
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.types import Task

BASE = "http://localhost:8080/fhir/"
PRESSURE: dict[str, Any] = {
    "resourceType": "Observation",
    "category": [
        {
            "coding": [
                {
                    "system": "http://hl7.org/fhir/observation-category",
                    "code": "vital-signs",
                    "display": "Vital Signs",
                }
            ]
        }
    ],
    "code": {"text": "BP"},
    "effectiveDateTime": NOW,
    "status": "final",
    "valueString": "118/77 mmHg",
    "subject": {"reference": "Patient/S1"},
}
BODY = json.dumps(PRESSURE)
POST = f"POST {BASE}Observation\n{BODY}"
GLUCOSE = f"GET {BASE}Observation?patient=S1&code=GLU&_sort=-date"


@pytest.fixture
def tasks(benchmark_file: Path) -> dict[str, Task]:
    return {row.id: to_task(row) for row in read_tasks(benchmark_file)}


@pytest.fixture
def judged(tasks: dict[str, Task], benchmark_file: Path, benchmark_graph: Path, tmp_path: Path) -> Any:
    """Plays raw texts in the benchmark-exact environment, records the history, and has the file judged."""

    def judge(task_id: str, *raws: str) -> tuple[bool, Episode]:
        world = World.open(benchmark_graph)
        episode = replay_task(tasks[task_id], world, raws)
        world.close()
        line = {"id": task_id, "messages": [{"role": one.role, "content": one.content} for one in episode.messages]}
        path = tmp_path / "episodes.jsonl"
        path.write_text(json.dumps(line) + "\n", encoding="utf-8")
        (result,) = grade_file(benchmark_file, path, benchmark_graph, None)
        return result["passed"], episode

    return judge


@pytest.mark.parametrize(
    "raws",
    [
        (POST, "FINISH([])"),
        (f"POST {BASE}Observation\n{json.dumps(PRESSURE, indent=2)}", "FINISH([])"),
        (POST + "  \n", "FINISH([])"),
        (POST, "FINISH(whatever"),
        ("POST nowhere\nnot json", POST, "FINISH([])"),
        (f"GET {BASE}Patient/S1", POST, "FINISH([])"),
        (f"POST {BASE}Observation\n{json.dumps(PRESSURE | {'note': 'more'})}", "FINISH([])"),
    ],
    ids=["plain", "pretty-printed", "trailing space", "any result", "rejected first", "failed read first", "more keys"],
)
def test_these_writes_pass(judged: Any, raws: tuple[str, ...]) -> None:
    passed, episode = judged("task3_1", *raws)
    assert passed and episode.status == "completed"


@pytest.mark.parametrize(
    "raws",
    [
        (f"```\n{POST}\n```", "FINISH([])"),
        (f"POST {BASE}Observation\n```\n{BODY}\n```", "FINISH([])"),
        (f"\n{POST}", "FINISH([])"),
        (f" {POST}", "FINISH([])"),
        (POST, POST, "FINISH([])"),
        (f"POST {BASE}/Observation\n{BODY}", "FINISH([])"),
        (f"POST {BASE}Observation/\n{BODY}", "FINISH([])"),
        (POST, 'FINISH(["POST done"])'),
        (POST.replace("+00:00", "Z"), "FINISH([])"),
        (POST.replace('"Patient/S1"', f'"{BASE}Patient/S1"'), "FINISH([])"),
        (POST.replace("http://hl7.org/fhir/obs", "http://terminology.hl7.org/CodeSystem/obs"), "FINISH([])"),
        (POST, "Done."),
        (POST,),
        ("FINISH([])",),
    ],
    ids=[
        "fenced", "body fenced", "leading newline", "leading space", "twice", "double slash", "trailing slash",
        "POST in FINISH", "Z", "absolute subject", "R4 category", "no FINISH", "unfinished", "nothing written",
    ],
)  # fmt: skip
def test_these_are_accepted_by_the_environment_and_lost_by_the_grader(judged: Any, raws: tuple[str, ...]) -> None:
    passed, episode = judged("task3_1", *raws)
    assert not passed
    for turn in episode.turns:
        if turn.observation is not None:
            assert turn.observation.text.startswith("POST request accepted")


def test_a_body_in_a_json_fence_is_rejected_outright(judged: Any) -> None:
    passed, episode = judged("task3_1", f"POST {BASE}Observation\n```json\n{BODY}\n```", "FINISH([])")
    assert not passed and episode.turns[0].observation is not None
    assert episode.turns[0].observation.text == "Invalid POST request"


@pytest.mark.parametrize(
    ("raws", "right"),
    [
        ((GLUCOSE, "FINISH([101])"), True),
        ((GLUCOSE, "FINISH([101.0])"), True),
        (("FINISH([101])",), True),
        ((GLUCOSE, 'FINISH(["101"])'), False),
        ((GLUCOSE, "FINISH([101]"), False),
        ((GLUCOSE, "FINISH([101]) "), True),
        ((GLUCOSE, "```\nFINISH([101])\n```"), True),
        ((GLUCOSE, "POST nowhere\nnot json", "FINISH([101])"), False),
        (("```\n" + GLUCOSE + "\n```", "FINISH([101])"), True),
        ((GLUCOSE, "<think>x</think>FINISH([101])"), False),
        ((*(GLUCOSE,) * 7, "FINISH([101])"), True),
        ((*(GLUCOSE,) * 8, "FINISH([101])"), False),
    ],
)
def test_answers_and_attempts_to_write(judged: Any, raws: tuple[str, ...], right: bool) -> None:
    assert judged("task7_1", *raws)[0] is right


def test_what_the_server_shows_is_printed_as_hapi_prints(tasks: dict[str, Task], benchmark_graph: Path) -> None:
    world = World.open(benchmark_graph)
    service = Service(world, now=None, task_id="x", style="hapi")
    episode = replay(Environment(tasks["task7_1"].public(), service), [GLUCOSE, "FINISH([])"])
    world.close()
    observation = episode.turns[0].observation
    assert observation is not None and observation.text.startswith("Here is the response from the GET request:\n{\n  ")
    assert '"entry": [ {' in observation.body and json.loads(observation.body)["total"] == 2
    assert (
        observation.text
        == f"Here is the response from the GET request:\n{observation.body}. Please call FINISH if "
        + ("you have got answers for all the questions and finished all the requested tasks")
    )


def test_reads_by_id_fail_and_the_words_are_those_of_requests(tasks: dict[str, Task], benchmark_graph: Path) -> None:
    world = World.open(benchmark_graph)
    episode = replay_task(tasks["task7_1"], world, [f"GET {BASE}Patient/S1", f"GET {BASE}Observation?date=a,b"])
    world.close()
    texts = [message.content for message in episode.messages[2::2]]
    assert texts[0].startswith("Error in sending the GET request: 4")
    assert texts[0].endswith(f" Client Error:  for url: {BASE}Patient/S1&_format=json")
    assert (
        texts[1]
        == f"Error in sending the GET request: 400 Client Error:  for url: {BASE}Observation?date=a,b&_format=json"
    )
