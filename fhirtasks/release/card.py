"""The dataset card: a template filled from the manifest alone."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import fhirtasks
from fhirtasks.release.features import CONFIGS

NAME = "README.md"
_TEMPLATE = Path(fhirtasks.__file__).parents[1] / "cards" / "dataset_card.md"
_LICENCES = {"odbl-1.0": "odbl", "odc-by-1.0": "odc-by"}
"""SPDX names that the Hub writes differently; the others are the SPDX name in lower case."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(manifest: dict[str, Any]) -> str:
    """The README of a release: YAML that ``load_dataset`` reads, then prose and tables for people."""
    options = manifest["options"]
    unsupported = "; ".join(f"`{name}` ({why})" for name, why in manifest["unsupported"].items())
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(manifest["dropped"].items()))
    notes = "".join(f" {note[0].upper()}{note[1:]}." for note in manifest["notes"])
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        front=front_matter(manifest),
        kept=f"{manifest['kept']:,}",
        where="path/to/this/folder",
        mode=options["mode"],
        protocol=options["protocol"],
        splits=_splits(manifest),
        families=_families(manifest),
        lengths=_lengths(manifest),
        lengths_note=" and tokens" if options["tokenizer"] else "",
        dropped=dropped or "nothing",
        unsupported=f" These records cannot show: {unsupported}." if unsupported else "",
        holdouts=" Held-out patients and instructions appear in no text." if options["holdouts"] else "",
        options=json.dumps({name: value for name, value in options.items() if value}, sort_keys=True),
        graph=manifest["graph"][:16],
        version=manifest["versions"]["fhirtasks"],
        sources=_sources(manifest),
        population=" The patients are synthetic: nobody's record is shown." if options["population"] else "",
        notes=notes,
    )


def front_matter(manifest: dict[str, Any]) -> str:
    """The YAML block: ``configs`` with their files, licence, tags. JSON strings are YAML strings."""
    licences = sorted({_licence(source) for source in manifest["sources"]}) or ["unknown"]
    size = next((label for limit, label in _SIZES if manifest["kept"] < limit), "n>1M")
    lines = ["pretty_name: Verified agent trajectories over FHIR R4 records", "language:", "- en", "license:"]
    lines += [f"- {json.dumps(licence)}" for licence in licences]
    lines += ["task_categories:", "- text-generation", "size_categories:", f"- {size}", "tags:"]
    lines += [f"- {tag}" for tag in ("fhir", "ehr", "agent", "tool-use", "trajectories", "sft", "rl", "fhirtasks")]
    lines.append("configs:")
    for config in CONFIGS:
        splits = [split for split in manifest["splits"] if _has_rows(manifest, config, split)]
        if not splits:
            continue
        lines.append(f"- config_name: {config}")
        if config == "sft":
            lines.append("  default: true")
        lines.append("  data_files:")
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*.parquet"]
    return "\n".join(lines)


def _has_rows(manifest: dict[str, Any], config: str, split: str) -> bool:
    return any(path.startswith(f"{config}/{split}-") for path in manifest["files"])


def _licence(source: dict[str, Any]) -> str:
    name = (source.get("licence") or "unknown").strip().lower()
    return _LICENCES.get(name, name) if name.replace("-", "").replace(".", "").isalnum() else "other"


def _splits(manifest: dict[str, Any]) -> str:
    lines = ["| split | patients | resources | episodes |", "|---|---:|---:|---:|"]
    for split, row in manifest["splits"].items():
        lines.append(f"| {split} | {row['patients']:,} | {row['resources']:,} | {row['rows']:,} |")
    return "\n".join(lines)


def _families(manifest: dict[str, Any]) -> str:
    lines = ["| family | branch | quota | kept | native | overlaid |", "|---|---|---:|---:|---:|---:|"]
    for name, family in manifest["families"].items():
        for branch, row in family["branches"].items():
            counts = " | ".join(f"{row[key]:,}" for key in ("quota", "kept", "native", "overlaid"))
            lines.append(f"| `{name}` | `{branch}` | {counts} |")
    return "\n".join(lines)


def _lengths(manifest: dict[str, Any]) -> str:
    units = [unit for unit in ("characters", "tokens") if any(unit in row for row in manifest["lengths"].values())]
    marks = ("median", "p95", "longest")
    lines = ["| family | " + " | ".join(f"{mark} {unit}" for unit in units for mark in marks) + " |"]
    lines.append("|---|" + "---:|" * (len(units) * len(marks)))
    for name, row in manifest["lengths"].items():
        cells = [f"{row[unit][mark]:,}" if unit in row else "" for unit in units for mark in marks]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sources(manifest: dict[str, Any]) -> str:
    lines = []
    for source in manifest["sources"]:
        origin = f", from {source['origin']}" if source.get("origin") else ""
        lines.append(f"- {source['name']}: {source.get('licence') or 'licence not stated'}{origin}")
    return "\n".join(lines) or "- not stated"
