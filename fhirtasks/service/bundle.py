"""Responses as text: search Bundles with stored bodies spliced in, and OperationOutcomes, compact or as HAPI prints
them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirtasks.fhir.hapi import indented, pretty
from fhirtasks.service.table import Record

CONTENT_TYPE = "application/fhir+json;charset=UTF-8"
_ENTRY_END = ',"search":{"mode":"match"}}'


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answers: HTTP status, headers, JSON text."""

    status: int
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": CONTENT_TYPE})
    body: str = ""


def resource_text(record: Record, *, printed: bool) -> str:
    """The body as served, laid out by HAPI's rules if ``printed``."""
    if not printed:
        return record.body
    text: str | None = record.printed.get("alone")
    if text is None:
        text = record.printed["alone"] = pretty(record.body)
    return text


def searchset(
    records: Sequence[Record],
    *,
    base: str,
    total: int | None,
    links: Sequence[tuple[str, str]],
    id: str | None,
    last_updated: str | None,
    printed: bool,
) -> str:
    """A search Bundle. ``links`` are (relation, percent-encoded url); ``total`` of None is left out, and so is
    ``entry`` where nothing is found."""
    parts = ['{"resourceType":"Bundle",']
    if id is not None:
        parts.append(f'"id":"{id}",')
    if last_updated is not None:
        parts.append(f'"meta":{{"lastUpdated":"{last_updated}"}},')
    parts.append('"type":"searchset",')
    if total is not None:
        parts.append(f'"total":{total},')
    parts.append('"link":[')
    parts.append(",".join([f'{{"relation":"{relation}","url":"{url}"}}' for relation, url in links]))
    parts.append("]")
    head = "".join(parts)
    if not printed:
        if not records:
            return head + "}"
        pieces = [head, ',"entry":[']
        for record in records:
            pieces += _entry(record, base)
            pieces.append(",")
        pieces[-1] = "]}"
        return "".join(pieces)
    head = pretty(head + "}")
    if not records:
        return head
    entries = ", ".join([_printed_entry(record, base) for record in records])
    return f'{head[:-2]},\n  "entry": [ {entries} ]\n}}'


def _entry(record: Record, base: str) -> tuple[str, str, str]:
    """The entry's text in pieces, of which the body is, nearly always, the one that is stored."""
    pieces: tuple[str, str, str] | None = record.printed.get(base)
    if pieces is None:
        url = _quoted(f"{base}{record.type}/{record.id}")
        pieces = record.printed[base] = (f'{{"fullUrl":{url},"resource":', record.body, _ENTRY_END)
    return pieces


def _printed_entry(record: Record, base: str) -> str:
    key = (base, "hapi")
    text: str | None = record.printed.get(key)
    if text is None:
        text = record.printed[key] = indented(pretty("".join(_entry(record, base))), 1)
    return text


def outcome(
    status: int, code: str, messages: Sequence[str], *, printed: bool, locations: Sequence[str] = ()
) -> Response:
    """An error as an OperationOutcome with one issue per message; ``locations`` are FHIRPath expressions, one per
    message."""
    issues = []
    for place, message in enumerate(messages):
        issue: dict[str, object] = {"severity": "error", "code": code, "diagnostics": message}
        if locations:
            issue["expression"] = [locations[place]]
        issues.append(issue)
    text = json.dumps({"resourceType": "OperationOutcome", "issue": issues}, ensure_ascii=False, separators=(",", ":"))
    return Response(status, body=pretty(text) if printed else text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
