"""Stumbles on purpose: about one task in eight, really made and answered, put right, and left out of what is trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.faults import faulty, faulty_turns
from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.fhir.r4types import RESOURCE_TYPES
from fhirtasks.graph.world import World
from fhirtasks.release.rows import Trajectory, hash_of, provenance, sft_table, turns_table
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.types import Task
from solvers import solver
from solvers.questions.recovery import EVERY, MISNAMED, Stumble, broken, stumble

SAMPLE = (("value_ever_beyond", "True"), ("ever_diagnosed", "True"), ("drugs_ordered", "True"))


def id_with(kind: Stumble | None, number: int = 0) -> str:
    """The id of a task that has this stumble."""
    return [id_ for n in range(4_000) if stumble(id_ := f"{n:016x}") == kind][number]


def played(population: World, family: str, branch: str, kind: Stumble | None, number: int = 0) -> tuple[Task, Episode]:
    task = replace(draw(family, population, branch.lower(), 0), id=id_with(kind, number))
    return task, play(task, population, solver(family))


def test_about_one_task_in_eight_stumbles_over_each_thing_alike() -> None:
    counts = Counter(stumble(f"{n:016x}") for n in range(16_000))
    assert set(counts) == {None, *get_args(Stumble)}
    for kind in get_args(Stumble):
        assert 400 < counts[kind] < 600, counts
    assert counts[None] / 16_000 == pytest.approx(1 - 1 / EVERY, abs=0.01)


@pytest.mark.parametrize("kind", get_args(Stumble))
@pytest.mark.parametrize(("family", "branch"), SAMPLE)
def test_a_stumble_is_answered_put_right_and_passes(family: str, branch: str, kind: Stumble, population: World) -> None:
    task, episode = played(population, family, branch, kind)
    verdict = graders.grade(task, episode, population)
    assert verdict.passed, [check for check in verdict.checks if not check.passed]
    assert len(faulty_turns(episode.messages)) == 1 == dict(verdict.measures)["faulty_turns"]
    assert replay_task(task, population, episode.raws) == episode
    straight, plain = played(population, family, branch, None)
    assert faulty_turns(plain.messages) == ()
    assert "faulty_turns" not in dict(graders.grade(straight, plain, population).measures)
    assert plain.result == episode.result and len(plain.turns) < len(episode.turns)


def test_each_broken_piece_of_code_raises(population: World) -> None:
    seen = set()
    for number in range(12):
        _, episode = played(population, "value_ever_beyond", "True", "exception", number)
        (turn,) = faulty_turns(episode.messages)
        reply = [message.content for message in episode.messages if message.role == "tool"][turn]
        seen |= {name for name in ("NameError", "KeyError", "SyntaxError") if name in reply}
    assert seen == {"NameError", "KeyError", "SyntaxError"}
    assert broken("print(1)\n", "x") == "print(1)\nprint(result)\n"


def test_the_faulty_message_is_in_prompts_and_never_a_completion(population: World) -> None:
    rows = []
    for kind in (*get_args(Stumble), None):
        task, episode = played(population, "value_ever_beyond", "True", kind)
        verdict = graders.grade(task, episode, population)
        origin = provenance(task, population.fingerprint, "g")
        rows.append(Trajectory(task, episode, verdict, origin, hash_of("code", episode.messages)))
    whole = sft_table(rows)
    for start in (0, 1):  # a slice is read like a table of its own
        table = whole.slice(start)
        turns = turns_table(table)
        assert turns.column_names[0] == "id"
        for row in rows[start:]:
            mine = [one for one in turns.to_pylist() if one["content_hash"] == row.content_hash]
            said = sum(message.role == "assistant" for message in row.episode.messages)
            wrong = faulty_turns(row.episode.messages)
            assert [one["turn"] for one in mine] == [turn for turn in range(said) if turn not in wrong]
            for one in mine:
                assert one["completion"][0]["role"] == "assistant"
                asked = [message for message in one["prompt"] if message["role"] == "assistant"]
                assert len(asked) == one["turn"]


def test_a_patient_whom_nobody_knows_is_a_finding(population: World) -> None:
    task = draw("value_ever_beyond", population, "true", 0)
    unknown = replace(task, slots={**task.slots, "patient": "nobody"})
    call = dumps({"content": "", "tool_calls": [{"name": "coverage", "arguments": {"patient": "nobody"}}]})
    found = replay_task(unknown, population, [call])
    assert "error" in found.messages[-1].content and faulty_turns(found.messages) == ()
    assert faulty_turns(replay_task(task, population, [call]).messages) == (0,)


def test_no_misnamed_type_is_one_of_r4() -> None:
    assert set(MISNAMED) <= RESOURCE_TYPES and not {*MISNAMED.values()} & RESOURCE_TYPES


def test_what_a_faulty_reply_is() -> None:
    for reply in (
        dumps({"error": "there is no tool 'x'"}),
        dumps({"output": "", "hint": "nothing was printed"}),
        dumps({"output": "a\n[… 9,000 characters omitted of 13,000 in 7 lines …]\nb"}),
        dumps({"output": "a\n[output stopped: more than 1,000,000 characters were printed]"}),
        dumps({"type": "Visit", "fetched": 0, "hint": "the record has none"}),
    ):
        assert faulty(reply)
    for reply in (
        dumps({"output": '{"error": "as a resource says"} "hint": characters omitted of'}),
        dumps({"output": "12"}),
        "[1]",
        dumps({"type": "ImagingStudy", "fetched": 0, "hint": "the record has none"}),
        '"hint":',
        "",
    ):
        assert not faulty(reply)
