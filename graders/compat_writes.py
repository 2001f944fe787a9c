"""The public grader's assertions on the POSTs it finds, each under one of our check names. Whatever raises fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fhirtasks.tasks.types import Check

VITAL_SIGNS = {"system": "http://hl7.org/fhir/observation-category", "code": "vital-signs", "display": "Vital Signs"}
"""The category that the benchmark's tool schema asks for; the R4 system would fail."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A POST as re-read from the raw history: its URL's text and its JSON body (floats)."""

    url: str
    body: Any


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion. ``holds`` may raise, which is a failure."""

    check: str
    wants: str
    holds: Callable[[Posted], bool]


def check(expected: Sequence[Sequence[Assertion]], posts: Sequence[Posted]) -> list[Check]:
    """The assertions on each POST in turn, gathered by check name; two POSTs of each other's types are in the wrong order."""
    types = [assertions[0].wants for assertions in expected]
    found = [post.body.get("resourceType") if isinstance(post.body, dict) else None for post in posts]
    checks = []
    if len(types) > 1:
        swapped = found != types and sorted(map(str, found)) == sorted(types)
        checks.append(Check("write_order", not swapped, f"expected {', '.join(types)}" if swapped else ""))
    wrong: dict[str, str] = {}
    for assertions, post in zip(expected, posts, strict=True):
        for one in assertions:
            wrong.setdefault(one.check, "")
            if not wrong[one.check] and not _holds(one, post):
                wrong[one.check] = f"{assertions[0].wants}: expected {one.wants}"
    return [*checks, *(Check(name, not detail, detail) for name, detail in wrong.items())]


def _holds(assertion: Assertion, post: Posted) -> bool:
    try:
        return bool(assertion.holds(post))
    except Exception:  # as in the original
        return False


def blood_pressure(params: dict[str, str]) -> tuple[Assertion, ...]:
    return (
        *_resource("Observation", params),
        Assertion("write_category", "one coding vital-signs", lambda post: _one_category(post.body)),
        _is("write_code", {"text": params["code"]}, lambda body: body["code"]),
        _is("write_time", params["now"], lambda body: body["effectiveDateTime"]),
        _is("write_status", "final", lambda body: body["status"]),
        _is("write_value", params["value"], lambda body: body["valueString"]),
    )


def magnesium(params: dict[str, str], dose: Any, hours: Any) -> tuple[Assertion, ...]:
    quantity = {"value": dose, "unit": params["dose_unit"]}
    rate = {"value": hours, "unit": params["rate_unit"]}
    return (
        *_medication(params),
        _is("write_route", params["route"], lambda body: body["dosageInstruction"][0]["route"]),
        _is("write_unit", quantity["unit"], lambda body: _dose(body)["doseQuantity"]["unit"]),
        _is("write_dose", quantity, lambda body: _but(_dose(body)["doseQuantity"], "unit", quantity)),
        _is("write_rate", rate, lambda body: _dose(body)["rateQuantity"]),
    )


def potassium(params: dict[str, str], dose: float) -> tuple[Assertion, ...]:
    tolerance = float(params["dose_tolerance"])
    return (
        *_medication(params),
        _is("write_route", params["route"], lambda body: body["dosageInstruction"][0]["route"].lower().strip()),
        _is("write_unit", params["dose_unit"], lambda body: _dose(body)["doseQuantity"]["unit"]),
        Assertion(
            "write_dose", f"{dose} within {tolerance}",
            lambda post: abs(_dose(post.body)["doseQuantity"]["value"] - dose) <= tolerance,
        ),
    )  # fmt: skip


def service(params: dict[str, str], *, text: str | None = None, recheck: str | None = None) -> tuple[Assertion, ...]:
    assertions = [
        *_resource("ServiceRequest", params),
        *_coded("code", params["order_system"], params["order_code"]),
        _is("write_time", params["now"], lambda body: body["authoredOn"]),
        *_active(),
        _is("write_priority", params["priority"], lambda body: body["priority"]),
    ]
    if text is not None:
        assertions.append(Assertion("write_text", text, lambda post: text in post.body["note"]["text"]))
    if recheck is not None:
        assertions.append(
            Assertion("write_time", f"occurrence {recheck}", lambda post: recheck in post.body["occurrenceDateTime"])
        )
    return tuple(assertions)


def _medication(params: dict[str, str]) -> tuple[Assertion, ...]:
    return (
        *_resource("MedicationRequest", params),
        *_coded("medicationCodeableConcept", params["medication_system"], params["medication_code"]),
        Assertion(
            "write_time",
            params["authored_contains"],
            lambda post: params["authored_contains"] in post.body["authoredOn"],
        ),
        *_active(),
    )


def _resource(type: str, params: dict[str, str]) -> tuple[Assertion, ...]:
    """URL, type and subject, all by string equality; the subject has no other key."""
    subject = {"reference": f"Patient/{params['patient']}"}
    return (
        Assertion(
            "write_type", type, lambda post: post.url == params["base"] + type and post.body["resourceType"] == type
        ),
        _is("write_subject", subject, lambda body: body["subject"]),
    )


def _active() -> tuple[Assertion, ...]:
    return (
        _is("write_status", "active", lambda body: body["status"]),
        _is("write_status", "order", lambda body: body["intent"]),
    )


def _coded(element: str, system: str, code: str) -> tuple[Assertion, ...]:
    """The first coding; what stands behind it is not looked at."""
    return (
        _is("write_code", system, lambda body: body[element]["coding"][0]["system"]),
        _is("write_code", code, lambda body: body[element]["coding"][0]["code"]),
    )


def _is(check: str, wanted: Any, found: Callable[[Any], Any]) -> Assertion:
    return Assertion(check, str(wanted), lambda post: bool(found(post.body) == wanted))


def _dose(body: Any) -> Any:
    return body["dosageInstruction"][0]["doseAndRate"][0]


def _but(quantity: Any, key: str, wanted: dict[str, Any]) -> Any:
    """The quantity with one key as it should be: that key has a check of its own."""
    return {**quantity, key: wanted[key]}


def _one_category(body: Any) -> bool:
    category = body["category"]
    return len(category) == 1 and len(category[0]["coding"]) == 1 and category[0]["coding"][0] == VITAL_SIGNS
