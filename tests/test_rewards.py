"""Reward components: bounded, pure, and each earned or lost by what it names."""

from __future__ import annotations

import pytest

from fhirtasks import rewards
from fhirtasks.episodes.types import Call, Episode, EpisodeStatus, Finish, Get, Invalid, Message, Observation, Turn
from fhirtasks.tasks.types import Check, Verdict

GOOD = Verdict(
    True,
    1.0,
    (Check("completed", True), Check("evidence", True), Check("cited", True), Check("scope", True)),
    (("evidence_recall", 1.0), ("evidence_precision", 1.0)),
)
BAD = Verdict(False, 0.4, (Check("completed", True), Check("answer", False, "wrong")))


def episode(*turns: Turn, status: EpisodeStatus = "completed") -> Episode:
    return Episode("t", (Message("user", "q"),), turns, status, "[]" if status == "completed" else None)


def ran(body: str) -> Turn:
    return Turn("", Call("execute_python", {"code": "1"}), Observation(body, 200, body))


END = Turn("", Finish([]), None)


def test_a_right_episode_earns_everything() -> None:
    found = rewards.components(GOOD, episode(ran('{"output":"1"}'), END))
    assert found == dict.fromkeys(rewards.COMPONENTS, 1.0)


def test_each_component_is_lost_by_what_it_names() -> None:
    assert rewards.outcome(BAD, episode(END)) == 0.0
    assert rewards.finished(BAD, episode(status="task limit reached")) == 0.0
    assert rewards.grounded(Verdict(False, 0.9, (Check("evidence", False), Check("cited", True))), episode(END)) == 0.5
    assert rewards.computed(GOOD, episode(ran('{"output":"","error":"ZeroDivisionError"}'), END)) == 0.0
    measured = Verdict(False, 0.0, (), (("evidence_recall", 0.25), ("evidence_precision", 0.5)))
    assert rewards.evidence_recall(measured, episode(END)) == 0.25
    assert rewards.evidence_precision(measured, episode(END)) == 0.5
    strayed = Verdict(False, 0.9, (Check("scope", False, "x"), Check("references", True), Check("literal", False, "y")))
    assert rewards.scope(strayed, episode(END)) == 0.5
    assert rewards.grounded(strayed, episode(END)) == 0.0
    half = episode(Turn("", Get("u"), Observation("", 404)), Turn("", Get("u"), Observation("", 200)), END)
    assert rewards.carried_out(GOOD, half) == 0.5
    assert rewards.carried_out(GOOD, episode(Turn("", Invalid("no", ends=False), Observation("", 200)), END)) == 0.0


READ = Turn("", Get("u"), Observation("", 200))


def judged(**checks: bool) -> Verdict:
    """A verdict of a server's protocol, whose form is right: what doing nothing passes as well."""
    return Verdict.of([Check("completed", True), Check("protocol", True), *(Check(*one) for one in checks.items())])


def test_partial_is_nothing_for_who_does_nothing_however_many_checks_that_passes() -> None:
    idle = judged(answer_shape=True, answer=True, writes_count=True, evidence=False)
    assert idle.score > 0.8 and rewards.partial(idle, episode(END)) == 0.0
    assert rewards.partial(idle, episode(READ, END)) == 0.0  # a right answer that was not read
    assert rewards.partial(judged(answer_shape=False, writes_count=True), episode(READ, END)) == 0.0


def test_partial_counts_what_was_written_right_and_nothing_of_writes_too_many_or_for_another_patient() -> None:
    writes = {"write_subject": True, "write_type": True, "write_dose": False}
    tried = episode(READ, END)
    assert rewards.partial(judged(answer=True, writes_count=True, **writes), tried) == 0.75
    assert rewards.partial(judged(answer=True, writes_count=True, **writes | {"write_subject": False}), tried) == 0.0
    assert rewards.partial(judged(answer=True, writes_count=False), tried) == 0.0


def test_partial_credit_of_a_typed_answer_is_for_what_was_fetched() -> None:
    half = Verdict(False, 0.5, (Check("answer", False, "half of the list"),), (("evidence_recall", 0.8),))
    assert rewards.partial(half, episode(READ, END)) == 0.4
    assert rewards.partial(half, episode(END)) == 0.0
    assert rewards.partial(Verdict(False, 0.99, (Check("evidence", False, "x"),)), episode(READ, END)) == 0.0


def test_what_does_not_apply_is_none_and_left_out() -> None:
    for component in (rewards.grounded, rewards.evidence_recall, rewards.evidence_precision, rewards.scope):
        assert component(BAD, episode(END)) is None
    assert rewards.computed(GOOD, episode(Turn("", Get("u"), Observation("", 200)), END)) is None
    assert rewards.reward(BAD, episode(END), {"finished": 1.0, "grounded": 3.0}) == 1.0


def test_nothing_applies_is_nothing() -> None:
    assert rewards.reward(BAD, episode(END), {"grounded": 1.0}) == 0.0


def test_an_unknown_component_is_named() -> None:
    with pytest.raises(ValueError, match="'speed'; there are: outcome"):
        rewards.reward(GOOD, episode(END), {"speed": 1.0})
