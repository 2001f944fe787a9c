"""``GET [base]/metadata``: what this server can do, built from the tables it works by."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fhirtasks import __version__
from fhirtasks.fhir.searchparams import TYPES, params_of

_KIND = {"patient": "reference"}


def capability_statement(base: str, types: Iterable[str], *, writable: bool) -> str:
    """The CapabilityStatement as JSON text. ``types`` are those that the records hold besides the ones with own
    parameters."""
    interactions = ["read", "vread", "search-type", *(["create"] if writable else [])]
    resources = [
        {
            "type": type,
            "interaction": [{"code": code} for code in interactions],
            "searchParam": [{"name": p.name, "type": _KIND.get(p.kind, p.kind)} for p in params_of(type).values()],
        }
        for type in sorted({*TYPES, *types})
    ]
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2019-11-01",
        "kind": "instance",
        "software": {"name": "fhirtasks", "version": __version__},
        "implementation": {"description": "FHIR records of one world", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": resources}],
    }
    return json.dumps(statement, ensure_ascii=False, separators=(",", ":"))
