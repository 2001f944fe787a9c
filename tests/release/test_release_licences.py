"""What the manifest says of sources, and which may be published."""

from __future__ import annotations

from typing import Any

import pytest

from fhirtasks.graph.known import DEMO, MIMIC
from fhirtasks.release.licences import hub_name, licences, published, refusals, remarks, spdx

CREDENTIALED = "LicenseRef-PhysioNet-Credentialed-1.5.0"


def row(licence: str | None = None, known: str | None = None, real: bool = False) -> dict[str, Any]:
    return {"name": "records", "licence": licence, "origin": None, "real_patients": real, "known": known, "notes": None}


@pytest.mark.parametrize(
    ("said", "known", "ruling"),
    [
        (None, None, None),
        ("odbl-1.0", None, "ODbL-1.0"),
        (" Apache 2.0 ", None, "Apache-2.0"),
        ("cc by 4.0", None, "CC-BY-4.0"),
        ("our own terms", None, "our own terms"),
        (None, DEMO, "ODbL-1.0"),
        ("MIT", DEMO, "ODbL-1.0"),
        ("ODbL-1.0", DEMO, "ODbL-1.0"),
        ("CC-BY-NC-4.0", DEMO, "CC-BY-NC-4.0"),
        ("our own terms", DEMO, "our own terms"),
        (CREDENTIALED, DEMO, CREDENTIALED),
        ("ODbL-1.0", MIMIC, CREDENTIALED),
        ("our own terms", MIMIC, CREDENTIALED),
        (None, "synthea", None),
        ("Apache-2.0", "synthea", "Apache-2.0"),
    ],
)
def test_the_stricter_licence_rules(said: str | None, known: str | None, ruling: str | None) -> None:
    assert published(row(said, known))["licence"] == ruling


def test_it_is_said_where_another_licence_rules() -> None:
    assert remarks([row("MIT", DEMO)]) == [
        "records is MIMIC-IV Clinical Database Demo on FHIR: its licence is ODbL-1.0, not MIT"
    ]
    assert remarks([row(None, MIMIC)]) == [f"records is MIMIC-IV on FHIR: its licence is {CREDENTIALED}"]
    assert remarks([row("odbl-1.0", DEMO), row("MIT"), row(), row("MIT", "synthea"), row(CREDENTIALED, DEMO)]) == []


def test_known_collections_bring_their_citation_and_patients() -> None:
    demo = published(row(None, DEMO))
    assert demo["real_patients"] and "10.13026/c2f9-3y63" in demo["citation"] and demo["origin"].startswith("https://")
    assert not published(row(None, "synthea"))["real_patients"]
    assert published(row(None, "synthea", real=True))["real_patients"]
    assert published(row("MIT", real=True)) == {
        "name": "records", "licence": "MIT", "origin": None, "real_patients": True, "citation": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("licence", "problem"),
    [
        (None, "is not known; load the records into a new graph with fhirtasks load --license"),
        ("", "is not known"),
        ("our own terms", "is not one that fhirtasks knows to allow publishing"),
        ("LicenseRef-hospital", "is not one that fhirtasks knows to allow publishing"),
        ("MIT OR Apache-2.0", "is not one that fhirtasks knows to allow publishing"),
        (CREDENTIALED, "does not allow publishing it"),
        ("CC-BY-ND-4.0", "does not allow publishing it"),
    ],
)
def test_what_may_not_be_published_is_refused_with_what_to_do(licence: str | None, problem: str) -> None:
    good = {"name": "other", "licence": "ODbL-1.0"}
    (sentence,) = refusals([good, {"name": "records", "licence": licence}])
    assert problem in sentence and "records" in sentence and sentence.endswith(".") and "\n" not in sentence


def test_every_licence_that_allows_it_is_let_through() -> None:
    for name, licence in licences().items():
        assert bool(refusals([{"name": "r", "licence": name}])) == (licence.redistribute == "no"), name
        assert (licence.redistribute == "no") == (licence.kind == "forbidden")
        assert licence.terms.endswith(".") and licence.source.startswith("https://")
        assert spdx(name.upper()) == name
    assert refusals([]) == []
    assert [hub_name(name) for name in ("ODbL-1.0", "odc-by-1.0", None, "mine")] == [
        "odbl",
        "odc-by",
        "unknown",
        "other",
    ]
