"""What changed between two releases: families, branches, splits, worlds, columns, rows, and why each row left.

Rows are compared by what they hold, set-based: first by content hash (the same episode), then by id (the same task with
another episode); what is left was removed or added. Reasons are found in what the two releases say themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.diff_reasons import why
from fhirtasks.release.diff_rows import RowSets, compare_columns, compare_config, compare_rows
from fhirtasks.release.diff_worlds import Worlds, compare_worlds
from fhirtasks.release.features import FORMAT
from fhirtasks.release.manifest import file_failures, read_manifest
from fhirtasks.release.regrade import grade_again

SHOWN = 100
"""How many rows, patients or resources a list of a diff shows; its count counts all."""


@dataclass(frozen=True, slots=True)
class Diff:
    """The difference of two releases as plain JSON values; a pair is [before, after].

    ``rows`` holds ``before``, ``after``, ``unchanged``, and for ``added``, ``removed``, ``changed`` each a ``count``, counts by
    cause and the first rows. ``verdicts`` counts equal episodes that are judged otherwise, ``moved`` those that stand in
    another split. ``regraded`` is None where the rows that left were not replayed and graded again. ``identical`` is
    True if every file is the same, byte for byte.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    identical: bool
    options: dict[str, Any]
    sources: dict[str, Any]
    configs: dict[str, Any]
    families: dict[str, Any]
    splits: dict[str, Any]
    patients: dict[str, Any]
    dropped: dict[str, Any]
    rows: dict[str, Any]
    files: list[str] = field(default_factory=list)
    regraded: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The difference as plain JSON."""
        return asdict(self)


def diff(
    before: Path,
    after: Path,
    *,
    regrade: bool = False,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Diff:
    """Compares two release folders. With ``regrade``, what left is replayed and graded again with the code at hand, if it reads
    that release's format.

    UserError if a folder is no release, has not the files that its manifest says, or repeats ids or contents.
    """
    say = progress or (lambda message: None)
    before, after = Path(before), Path(after)
    one, other = (_release(folder, say) for folder in (before, after))
    say("comparing rows")
    rows = compare_rows(before, after)
    say("comparing worlds")
    worlds = compare_worlds(before, after)
    checked = None
    if regrade and one["format"] == FORMAT:
        checked = grade_again(before, rows.gone(), workers=workers, progress=say)
    causes = why(rows, worlds, one, other, after, checked or {})
    return Diff(
        before=_about(one),
        after=_about(other),
        identical=one == other,
        options=_pairs(one["options"], other["options"]),
        sources=_sources(one["sources"], other["sources"]),
        configs=_configs(before, after, one, other),
        families=_families(one, other, rows),
        splits=_splits(one, other, worlds),
        patients=_patients(worlds),
        dropped=_pairs(one["dropped"], other["dropped"], 0),
        rows=_rows(rows, causes),
        files=_files(one["files"], other["files"]),
        regraded=None if checked is None else {"rows": len(rows.gone()), "failed": len(checked)},
    )


def _release(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    manifest = read_manifest(folder, any_format=True)
    say(f"checking the files of {folder}")
    failures = file_failures(folder, manifest)
    if failures:
        raise UserError(
            f"{folder} is not the release that its manifest describes: {failures[0]['file']} {failures[0]['problem']}; "
            "take a whole copy of it."
        )
    return manifest


def _about(manifest: dict[str, Any]) -> dict[str, Any]:
    versions = manifest["versions"]
    return {
        "kept": manifest["kept"],
        "format": manifest["format"],
        "fhirtasks": versions.get("fhirtasks"),
        "code": versions.get("code"),
        "graph": manifest["graph"],
    }


def _pairs(one: dict[str, Any], other: dict[str, Any], nothing: Any = None) -> dict[str, Any]:
    """Name -> [before, after], where they differ."""
    names = sorted(one.keys() | other.keys())
    pairs = {name: [one.get(name, nothing), other.get(name, nothing)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _sources(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, Any]:
    """Sources added and removed; and where it differs: the licences of all of them, whether any shows real patients."""
    licences = [sorted({str(source.get("licence")) for source in side}) for side in (one, other)]
    real = [any(source.get("real_patients") for source in side) for side in (one, other)]
    return {
        "added": [source for source in other if source not in one],
        "removed": [source for source in one if source not in other],
        "licences": licences if licences[0] != licences[1] else None,
        "real_patients": real if real[0] != real[1] else None,
    }


def _families(one: dict[str, Any], other: dict[str, Any], rows: RowSets) -> dict[str, Any]:
    """Families, branches and versions that differ; ``counts`` has every branch with other counts or other rows."""
    before, after = one["families"], other["families"]
    moving = rows.by_branch(rows.added).keys() | rows.by_branch(rows.removed).keys()
    counts: dict[str, Any] = {}
    for family in sorted(before.keys() | after.keys()):
        sides = [side.get(family, {"branches": {}})["branches"] for side in (before, after)]
        for branch in {**sides[0], **sides[1]}:
            pairs = {
                name: [side.get(branch, {}).get(name, 0) for side in sides]
                for name in ("quota", "kept", "native", "overlaid")
            }
            if f"{family}/{branch}" in moving or any(pair[0] != pair[1] for pair in pairs.values()):
                counts[f"{family}/{branch}"] = pairs
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "branches_added": _branches(after, before),
        "branches_removed": _branches(before, after),
        "versions": _pairs(one["options"].get("families") or {}, other["options"].get("families") or {}),
        "counts": counts,
    }


def _branches(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Branches with rows in ``one`` and none in ``other``, of families that both have."""
    return [
        f"{family}/{branch}"
        for family in sorted(one.keys() & other.keys())
        for branch, row in one[family]["branches"].items()
        if row["kept"] and not other[family]["branches"].get(branch, {}).get("kept")
    ]


def _splits(one: dict[str, Any], other: dict[str, Any], worlds: Worlds) -> dict[str, Any]:
    before, after = one["splits"], other["splits"]
    changed: dict[str, Any] = {}
    for split in {**before, **after}:
        pairs = _pairs(before.get(split, {}), after.get(split, {}))
        if pairs or split in worlds.resources:
            changed[split] = {name: pairs[name] for name in ("rows", "patients", "resources") if name in pairs}
            changed[split]["charts"] = worlds.resources.get(split, {"added": 0, "removed": 0, "changed": 0})
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": changed,
    }


def _patients(worlds: Worlds) -> dict[str, Any]:
    moved = [{"id": id_, "from": source, "to": target} for id_, source, target in worlds.moved]
    lists: dict[str, list[Any]] = {"added": worlds.added, "removed": worlds.removed, "moved": moved}
    return {name: {"count": len(found), "patients": found[:SHOWN]} for name, found in lists.items()}


def _configs(before: Path, after: Path, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Configs whose files differ: rows, columns, and for those that sft does not already decide, what changed."""
    found: dict[str, Any] = {}
    for config in sorted(
        {path.split("/")[0] for path in (*one["files"], *other["files"]) if path.endswith(".parquet")}
    ):
        sides = [
            {path: file for path, file in side["files"].items() if path.startswith(f"{config}/")}
            for side in (one, other)
        ]
        if sides[0] == sides[1]:
            continue
        found[config] = {
            "rows": [sum(file["rows"] for file in side.values()) for side in sides],
            "columns": compare_columns(before, after, config),
            **compare_config(before, after, config),
        }
    return found


def _rows(sets: RowSets, causes: dict[str, Any]) -> dict[str, Any]:
    return {
        "before": sets.counts[0],
        "after": sets.counts[1],
        "unchanged": sets.unchanged,
        "verdicts": sets.verdicts,
        "moved": sets.moved,
        "added": {
            "count": len(sets.added),
            "branches": sets.by_branch(sets.added),
            "rows": sets.labels(sets.added, SHOWN),
        },
        "removed": {
            "count": len(sets.removed),
            "reasons": causes["removed"]["reasons"],
            "branches": sets.by_branch(sets.removed),
            "rows": causes["removed"]["rows"][:SHOWN],
        },
        "changed": {
            "count": len(sets.changed),
            "what": sets.what(),
            "reasons": causes["changed"]["reasons"],
            "rows": causes["changed"]["rows"][:SHOWN],
        },
    }


def _files(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Files beside the shards that are not the same."""
    names = sorted(name for name in one.keys() | other.keys() if not name.endswith(".parquet"))
    return [name for name in names if one.get(name) != other.get(name)]
