"""What the licences of a release's sources allow: one table (``licences.json``), SPDX name -> terms.

A release is made from its sources' records and carries them in ``charts``: it may be published only where each source's
licence lets others share what is made from it. For a known collection (``graph/known.py``) its own licence is used, unless
the one that the person gave is stricter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from fhirtasks.graph.known import known_sources

_TABLE = Path(__file__).with_name("licences.json")
_STRICTNESS = ("free", "attribution", "share-alike", "non-commercial", "unknown", "forbidden")


class Licence(msgspec.Struct, frozen=True):
    """What a licence allows. ``hub`` is the Hub's name for it; ``terms`` one sentence; ``source`` where its text is."""

    redistribute: Literal["yes", "no"]
    kind: Literal["free", "attribution", "share-alike", "non-commercial", "forbidden"]
    hub: str
    terms: str
    source: str


@cache
def licences() -> dict[str, Licence]:
    """The table, by SPDX name."""
    return msgspec.json.decode(_TABLE.read_bytes(), type=dict[str, Licence])


def spdx(name: str) -> str | None:
    """The table's name for a licence as a person wrote it (case and blanks aside); None if it is not there."""
    written = name.strip().lower().replace(" ", "-")
    return next((known for known in licences() if known.lower() == written), None)


def hub_name(name: str | None) -> str:
    """The Hub's name for a licence; ``unknown`` for none, ``other`` for one that is not in the table."""
    known = spdx(name) if name else None
    return licences()[known].hub if known else "other" if name else "unknown"


def published(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of a source, from its row in the graph: name, licence, origin, real_patients, citation."""
    known = known_sources().get(row["known"] or "")
    return {
        "name": row["name"],
        "licence": _ruling(row["licence"], known.licence if known else None),
        "origin": row["origin"] or (known.origin if known else None),
        "real_patients": bool(row["real_patients"]) or (known is not None and known.real_patients),
        "citation": known.citation if known else None,
    }


def remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a known collection's own licence is used instead of what the person who loaded it said, or for want of it."""
    said = []
    for row in rows:
        known = known_sources().get(row["known"] or "")
        ruling = published(row)["licence"]
        if known is None or ruling is None or ruling == (spdx(row["licence"]) if row["licence"] else None):
            continue
        if ruling == known.licence:
            instead = f", not {row['licence']}" if row["licence"] else ""
            said.append(f"{row['name']} is {known.title}: its licence is {ruling}{instead}")
    return said


def refusals(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why a release of these sources (the manifest's) may not be published, a sentence each; none if it may."""
    return [sentence for source in sources if (sentence := _refusal(source)) is not None]


def _refusal(source: Mapping[str, Any]) -> str | None:
    name, licence = source.get("name"), source.get("licence")
    again = "load the records into a new graph with fhirtasks load --license and an SPDX name, and build again"
    if not licence:
        return f"the licence of the source {name} is not known; {again}."
    known = spdx(str(licence))
    if known is None:
        return (
            f"the licence {licence} of the source {name} is not one that fhirtasks knows to allow publishing; if its "
            f"holder allows it under a public licence, {again}, else keep the release to yourself."
        )
    if licences()[known].redistribute == "no":
        return (
            f"{known}, the licence of the source {name}, does not allow publishing it "
            f"({licences()[known].terms.rstrip('.')}); build from other records, or keep the release to yourself."
        )
    return None


def _ruling(said: str | None, own: str | None) -> str | None:
    """The stricter of what a person said and a collection's own licence, under its SPDX name where it has one."""
    named = (spdx(said) or said.strip()) if said and said.strip() else None
    if own is None or named is None:
        return named or own
    return named if _strictness(named) > _strictness(own) else own


def _strictness(name: str) -> int:
    known = licences().get(name)
    return _STRICTNESS.index(known.kind if known else "unknown")
