"""Other right ways: legitimate variants of a correct clinical episode, every one of which must pass.

The public grader's own tolerance is fixed by its assertions, so that ``compat`` has no alternatives of its own here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

import msgspec

from fhirtasks.episodes.text import render
from fhirtasks.episodes.types import Episode, Post
from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.dates import render as render_time
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks.play import open_environment, replay_task
from fhirtasks.tasks.types import Task, Verdict
from graders import Truth, alternatives_code, grade, probes
from graders.damage import LABS, Played, Raws, date_parameter, said_in
from graders.results import tokens
from graders.writes import ROUTES, SNOMED


@dataclass(frozen=True, slots=True)
class Alternative:
    """A legitimate variant as raw assistant texts."""

    kind: str
    raws: tuple[str, ...]


def alternatives(task: Task, episode: Episode, world: World, truth: Truth | None = None) -> Iterator[Alternative]:
    """Every variant that applies to a correct clinical episode; none in compat."""
    if task.mode != "clinical":
        return
    played = Played(task, episode, world, truth=truth)
    if task.protocol == "code":
        for kind, other in alternatives_code.KINDS.items():
            made = other(played.solved)
            if made is not None and made != episode.raws:
                yield Alternative(kind, made)
        return
    for kind, variant in KINDS.items():
        raws = variant(played)
        if raws is not None and raws != played.raws:
            yield Alternative(kind, said_in(task, raws))


def run_alternative(task: Task, world: World, alternative: Alternative, truth: Truth | None = None) -> Verdict:
    """The verdict on the variant, played from its raw texts."""
    return grade(task, replay_task(task, world, alternative.raws), world, truth)


# -- other searches


def _searching(
    played: Played, *parameters: str, patient: str | None = None, code: str | None = None, pages: bool = True
) -> Raws | None:
    """The results found by another search, read to its last page, or its first page alone."""
    if played.task.family not in LABS:
        return None
    finding = [raw for raw in played.gets if f"{BASE}Patient" in raw]
    url = played.results_url(*parameters, patient=patient, code=code)
    reads = [*finding, *(_all_pages(played, url) if pages else (url,))]
    return played.reading(reads) if len(reads) + len(played.posts) < 20 else None


def _all_pages(played: Played, raw: str) -> Raws:
    """A search and the pages that its next links lead to."""
    environment = open_environment(played.task, played.world)
    raws = [raw]
    while True:
        observation = environment.step(*said_in(played.task, (raws[-1],)))
        links = loads(observation.body).get("link", []) if observation is not None else []
        following = [link["url"] for link in links if link["relation"] == "next"]
        if not following:
            return tuple(raws)
        raws.append(f"GET {following[0]}")


def every_page(played: Played) -> Raws | None:
    """No date, no order: all results, page after page."""
    return _searching(played)


def large_page(played: Played) -> Raws | None:
    return _searching(played, "_count=1000")


def sorted_pages(played: Played) -> Raws | None:
    return _searching(played, "_sort=-date", "_count=50")


def newest_only(played: Played) -> Raws | None:
    """The one newest result up to now, by a search in order of time; where results tie, it would not tell."""
    if played.task.family not in LABS or played.task.family == "mean_lab_in_window":
        return None
    times = sorted(one.time or 0 for one in played.results(played.patient_id))
    if times[-2:] == times[-1:] * 2:
        return None
    return _searching(played, date_parameter("le", played.task.now), "_sort=-date", "_count=1", pages=False)


def by_subject(played: Played) -> Raws | None:
    if played.task.family not in LABS:
        return None
    return _replaced(played, f"patient={played.patient_id}", f"subject={played.patient_id}")


def by_reference(played: Played) -> Raws | None:
    return _searching(played, "_count=200", patient=f"Patient/{played.patient_id}")


def with_category(played: Played) -> Raws | None:
    """With the category that all results of the code have."""
    if played.task.family not in LABS:
        return None
    texts = [one.text for one in probes.templates(played.task, played.world, played.code)]
    results = [one.raw for one in played.results(played.patient_id)]
    if not all('"code":"laboratory"' in text for text in (*texts, *results)):
        return None
    return _searching(played, "category=laboratory", "_count=200")


def with_system(played: Played) -> Raws | None:
    """``system|code``, where the code has one system."""
    if played.task.family not in LABS:
        return None
    known = tokens(played.world).get(played.code, [])
    if len(known) != 1 or known[0].startswith("|"):
        return None
    return _searching(played, "_count=200", code=quote(known[0], safe=""))


def parameters_reordered(played: Played) -> Raws | None:
    def reordered(raw: str) -> str:
        place, mark, query = raw.partition("?")
        return place + mark + "&".join(reversed(query.split("&")))

    return tuple(reordered(raw) if raw in played.gets and "_offset=" not in raw else raw for raw in played.raws)


def by_family_and_given(played: Played) -> Raws | None:
    """A lookup by the parts of the name as the resource has them."""
    slots, person = played.task.slots, played.patient
    if "name" not in slots or person is None or len(person.families) != 1:
        return None
    given = slots["name"].removesuffix(person.families[0]).strip().split(" ")[0]
    query = f"family={quote(person.families[0])}&given={quote(given)}&birthdate={slots['birthdate']}"
    return played.reading([f"GET {BASE}Patient?{query}"])


def by_birthdate(played: Played) -> Raws | None:
    """A lookup by birth date alone, every page read."""
    slots = played.task.slots
    if "name" not in slots or "birthdate" not in slots or played.gets != played.gets[:1]:
        return None
    return played.reading(_all_pages(played, f"GET {BASE}Patient?birthdate={slots['birthdate']}"))


def _replaced(played: Played, old: str, new: str) -> Raws:
    return tuple(raw.replace(old, new) if raw in played.gets else raw for raw in played.raws)


# -- further reads


def reads_patient(played: Played) -> Raws | None:
    id = played.patient_id
    return played.reading([*played.gets, f"GET {BASE}Patient/{id}"]) if id else None


def reads_metadata(played: Played) -> Raws | None:
    return played.reading([f"GET {BASE}metadata", *played.gets])


def reads_conditions(played: Played) -> Raws | None:
    id = played.patient_id
    return played.reading([*played.gets, f"GET {BASE}Condition?patient={id}"]) if id else None


def reads_a_wrong_address(played: Played) -> Raws | None:
    """A mistake that the server answers with an error, and then the right request."""
    return played.reading([f"GET {BASE}Patients?_id=1", *played.gets])


def checks_afterwards(played: Played) -> Raws | None:
    """What was created is read back."""
    if not played.posts:
        return None
    type = played.posts[-1].body["resourceType"]
    return played.before_finish(f"GET {BASE}{type}?patient={played.patient_id}&_count=5")


# -- the same said otherwise


def trailing_space(played: Played) -> Raws | None:
    return played.ending(f"{played.raws[-1]} \n")


def spaced_answer(played: Played) -> Raws | None:
    raw = played.raws[-1]
    return played.ending(raw.replace("FINISH([", "FINISH( [ ").replace("])", " ] )"))


def equal_number(played: Played) -> Raws | None:
    """2 as 2.0, 1.10 as 1.1000."""
    answer = played.answer
    if not answer or isinstance(answer[0], str):
        return None
    return played.finish([Decimal(f"{answer[0]}.0" if isinstance(answer[0], int) else f"{answer[0]}00"), *answer[1:]])


def _bodies(played: Played, change: Callable[[Json], Json]) -> Raws | None:
    """Every posted body through ``change``, which works on a copy."""
    if not played.posts:
        return None
    return tuple(
        render(Post(turn.action.url, change(copy.deepcopy(turn.action.body))))
        if isinstance(turn.action, Post)
        else turn.raw
        for turn in played.turns
    )


def pretty_body(played: Played) -> Raws | None:
    if not played.posts:
        return None

    def printed(action: Post) -> str:
        return f"POST {action.url}\n{msgspec.json.format(dumps(action.body).encode(), indent=2).decode()}\n"

    return tuple(printed(turn.action) if isinstance(turn.action, Post) else turn.raw for turn in played.turns)


def reordered_keys(played: Played) -> Raws | None:
    def reordered(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: reordered(item) for key, item in reversed(value.items())}
        return [reordered(item) for item in value] if isinstance(value, list) else value

    return _bodies(played, reordered)


def equal_body_numbers(played: Played) -> Raws | None:
    def longer(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: longer(item) for key, item in value.items()}
        if isinstance(value, list):
            return [longer(item) for item in value]
        return Decimal(f"{value}.0") if isinstance(value, int) and not isinstance(value, bool) else value

    return _bodies(played, longer)


def absolute_subject(played: Played) -> Raws | None:
    return _bodies(played, lambda body: {**body, "subject": {"reference": BASE + body["subject"]["reference"]}})


def subject_with_display(played: Played) -> Raws | None:
    return _bodies(
        played, lambda body: {**body, "subject": {**body["subject"], "type": "Patient", "display": "the patient"}}
    )


def other_offset(played: Played) -> Raws | None:
    """The same instants, written with another offset from UTC."""

    def shifted(body: Json) -> Json:
        for name in ("authoredOn", "effectiveDateTime", "occurrenceDateTime"):
            if name in body:
                body[name] = render_time(instant(body[name]), "1970-01-01T00:00:00+05:30")
        return body

    return _bodies(played, shifted)


def second_coding(played: Played) -> Raws | None:
    """The code among others, with a display and a text."""

    def added(body: Json) -> Json:
        concept = body.get("medicationCodeableConcept") or body["code"]
        local = {"system": "http://example.org/local", "code": "7", "display": "as the ward calls it"}
        concept["coding"] = [local, *concept["coding"]]
        concept["text"] = "as asked for"
        return body

    return _bodies(played, added)


def pressure_also_as_text(played: Played) -> Raws | None:
    """The components, and beside them the text that was dictated."""
    if played.task.family != "record_blood_pressure":
        return None
    return _bodies(played, lambda body: {**body, "valueString": played.task.slots["value"]})


def rate_as_timing(played: Played) -> Raws | None:
    """An infusion's hours as the duration of its timing."""
    if played.task.family != "magnesium_replacement":
        return None

    def timed(body: Json) -> Json:
        dosage = body["dosageInstruction"][0]
        hours = dosage["doseAndRate"][0].pop("rateRatio")["denominator"]["value"]
        dosage["timing"] = {"repeat": {"duration": hours, "durationUnit": "h"}}
        return body

    return _bodies(played, timed)


def refused_first(played: Played) -> Raws | None:
    """A body that the server refuses, put right in the next message."""
    wrong = [render(Post(post.url, {**post.body, "status": "perhaps"})) for post in played.posts[:1]]
    return (*played.gets, *wrong, *played.post_raws, played.raws[-1]) if wrong else None


def not_json_first(played: Played) -> Raws | None:
    """A body with a bracket too many, put right in the next message."""
    if not played.posts:
        return None
    return (*played.gets, f"{played.post_raws[0]}}}", *played.post_raws, played.raws[-1])


def refused_before_reading(played: Played) -> Raws | None:
    """A premature order that the server refuses, then the reading, then the order."""
    wrong = [render(Post(post.url, {**post.body, "status": "perhaps"})) for post in played.posts[:1]]
    return (*wrong, *played.gets, *played.post_raws, played.raws[-1]) if wrong else None


def route_coded(played: Played) -> Raws | None:
    """The route by its SNOMED CT code as well."""

    def coded(body: Json) -> Json:
        for dosage in body.get("dosageInstruction", ()):
            code = ROUTES[dosage["route"]["text"].casefold()]
            dosage["route"]["coding"] = [{"system": SNOMED, "code": code}]
        return body

    return _bodies(played, coded) if "route" in played.task.slots else None


KINDS: dict[str, Callable[[Played], Raws | None]] = {
    variant.__name__: variant
    for variant in (
        *(every_page, large_page, sorted_pages, newest_only, by_subject, by_reference, with_category, with_system),
        *(parameters_reordered, by_family_and_given, by_birthdate),
        *(reads_patient, reads_metadata, reads_conditions, reads_a_wrong_address, checks_afterwards),
        *(trailing_space, spaced_answer, equal_number, pretty_body, reordered_keys, equal_body_numbers),
        *(absolute_subject, subject_with_display, other_offset, second_coding, pressure_also_as_text),
        *(rate_as_timing, refused_first, not_json_first, refused_before_reading, route_coded),
    )
}
