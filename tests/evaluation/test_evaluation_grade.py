"""Judging transcripts: lines as people write them, what is refused, and what of a history counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import task

import graders
from fhirtasks.episodes.types import Episode, Message
from fhirtasks.errors import UserError
from fhirtasks.evaluation.grade import grade_file, recorded_episode
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Check, Task, Verdict

GET = "GET http://localhost:8080/fhir/Patient?identifier=M1"
POST = 'POST http://localhost:8080/fhir/Observation\n{"resourceType":"Observation"}'
seen: list[Episode] = []


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(task: Task, episode: Episode, world: World, truth: Any = None) -> Verdict:
        seen.append(episode)
        return Verdict.of([Check("completed", episode.status == "completed", episode.status)])

    seen.clear()
    monkeypatch.setattr(graders, "truths", lambda tasks, world: {one.id: None for one in tasks})
    monkeypatch.setattr(graders, "grade", judge)


def said(*contents: str, agent: str = "assistant") -> list[dict[str, str]]:
    return [{"role": agent if index % 2 else "user", "content": text} for index, text in enumerate(contents)]


def recorded(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "episodes.jsonl"
    path.write_text(
        "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines), encoding="utf-8"
    )
    return path


def test_clinical_transcripts_are_replayed_whatever_the_recorded_answers_say(release: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "t1", "messages": said("prompt", GET, "made up", "FINISH([73])")},
        "",
        {"task_id": "t2", "messages": said("p", GET, "", "FINISH([62])", agent="agent"), "model": "x"},
    ]
    results = grade_file(release, recorded(tmp_path, *lines), None, None)
    assert [(row["id"], row["passed"]) for row in results] == [("t1", True), ("t2", True)]
    assert results[0]["checks"] == [{"name": "completed", "passed": True, "detail": "completed"}]
    observation = seen[0].turns[0].observation
    assert observation is not None and '"birthDate":"1950-02-03"' in observation.body
    assert "made up" not in json.dumps([message.content for message in seen[0].messages])


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": "prompt"}], said("p", GET)])
def test_a_transcript_without_an_answer_is_not_completed(release: Path, tmp_path: Path, messages: Any) -> None:
    (result,) = grade_file(release, recorded(tmp_path, {"id": "t1", "messages": messages}), None, None)
    assert not result["passed"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"id": "t1", "messages": ['], "line 1 is not JSON"),
        (["[]"], "line 1 is no JSON object"),
        ([{"messages": []}], "line 1 has no task id"),
        ([{"id": 1, "messages": []}], "line 1 has no task id"),
        ([{"id": "t1"}], r"line 1 \(t1\) has no messages"),
        ([{"id": "t1", "messages": "GET"}], r"line 1 \(t1\) has no messages"),
        ([{"id": "t1", "messages": [{"role": "function", "content": ""}]}], "message 1 needs a role"),
        ([{"id": "t1", "messages": [{"role": ["user"], "content": ""}]}], "message 1 needs a role"),
        ([{"id": "t1", "messages": [{"role": "user", "content": None}]}], "message 1 needs a role"),
        ([{"id": "t1", "messages": ["GET"]}], "message 1 needs a role"),
        ([{"id": "t1", "messages": []}, "", {"id": "t1", "messages": []}], "lines 1 and 3"),
        ([{"id": "t9", "messages": []}], "line 1: .* has no task 't9'"),
        ([""], "is empty"),
    ],
)
def test_bad_lines_are_named(release: Path, tmp_path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grade_file(release, recorded(tmp_path, *lines), None, None)


def test_bad_files_and_modes_are_refused(release: Path, tmp_path: Path) -> None:
    path = recorded(tmp_path, {"id": "t1", "messages": []})
    for arguments, message in (
        ((release, tmp_path / "no.jsonl", None, None), "no file"),
        ((release, tmp_path, None, None), "no file"),
        ((release, path, None, "both"), "--mode is 'both'"),
        ((release, path, None, "compat"), "has no constants"),
        ((tmp_path / "no.json", path, None, None), "no task file"),
    ):
        with pytest.raises(UserError, match=message):
            grade_file(*arguments)


def test_a_benchmarks_transcripts_are_judged_from_the_recorded_history(
    benchmark_file: Path, benchmark_graph: Path, tmp_path: Path
) -> None:
    accepted = "POST request accepted and executed successfully."
    path = recorded(tmp_path, {"id": "task3_1", "messages": said("p", POST, accepted, "FINISH([])", agent="agent")})
    assert grade_file(benchmark_file, path, benchmark_graph, "compat")[0]["passed"]
    assert [message.content for message in seen[0].messages] == ["p", POST, accepted, "FINISH([])"]
    assert seen[0].messages[1].role == "assistant"
    with pytest.raises(UserError, match="asked by compat's rules"):
        grade_file(benchmark_file, path, benchmark_graph, "clinical")


def history(*contents: str) -> list[Message]:
    return [Message(message["role"], message["content"]) for message in said(*contents)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contents", "status", "result", "kept"),
    [
        (("p", GET, "o", "FINISH([1])"), "completed", "[1]", 4),
        (("p", "FINISH([1]", "more", "FINISH([2])"), "completed", "[1", 2),
        (("p", "Sure!", "o", "FINISH([2])"), "agent invalid action", None, 2),
        (("p", "POST x\nno", "Invalid POST request", "FINISH([2])"), "completed", "[2]", 4),
        (("p", *(GET, "o") * 7, "FINISH([1])"), "completed", "[1]", 16),
        (("p", *(GET, "o") * 8, "FINISH([1])"), "task limit reached", None, 17),
        (("p", "```\nFINISH([1])\n```"), "completed", "[1]", 2),
    ],
)
def test_a_history_ends_where_the_harness_would_have_ended_it(
    contents: tuple[str, ...], status: str, result: str | None, kept: int
) -> None:
    episode = recorded_episode(task(mode="compat"), history(*contents))
    assert (episode.status, episode.result, len(episode.messages)) == (status, result, kept)
