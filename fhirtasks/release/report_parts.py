"""The sentences and tables of a release's report as HTML. Whatever others named is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fhirtasks.release.card_parts import held_out
from fhirtasks.release.figures import units
from fhirtasks.tasks.floors import FLOORS

Manifest = dict[str, Any]


def lead(manifest: Manifest) -> str:
    """What it is, in a sentence or two."""
    options = manifest["options"]
    return (
        f"{manifest['kept']:,} episodes of clinical agents, mode {escape(options['mode'])}, protocol "
        f"{escape(options['protocol'])}. Each was replayed from its raw text byte for byte and passed by an "
        "independent grader; <code>fhirtasks verify</code> does it all again from the release folder alone."
    )


def tiles(manifest: Manifest) -> str:
    """The figures that people look for first."""
    rows = [row for family in manifest["families"].values() for row in family["branches"].values()]
    splits = manifest["splits"].values()
    overlaid = sum(row["overlaid"] for row in rows)
    found = [
        ("episodes", f"{manifest['kept']:,}", _models(manifest)),
        ("families", f"{len(manifest['families']):,}", f"{len(rows):,} branches"),
        ("patients", f"{sum(row['patients'] for row in splits):,}", f"{len(splits)} disjoint splits"),
        ("resources", f"{sum(row['resources'] for row in splits):,}", "all in charts"),
        ("native", _percent(manifest["kept"] - overlaid, manifest["kept"]), f"{overlaid:,} overlaid"),
    ]
    entries = (manifest.get("floors") or {}).get("families", {}).values()
    runs = sum(entry["tasks"] * len(entry["passed"]) for entry in entries)
    if runs:
        found.append(
            ("floors pass", f"{sum(sum(entry['passed'].values()) for entry in entries):,}", f"of {runs:,} attempts")
        )
    lost = sum(manifest["dropped"].values())
    found.append(("dropped", f"{lost:,}", "attempts, with reasons" if lost else "no attempt"))
    return "\n".join(
        f"    <div><dt>{name}</dt><dd>{value}<small>{escape(note)}</small></dd></div>" for name, value, note in found
    )


def coverage(manifest: Manifest, svgs: Mapping[str, str]) -> str:
    """A panel per family."""
    panels = []
    for name, family in manifest["families"].items():
        kept = sum(row["kept"] for row in family["branches"].values())
        head = f"<h3>{escape(name)} <span>{kept:,}</span></h3>"
        panels.append(f'    <figure class="panel">{head}\n{svgs[f"coverage {name}"]}</figure>')
    return "\n".join(panels)


def unsupported(manifest: Manifest) -> str:
    """The families that these records cannot show."""
    rows = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in manifest["unsupported"].items())
    return f"<p>These records cannot show:</p><ul>{rows}</ul>" if rows else ""


def floors_about(manifest: Manifest) -> str:
    """What the floors are."""
    if not manifest.get("floors"):
        return "The floors were not measured for this release."
    return (
        "What can be had without reading or without thinking, beside the expert. A good task gives nothing to any of "
        "them: an answer counts only if the episode was shown what it follows from. Measured on the first tasks of "
        f"each family in {escape(manifest['floors']['split'])}."
    )


def floors(manifest: Manifest) -> str:
    """A row per family, a column per floor; what passes stands out."""
    entries = (manifest.get("floors") or {}).get("families", {})
    rows = []
    for name, entry in entries.items():
        cells = [(f"{entry['tasks']:,}", ""), (_percent(entry["tasks"], entry["tasks"]), "full")]
        for floor in FLOORS:
            passed = entry["passed"].get(floor, 0)
            cells.append((_percent(passed, entry["tasks"]), "some" if passed else "none"))
        rows.append((name, cells))
    return _table(("family", "tasks", "expert", *FLOORS), rows) if rows else ""


def lengths(manifest: Manifest, svgs: Mapping[str, str]) -> str:
    """A figure per unit."""
    return "\n".join(
        f'    <figure class="panel"><figcaption>{unit}</figcaption>\n{svgs[f"lengths {unit}"]}</figure>'
        for unit in units(manifest)
    )


def lengths_table(manifest: Manifest) -> str:
    """The same figures as numbers."""
    marks, counted = ("median", "p95", "longest"), units(manifest)
    rows = [
        (name, [(f"{row[unit][mark]:,}" if unit in row else "", "") for unit in counted for mark in marks])
        for name, row in manifest["lengths"].items()
    ]
    head = ("family", *(mark if len(counted) == 1 else f"{mark}, {unit}" for unit in counted for mark in marks))
    return _table(head, rows)


def splits_table(manifest: Manifest) -> str:
    """Patients, resources and episodes of each split."""
    keys = {"patients": "patients", "resources": "resources", "episodes": "rows"}
    rows = [(name, [(f"{row[key]:,}", "") for key in keys.values()]) for name, row in manifest["splits"].items()]
    return _table(("split", *keys), rows)


def notes(manifest: Manifest) -> str:
    """What the build noted."""
    rows = "".join(f"<li>{escape(note)}</li>" for note in manifest["notes"])
    return f'<ul class="small">{rows}</ul>' if rows else ""


def audit(manifest: Manifest) -> str:
    """What was held out and what was left out for it."""
    stated, digest = manifest.get("holdouts"), manifest["options"].get("holdouts")
    if not stated and not digest:
        return (
            "Nothing was held out when this was built. <code>fhirtasks audit DIR --holdout FILE</code> compares every "
            "message and chart with a benchmark's files."
        )
    counts = ", ".join(f"{count:,} {escape(kind)}" for kind, count in held_out(manifest)) or "items"
    shown = escape(str((stated or {}).get("digest") or digest)[:16])
    left = {reason: count for reason, count in manifest["dropped"].items() if "holdout" in reason or "leak" in reason}
    lost = ", ".join(f"{count:,} × {escape(reason)}" for reason, count in sorted(left.items())) or "no attempt"
    return (
        f"Held out: {counts} (digest <code>{shown}</code>). Held-out patients enter no world, and every text of every "
        f"row was compared. Left out for it: {lost}. <code>fhirtasks audit</code> repeats the comparison from the rows "
        "alone."
    )


def episodes_about(manifest: Manifest, passed: int, rejected: int) -> str:
    """How many of how many episodes the page shows."""
    beside = f", and {rejected:,} rejected ones, each beside its correct episode" if rejected else ""
    return (
        f"{passed:,} of {manifest['kept']:,} episodes, taken evenly from families, branches and splits{beside}. Open a "
        "step to see the request and the server's reply; below stand the checks of the grader."
    )


def footer(manifest: Manifest) -> str:
    """Where it comes from."""
    versions = ", ".join(
        f"{escape(name)} {escape(str(one)[:16])}" for name, one in sorted(manifest["versions"].items())
    )
    names = [f"{source['name']} ({source.get('licence') or 'licence not stated'})" for source in manifest["sources"]]
    listed = escape("; ".join(dict.fromkeys(names)) or "not stated")
    return f"<p>Sources: {listed}.</p><p>Graph {escape(manifest['graph'])}. Made with {versions}.</p>"


def mutant(name: str) -> str:
    """What a kind of mutant gets wrong, in a few words; the name itself where it is not known."""
    from fhirtasks.release.preference import COMMITTED, COMMITTED_CODE

    return {**COMMITTED_CODE, **COMMITTED}.get(name, name)


def _models(manifest: Manifest) -> str:
    spoken = sum((manifest.get("models") or {}).values())
    return f"{spoken:,} by models" if spoken else "by experts"


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """A table that scrolls by itself; cells are a text and a class."""
    top = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    lines = []
    for name, cells in rows:
        body = "".join(f'<td class="{mark}">{value}</td>' if mark else f"<td>{value}</td>" for value, mark in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{body}</tr>')
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table></div>'


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share in (0.0, 100.0) else f"{share:.1f} %"
