"""What every expert needs: search URLs, Bundles, further pages, and the patient whom a prompt names."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import lru_cache
from urllib.parse import quote

from fhirtasks.episodes.types import Get, Observation, PublicTask
from fhirtasks.fhir.jsontext import Json, loads


def search_url(task: PublicTask, resource_type: str, params: Mapping[str, str]) -> str:
    """``<base>Type?name=value&...`` with every value percent-encoded (so that ``+`` in an offset stays a plus)."""
    query = "&".join([f"{_quoted(name, ':')}={_quoted(value, '')}" for name, value in params.items()])
    return f"{task.base}{resource_type}?{query}"


@lru_cache(maxsize=4_096)
def _quoted(text: str, safe: str) -> str:
    return quote(text, safe=safe)


def literal(value: str) -> str:
    """A search value that means exactly this text: FHIR's own separators are escaped (R4, 3.1.1.3)."""
    for sign in "\\,$|":
        value = value.replace(sign, "\\" + sign)
    return value


def bundle(observation: Observation) -> dict[str, Json]:
    """The Bundle that was shown, numbers exact. ValueError if something else came back."""
    if observation.status != 200:
        raise ValueError(f"the server answered {observation.status}: {observation.body[:200]}")
    body = loads(observation.body)
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise ValueError(f"expected a Bundle, got {observation.body[:200]}")
    return body


def resources(page: dict[str, Json], resource_type: str) -> list[dict[str, Json]]:
    """The page's resources of this type, in its order (a Bundle without ``entry`` has none)."""
    found = [entry.get("resource", {}) for entry in page.get("entry", [])]
    return [resource for resource in found if resource.get("resourceType") == resource_type]


def next_link(page: dict[str, Json]) -> str | None:
    """Where the next page is, if there is one; ``total`` is not relied on, since servers leave it out."""
    for link in page.get("link", []):
        if link.get("relation") == "next":
            return str(link["url"])
    return None


def search(
    task: PublicTask, resource_type: str, params: Mapping[str, str]
) -> Generator[Get, Observation, list[dict[str, Json]]]:
    """Searches and reads every page; returns the resources of the type in the server's order."""
    url: str | None = search_url(task, resource_type, params)
    found: list[dict[str, Json]] = []
    while url:
        page = bundle((yield Get(url)))
        found += resources(page, resource_type)
        url = next_link(page)
    return found


def find_patient(task: PublicTask) -> Generator[Get, Observation, str | None]:
    """The id of the one patient whom the prompt names, or None if nobody or more than one fits.

    By ``mrn``, or by ``name`` and ``birthdate``; what a search returns must really match. In ``compat`` mode the
    prompt's number is the id that the benchmark's charts are searched by, and nothing needs to be read.
    """
    slots = task.slots
    if task.mode == "compat":
        return slots["mrn"]
    if "mrn" in slots:
        found = yield from patients_with_identifier(task, slots["mrn"])
    else:
        found = yield from patients_named(task, slots["name"], slots["birthdate"])
    return str(found[0]["id"]) if len(found) == 1 else None


def patients_with_identifier(task: PublicTask, value: str) -> Generator[Get, Observation, list[dict[str, Json]]]:
    """Every patient with an identifier of exactly this value."""
    found = yield from search(task, "Patient", {"identifier": literal(value)})
    return [
        patient
        for patient in found
        if any(identifier.get("value") == value for identifier in patient.get("identifier", []))
    ]


def patients_named(task: PublicTask, name: str, birthdate: str) -> Generator[Get, Observation, list[dict[str, Json]]]:
    """Every patient of exactly this full name and birth date.

    The search takes the first word of the name: a string search matches the start of a name's parts, and which later
    words belong to the family name cannot be told from the text.
    """
    first, *_ = name.split()
    found = yield from search(task, "Patient", {"name": literal(first), "birthdate": birthdate})
    return [
        patient
        for patient in found
        if patient.get("birthDate") == birthdate and any(_written(one) == name for one in patient.get("name", []))
    ]


def _written(name: dict[str, Json]) -> str:
    parts = [*name.get("given", []), name.get("family", "")]
    return " ".join(" ".join(parts).split()) or str(name.get("text", ""))
