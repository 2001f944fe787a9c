"""What changed, in Markdown that a data team reads: the text of ``fhirtasks diff``, and CHANGELOG.md, newest first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fhirtasks.release.diff import Diff, diff
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.versioning import Change, classify

NAME = "CHANGELOG.md"
_HEAD = "# Changelog\n\nMade by fhirtasks from the releases themselves, newest first.\n"
_SHOWN, _EXAMPLES = 20, 3
"""How many patients or rows are named before they are only counted, and how many rows of one kind."""


def changelog(previous: Path | None, current: Path, tag: str, date: str, before: str, found: Diff | None = None) -> str:
    """The whole text of CHANGELOG.md: an entry for ``tag``, then what ``before`` holds (the text so far, or "").

    ``previous`` is the folder of the version before, None for the first one; ``found`` is their difference, where it is
    known already. An entry that ``before`` has for the same tag is replaced. UserError as :func:`diff` raises it.
    """
    if previous is None:
        title, body = f"## {tag} ({date})", _first(read_manifest(current))
    else:
        found = found or diff(previous, current)
        change = classify(found)
        title, body = f"## {tag} ({date}): {change.level}", describe(found, change)
    head, *entries = re.split(r"^(?=## )", before, flags=re.MULTILINE)
    kept = (entry.rstrip("\n") + "\n" for entry in entries if not entry.startswith(f"## {tag} "))
    return "\n".join([head.rstrip("\n") + "\n" if head.strip() else _HEAD, f"{title}\n\n{body}", *kept])


def describe(found: Diff, change: Change) -> str:
    """A difference as Markdown, without a title: the findings first, then rows, worlds and what else differs."""
    if change.level == "none":
        return "The two releases are the same, byte for byte.\n"
    rows = found.rows
    parts = [
        _lines(f"**{level}**: {text}" for level, text in change.findings),
        f"{rows['after']:,} rows, {rows['before']:,} before: {rows['added']['count']:,} added, "
        f"{rows['removed']['count']:,} removed, {rows['changed']['count']:,} changed, {rows['unchanged']:,} the same.",
        _families(found),
        _section("Why rows left", _counted(rows["removed"]["reasons"])),
        _section("Why episodes changed", _counted(rows["changed"]["reasons"])),
        _section("What changed in them", _counted(rows["changed"]["what"])),
        _section("Some of these rows", _examples(rows)),
        _section("Worlds", _worlds(found)),
        _section("Other configs and columns", _configs(found)),
        _section("Dropped", (f"{reason}: {one:,} before, {other:,} now" for reason, (one, other) in found.dropped.items())),
        _section("Sources", _sources(found)),
        _section("Options", (f"{name}: {_short(one)} before, {_short(other)} now" for name, (one, other) in found.options.items())),
        _checked(found),
    ]  # fmt: skip
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _first(manifest: dict[str, Any]) -> str:
    table: list[tuple[str, ...]] = [("family", "branches", "rows", "native", "overlaid")]
    for name, family in manifest["families"].items():
        rows = family["branches"].values()
        counts = [sum(row[key] for row in rows) for key in ("kept", "native", "overlaid")]
        table.append((f"`{name}`", str(len(rows)), *(f"{count:,}" for count in counts)))
    splits = (
        f"{name}: {row['rows']:,} rows of {row['patients']:,} patients" for name, row in manifest["splits"].items()
    )
    sources = (f"{source['name']}: {source.get('licence') or 'licence not stated'}" for source in manifest["sources"])
    parts = [
        f"The first version: {manifest['kept']:,} rows.",
        _table(table),
        _section("Splits", splits),
        _section("Sources", sources),
    ]
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _families(found: Diff) -> str:
    """Rows per branch, where something moved, and the families' versions."""
    table: list[tuple[str, ...]] = [("family", "branch", "before", "now", "added", "removed")]
    added, removed = found.rows["added"]["branches"], found.rows["removed"]["branches"]
    for key, pairs in found.families["counts"].items():
        family, _, branch = key.partition("/")
        counts = (*pairs["kept"], added.get(key, 0), removed.get(key, 0))
        table.append((f"`{family}`", f"`{branch}`", *(f"{count:,}" for count in counts)))
    versions = (f"{name}: version {one}, now {other}" for name, (one, other) in found.families["versions"].items())
    return "\n".join(part for part in (_table(table) if len(table) > 1 else "", _lines(versions)) if part)


def _examples(rows: dict[str, Any]) -> list[str]:
    """A few rows of each kind."""
    lines = []
    shown: Counter[str] = Counter()
    for name in ("removed", "changed"):
        for row in rows[name]["rows"]:
            kind = row.get("reason") or ", ".join(row["what"])
            shown[f"{name} {kind}"] += 1
            if shown[f"{name} {kind}"] <= _EXAMPLES:
                what = f" ({', '.join(row['what'])})" if "what" in row else ""
                reason = f": {row['reason']}" if "reason" in row else ""
                successor = f" (now {row['by']})" if "by" in row else ""
                lines.append(f"{name} {row['id']} of {row['family']}/{row['branch']}{what}{reason}{successor}")
    return lines[:_SHOWN]


def _worlds(found: Diff) -> list[str]:
    lines = []
    for name, entry in found.patients.items():
        if entry["count"]:
            shown = [
                patient if isinstance(patient, str) else f"{patient['id']} ({patient['from']} to {patient['to']})"
                for patient in entry["patients"][:_SHOWN]
            ]
            more = ", …" if entry["count"] > len(shown) else ""
            lines.append(f"patients {name}: {entry['count']:,} ({', '.join(shown)}{more})")
    for split, entry in found.splits["changed"].items():
        counts = [f"{pair[0]:,} {name} before, {pair[1]:,} now" for name, pair in entry.items() if name != "charts"]
        counts += [f"{count:,} resources {name}" for name, count in entry["charts"].items() if count]
        lines.append(f"{split}: {'; '.join(counts)}")
    return lines


def _configs(found: Diff) -> list[str]:
    lines = []
    for config, entry in found.configs.items():
        facts = [f"{entry['rows'][0]:,} rows before, {entry['rows'][1]:,} now"]
        facts += [f"{entry[name]:,} {name}" for name in ("added", "removed", "changed") if entry.get(name)]
        facts += [f"columns {name}: {', '.join(names)}" for name, names in entry["columns"].items() if names]
        if config not in ("sft", "charts", "dropped") or len(facts) > 1:
            lines.append(f"{config}: {'; '.join(facts)}")
    return lines


def _sources(found: Diff) -> list[str]:
    return [
        f"{name}: {source['name']}, {source.get('licence') or 'licence not stated'}"
        for name in ("added", "removed")
        for source in found.sources[name]
    ]


def _checked(found: Diff) -> str:
    one, other = found.before["code"], found.after["code"]
    left = found.rows["removed"]["count"] + sum(found.rows["changed"]["reasons"].values())
    if found.regraded is not None:
        return (
            f"Of the rows that left, {found.regraded['rows']:,} were replayed and graded again: "
            f"{found.regraded['failed']:,} would not pass as they are."
        )
    if left and one != other:
        return "Other code made this version; the rows that left were not graded again (--regrade does that)."
    return ""


def _section(title: str, lines: Iterable[str]) -> str:
    text = _lines(lines)
    return f"### {title}\n\n{text}" if text else ""


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{count:,}: {name}" for name, count in counts.items()]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table whose columns stand in line: words to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    words = [not any(row[place][:1].isdigit() for row in rows[1:]) for place in range(len(widths))]
    lines = [
        " | ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, words, strict=True)
        )
        for row in rows
    ]
    rule = "|".join(
        ("-" * (width + 2)) if left else ("-" * (width + 1) + ":") for width, left in zip(widths, words, strict=True)
    )
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])]) + "\n"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
