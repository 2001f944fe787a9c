"""The public benchmark's grader, to the letter, quirks and all; its constants are the task's ``params``.

MedAgentBench (Jiang et al., NEJM AI 2025; github.com/stanfordmlgroup/MedAgentBench): the verdict is taken from the
recorded
messages, not from what was executed; numbers are floats; equality is Python's (``true == 1``, ``2 == 2.0``);
whatever raises
fails. Every assertion is one of our named checks, and an episode passes if all of them do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fhirtasks.episodes.types import Episode, Message
from fhirtasks.fhir.dates import instant
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Check, Task, Verdict
from graders import compat_writes, identities, overlay
from graders.compat_writes import Assertion, Posted
from graders.results import Case, select

LISTED = 5000
"""The grader's own searches ask for this many results; what comes after them it does not see."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the grader's own request would find: birth dates of patients with the MRN (in id order), results in id order."""

    birthdates: tuple[str | None, ...] = ()
    results: tuple[tuple[str | None, str | None], ...] = ()
    """Each as (effectiveDateTime, value), as written; None where it is missing, which makes the grader raise."""


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """By task id: one query for the results of all tasks. What is visible at the task's ``now`` counts, later times included."""
    labs = [task for task in tasks if "code" in task.params and task.family != "record_blood_pressure"]
    cases = [
        Case(
            task.id,
            task.params["patient"],
            task.params["code"],
            instant(task.now),
            task.scenario,
            newest=False,
            plain=False,
        )
        for task in labs
    ]
    results = select(cases, world)
    found = {}
    for task in tasks:
        births = _birthdates(task, world) if task.family == "patient_age" else ()
        listed = results[task.id].counted[:LISTED] if task.id in results else []
        found[task.id] = Truth(births, tuple((one.effective, one.value) for one in listed))
    return found


def _birthdates(task: Task, world: World) -> tuple[str | None, ...]:
    mrn, now = task.params["mrn"], instant(task.now)
    gone = overlay.gone(task.scenario, "Patient")
    everyone = identities.people(world).by_identifier.get(mrn, [])
    persons = [one for one in everyone if one.id not in gone and (one.available is None or one.available <= now)]
    persons += [identities.person(one.body, one.raw) for one in overlay.added(task.scenario, "Patient")]
    fits = sorted((one for one in persons if any(value == mrn for value, _ in one.identifiers)), key=lambda one: one.id)
    return tuple(one.birthdate for one in fits)


# -- the verdict


@dataclass(slots=True)
class Rules:
    """What one family's rules ask of an episode: no POST in any message, or POSTs in order; and an answer, or none."""

    no_post: bool = True
    posts: tuple[tuple[Assertion, ...], ...] = ()
    accepts: Callable[[Any], bool] | None = None
    """Takes the parsed result; None: the result is not looked at."""


def grade(task: Task, episode: Episode, truth: Truth) -> Verdict:
    """The public grader's verdict on the episode: only completed episodes are graded at all."""
    done = episode.status == "completed" and episode.result is not None
    checks = [Check("completed", done, "" if done else f"the episode ended: {episode.status}")]
    parsed = episode.status != "agent invalid action"
    checks.append(Check("protocol", parsed, "" if parsed else "the last message is no action"))
    try:
        rules = _FAMILIES[task.family](task, truth)
    except Exception as error:  # as in the original: whatever goes wrong in finding the truth fails the episode
        return Verdict.of([*checks, Check("answer", False, f"the grader raises {type(error).__name__}: {error}")])
    checks += _writes(episode, rules)
    if rules.accepts is not None:
        checks += _answer(episode, rules.accepts)
    return Verdict.of(checks)


def _answer(episode: Episode, accepts: Callable[[Any], bool]) -> list[Check]:
    try:
        given = json.loads(episode.result or "")
    except (ValueError, RecursionError):
        return [Check("answer_shape", False, "the text in FINISH is not JSON")]
    checks = [Check("answer_shape", isinstance(given, list), "" if isinstance(given, list) else "FINISH holds no list")]
    try:
        right = accepts(given)
    except Exception as error:
        return [*checks, Check("answer", False, f"comparing raises {type(error).__name__}")]
    return [*checks, Check("answer", right, "" if right else f"found {(episode.result or '')[:80]}")]


def _writes(episode: Episode, rules: Rules) -> list[Check]:
    if rules.no_post:
        said = any(message.role == "assistant" and "POST" in message.content for message in episode.messages)
        return [Check("writes_count", not said, "a message says POST where nothing may be created" if said else "")]
    try:
        posts = posted(episode.messages)
    except IndexError:
        return [Check("writes_count", False, "the last message says POST: the grader reads past the end")]
    if len(posts) != len(rules.posts):
        return [Check("writes_count", False, f"expected {len(rules.posts)} accepted POSTs, found {len(posts)}")]
    return [Check("writes_count", True), *compat_writes.check(rules.posts, posts)]


def posted(messages: Sequence[Message]) -> list[Posted]:
    """The accepted POSTs as the public grader reads them again from the raw history.

    The URL is the first line less its first four characters. IndexError if the last message says POST.
    """
    found = []
    for place, message in enumerate(messages):
        if message.role != "assistant" or "POST" not in message.content:
            continue
        if "POST request accepted" in messages[place + 1].content:
            first, *rest = message.content.split("\n")
            try:
                body = json.loads("\n".join(rest))
            except (ValueError, RecursionError):
                continue
            found.append(Posted(first[4:].strip(), body))
    return found


# -- families


def _patient_lookup(task: Task, truth: Truth) -> Rules:
    sol = json.loads(task.params["sol"])
    return Rules(accepts=lambda given: bool(given == sol))


def _patient_age(task: Task, truth: Truth) -> Rules:
    born = datetime.strptime(truth.birthdates[0] or "", "%Y-%m-%d").date()  # noqa: DTZ007 - dates have no zone
    today = date.fromisoformat(task.params["now"][:10])
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return Rules(accepts=lambda given: bool(given == [age]))


def _record_blood_pressure(task: Task, truth: Truth) -> Rules:
    return Rules(no_post=False, posts=(compat_writes.blood_pressure(task.params),))


def _latest(task: Task, truth: Truth) -> Rules:
    value = _newest(task, truth)[1]
    return Rules(accepts=lambda given: bool(given == [-1 if value is None else value]))


def _mean(task: Task, truth: Truth) -> Rules:
    total = count = 0.0
    since = _since(task.params)
    for time, value in _timed(truth):
        if since is None or time >= since:
            total, count = total + value, count + 1
    mean = total / count if count else -1
    tolerance = float(task.params["tolerance"])
    return Rules(accepts=lambda given: len(given) == 1 and bool(abs(given[0] - mean) < tolerance))


def _magnesium(task: Task, truth: Truth) -> Rules:
    params, value = task.params, _newest(task, truth)[1]
    if value is None:
        return Rules()
    if value > _num(params["low_at_or_below"]):
        return Rules(accepts=_reports([value]))
    if value < _num(params["severe_below"]):
        tier = "severe"
    else:
        tier = "moderate" if value < _num(params["moderate_below"]) else "mild"
    order = compat_writes.magnesium(params, _num(params[f"{tier}_dose"]), _num(params[f"{tier}_hours"]))
    return Rules(no_post=False, posts=(order,), accepts=_reports([value]))


def _potassium(task: Task, truth: Truth) -> Rules:
    params, value = task.params, _newest(task, truth)[1]
    answer = _reports([-1 if value is None else value])
    if value is None or value >= _num(params["threshold"]):
        return Rules(accepts=answer)
    dose = (_num(params["threshold"]) - value) / _num(params["step"]) * _num(params["step_dose"])
    orders = (compat_writes.potassium(params, dose), compat_writes.service(params, recheck=params["recheck_contains"]))
    return Rules(no_post=False, posts=orders, accepts=answer)


def _a1c(task: Task, truth: Truth) -> Rules:
    time, value, written = _newest(task, truth)
    answer = _reports([-1] if value is None else [value, written])
    if time is not None and time >= datetime.fromisoformat(task.params["stale_before"]):
        return Rules(accepts=answer)
    return Rules(no_post=False, posts=(compat_writes.service(task.params),), accepts=answer)


def _referral(task: Task, truth: Truth) -> Rules:
    return Rules(no_post=False, posts=(compat_writes.service(task.params, text=task.params["text"]),))


_FAMILIES: dict[str, Callable[[Task, Truth], Rules]] = {
    "patient_lookup": _patient_lookup,
    "patient_age": _patient_age,
    "record_blood_pressure": _record_blood_pressure,
    "latest_lab_in_window": _latest,
    "mean_lab_in_window": _mean,
    "latest_lab": _latest,
    "magnesium_replacement": _magnesium,
    "potassium_replacement": _potassium,
    "a1c_reorder": _a1c,
    "referral_order": _referral,
}


def _num(text: str) -> Any:
    """A parameter as the number that its JSON text is in Python: ``4`` an int, ``1.9`` a float."""
    return json.loads(text)


def _reports(answer: list[Any]) -> Callable[[Any], bool]:
    """The value was only to be checked, so an empty list will do."""
    return lambda given: bool(given in (answer, []))


def _since(params: dict[str, str]) -> datetime | None:
    """The start of the window, inclusive; there is no end. None where all results count."""
    if "window_hours" not in params:
        return None
    return datetime.fromisoformat(params["now"]) - timedelta(hours=float(params["window_hours"]))


def _timed(truth: Truth) -> list[tuple[datetime, Any]]:
    """Every listed result, read as the grader reads it: one without a time or a number raises, in the window or not."""
    found = []
    for effective, value in truth.results:
        if effective is None or value is None:
            raise KeyError("effectiveDateTime" if effective is None else "valueQuantity")
        found.append((datetime.fromisoformat(effective), _num(value)))
    return found


def _newest(task: Task, truth: Truth) -> tuple[datetime | None, Any, str | None]:
    """Time, value and time as written of the latest result; of equal times the first that the server lists."""
    since = _since(task.params)
    newest: tuple[datetime | None, Any, str | None] = (None, None, None)
    for (time, value), (written, _) in zip(_timed(truth), truth.results, strict=True):
        if (since is None or time >= since) and (newest[0] is None or time > newest[0]):
            newest = (time, value, written)
    return newest
