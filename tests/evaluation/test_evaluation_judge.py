"""A model's opinion stands beside the verdict and changes none; what it is shown, and what it may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhirtasks.errors import UserError
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.evaluation.judge import endpoint_judge, opinion
from fhirtasks.printing import grade_text

asked: list[dict[str, Any]] = []


def server(reply: Callable[[dict[str, Any]], httpx.Response]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://judge.test/v1/chat/completions"
        asked.append(json.loads(request.content))
        return reply(asked[-1])

    asked.clear()
    return httpx.MockTransport(handle)


def says(content: str) -> Callable[[dict[str, Any]], httpx.Response]:
    return lambda body: httpx.Response(200, json={"choices": [{"message": {"content": content}}]})


@pytest.fixture
def episodes(release: Path, tmp_path: Path) -> Path:
    path = tmp_path / "episodes.jsonl"
    lines = [
        {
            "id": task,
            "messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": f"FINISH([{age}])"}],
        }
        for task, age in (("t1", 73), ("t2", 5))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_opinion_is_a_column_that_changes_no_verdict(release: Path, episodes: Path) -> None:
    alone = grade_file(release, episodes, None, None)
    judge = endpoint_judge("http://judge.test/v1/", "m", transport=server(says("CORRECT")))
    beside = grade_file(release, episodes, None, None, judge)
    assert [{name: row[name] for name in ("id", "passed", "checks")} for row in beside] == alone
    assert all("judge" not in row for row in alone)
    assert [row["judge"] for row in beside] == [{"correct": True, "said": "CORRECT"}] * 2
    assert not any(row["passed"] for row in beside), "nothing was read: a judge that is content makes nobody pass"
    text = grade_text(beside)
    assert "(judge: correct)" in text and "agrees on 0 of 2" in text
    assert "judge" not in grade_text(alone)


def test_it_is_shown_question_reference_and_answer(release: Path, episodes: Path) -> None:
    judge = endpoint_judge("http://judge.test/v1", "m", transport=server(says("WRONG")))
    rows = grade_file(release, episodes, None, None, judge)
    assert [row["judge"]["correct"] for row in rows] == [False, False]
    body = asked[0]
    assert (body["model"], body["temperature"]) == ("m", 0)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    shown = body["messages"][1]["content"]
    assert "<answer>\n[73]\n</answer>" in shown and "<reference>" in shown and "<question>" in shown


def test_a_judge_that_cannot_be_asked_has_no_opinion(
    release: Path, episodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirtasks.evaluation.models.time.sleep", lambda seconds: None)
    down = endpoint_judge("http://judge.test/v1", "m", transport=server(lambda body: httpx.Response(503, text="later")))
    rows = grade_file(release, episodes, None, None, down)
    assert [row["judge"]["correct"] for row in rows] == [None, None] and "503" in rows[0]["judge"]["said"]
    assert "(judge: ?)" in grade_text(rows)


def test_the_last_word_counts() -> None:
    assert opinion("CORRECT").correct is True
    assert opinion("It is incorrect.").correct is False
    assert opinion("<think>WRONG?</think>correct").correct is True
    assert opinion("The reference says 4, so it is not CORRECT: WRONG").correct is False
    assert opinion("maybe").correct is None and opinion("").correct is None


def test_what_it_needs_is_said() -> None:
    with pytest.raises(UserError, match="give the base URL"):
        endpoint_judge("judge.test", "m")
    with pytest.raises(UserError, match="--judge needs --judge-model"):
        endpoint_judge("http://judge.test/v1", None)
