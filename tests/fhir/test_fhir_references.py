"""Reference strings: kinds and targets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.fhir.references import ID_PATTERN, TYPE_PATTERN, Reference, identifier_token, parse_reference

IDS = st.from_regex(re.compile(ID_PATTERN, re.ASCII), fullmatch=True)
TYPES = st.from_regex(re.compile(TYPE_PATTERN, re.ASCII), fullmatch=True)
BASES = st.sampled_from(["", "http://a.example/fhir/", "https://b.example:8443/r4/v/1/"])


@given(BASES, TYPES, IDS, st.none() | IDS)
def test_type_and_id_are_found_behind_any_base_and_before_any_version(
    base: str, type_: str, id_: str, version: str | None
) -> None:
    text = f"{base}{type_}/{id_}" + (f"/_history/{version}" if version else "")
    assert parse_reference(text) == Reference("absolute" if base else "relative", type_, id_)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert parse_reference(text).kind in ("relative", "absolute", "urn", "conditional", "contained", "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#p1", Reference("contained", id="p1")),
        ("#", Reference("contained", id="")),
        ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520", Reference("urn")),
        ("urn:oid:1.2.3", Reference("urn")),
        (
            "Practitioner?identifier=http://x|9",
            Reference("conditional", "Practitioner", query=(("identifier", "http://x|9"),)),
        ),
        ("http://h/fhir/Patient?active=", Reference("conditional", "Patient", query=(("active", ""),))),
        ("http://h/ValueSet.html", Reference("absolute")),
        ("mailto:someone", Reference("absolute")),
        ("/Patient/1", Reference("other")),
        ("Patient/", Reference("other")),
        ("patient/1", Reference("other")),
        ("Dr. Lang", Reference("other")),
        ("", Reference("other")),
    ],
)
def test_kinds(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("Practitioner?identifier=http://x|9", "http://x|9"),
        ("Practitioner?identifier=http%3A%2F%2Fx%7C9", "http://x|9"),
        ("Practitioner?identifier=9", "9"),
        ("Practitioner?identifier=|a\\|b", "|a|b"),
        ("Practitioner?name=x", None),
        ("Practitioner?identifier=9&active=true", None),
        ("Practitioner/9", None),
    ],
)
def test_identifier_token(text: str, token: str | None) -> None:
    assert identifier_token(parse_reference(text)) == token
